"""The `conversions` command: reads what was typed, calls the main flow, shows what came of it, picks the exit code.

Nothing is decided here that the Airflow side would have to decide again. Heavy modules are imported where they are
needed, so that `--help` is there at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from etl.errors import ImporterError, Interrupted, trace
from etl.model import Status

if TYPE_CHECKING:
    from etl.config import Config
    from etl.drops import Outcome
    from etl.ledger import Ledger, RunInfo
    from etl.report import Report
    from etl.sources.base import Window
    from etl.stages.plan import Progress

NAME = "conversions"
GOOD, SOME_ROWS, STOPPED = 0, 1, 2
"""Every row delivered, duplicate or skipped; some rows need somebody; the run or a destination stopped."""
INTERRUPTED, PIPE_CLOSED = 130, 141
"""As a shell reports SIGINT and SIGPIPE."""


# -- how a command ends


class Commands(TyperGroup):
    """The group of commands: global options are taken in any place, errors end in one sentence."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Do what was typed and leave with the exit code; in a program (not standalone) return it."""
        given = _global_options_first(sys.argv[1:] if args is None else args)
        verbose = any(_is_verbose(word) for word in given)
        work = super().main
        code = _run_safely(
            lambda: work(given, NAME, complete_var, False, windows_expand_args, **extra), verbose=verbose
        )
        if not standalone_mode:
            return code
        sys.exit(code)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's own context, under its public name
        """The command's exit code. A reader who has gone (`| head`) ends it without a word."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED
        return code


def _global_options_first(words: Sequence[str]) -> list[str]:
    """`conversions run shop --config other.yaml -v` means what it says, although these belong to `conversions`."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            rest += [word, *left]
        elif word == "--config":
            first += [word, *[value for value in [next(left, None)] if value is not None]]
        elif word.startswith("--config=") or _is_verbose(word):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def _is_verbose(word: str) -> bool:
    return word == "--verbose" or (word.startswith("-v") and set(word[1:]) == {"v"})


def _run_safely(work: Callable[[], Any], *, verbose: bool) -> int:
    """The exit code; whatever goes wrong is one sentence, and a traceback only for those who asked."""
    trouble: BaseException
    try:
        return work() or GOOD
    except ImporterError as error:
        trouble, sentence = error, str(error)
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", NAME)
        trouble, sentence = error, f"{error.format_message()} See `{command} --help`."
    except typer.Abort:
        return INTERRUPTED
    except OSError as error:
        trouble, sentence = error, f"{error.filename or 'The system'}: {error.strerror or type(error).__name__}."
    except Exception as error:  # noqa: BLE001 (the last one to catch it; its text may hold a row's values)
        hint = "." if verbose else "; run with -v for the traceback."
        trouble, sentence = error, f"Unexpected {type(error).__name__}{hint}"
    if verbose:
        sys.stderr.write(trace(trouble))
    _say(sentence)
    return STOPPED


def _say(sentence: str) -> None:
    sys.stderr.write(f"{NAME}: {sentence}\n")


# -- what is typed


class Usage(ImporterError):
    """Options that make no sense together, or a word that is none of those expected."""


@dataclass(frozen=True)
class Globals:
    """The options that stand before the command."""

    config: Path | None

    def load(self) -> Config:
        """imports.yaml. Raises ConfigError."""
        from etl import config

        return config.load(self.config)


app = typer.Typer(
    name=NAME,
    cls=Commands,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
ledger_app = typer.Typer(help="The ledger: the database of runs and results.", invoke_without_command=True)
app.add_typer(ledger_app, name="ledger")


def _moment(text: str) -> datetime:
    """An ISO 8601 time; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an ISO 8601 time such as 2026-11-20T21:00:00Z.") from None
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is beyond the years 1 to 9999 in UTC.") from None


Format = Literal["table", "csv", "json", "parquet"]
ImportName = Annotated[str, typer.Argument(metavar="IMPORT", help="An import of imports.yaml.", show_default=False)]
To = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="A,B", help="Only these destinations.", show_default=False),
]
From = Annotated[
    datetime | None,
    typer.Option(
        "--from", metavar="TIME", parser=_moment, help="Start of the window, included. ISO 8601; UTC if it has no zone."
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until", metavar="TIME", parser=_moment, help="End of the window, excluded. ISO 8601; UTC if it has no zone."
    ),
]
OnlyImport = Annotated[str | None, typer.Option("--import", metavar="IMPORT", help="Only this import.")]
Statuses = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="S,S", help=f"Only these: {', '.join(Status)}.", show_default=False),
]


def _listed(values: Sequence[str] | None, option: str = "--to") -> list[str] | None:
    """``--to A,B --to C`` as [A, B, C]; None when it was not given, which is not the same as giving nothing."""
    if values is None:
        return None
    named = list(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))
    if not named:
        raise Usage(f"{option} names nothing: say which, or leave it out.")
    return named


def _statuses(values: Sequence[str] | None) -> list[str] | None:
    wanted = _listed(values, "--status")
    for status in wanted or ():
        if status not in set(Status):
            raise Usage(f"--status {status}: a status is one of {', '.join(Status)}.")
    return wanted


def _window(start: datetime | None, end: datetime | None) -> Window | None:
    from etl.sources.base import Window

    if start is not None and end is not None and start >= end:
        raise Usage(f"--from {start.isoformat()} is not before --until {end.isoformat()}.")
    return None if start is None and end is None else Window(start, end)


@app.callback()
def globals_(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar="CONVERSIONS_CONFIG",
            help="The file with destinations and imports. Default: ./imports.yaml.",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, help="Log and tracebacks to standard error; -vv: more.", show_default=False
        ),
    ] = 0,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Deliver offline conversions to experimentation vendors, each of them once.

    Exit codes:
    0  every row was delivered, a duplicate or skipped
    1  some rows were rejected, refused, failed or are unknown
    2  the run or a destination stopped (settings, source, credentials)
    """
    from etl import __version__

    ctx.obj = Globals(config)
    if verbose:
        # Only our own lines: libraries log addresses with keys in them.
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger(NAME).setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    else:
        logging.getLogger(NAME).addHandler(logging.NullHandler())
        if logging.lastResort:  # standard error, whatever that is by then
            logging.getLogger(f"{NAME}.source").addHandler(logging.lastResort)
    if version:
        _out(f"{NAME} {__version__}\n")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        _out(f"{ctx.get_help()}\n")


def _out(text: str) -> None:
    sys.stdout.write(text)


# -- who, and is it fit


@app.command()
def destinations(
    format_: Annotated[
        Literal["table", "markdown", "json"], typer.Option("--format", help="For people, for the README, for programs.")
    ] = "table",
) -> int:
    """Who can be delivered to: limits, deduplication, required columns. Needs no imports.yaml."""
    from etl import destinations, tables

    found = {type_: destinations.find(type_).facts for type_ in destinations.types()}
    if format_ == "table":
        for table in tables.facts(found):
            tables.paper().print(table)
    elif format_ == "markdown":
        _out(tables.facts_markdown(found))
    else:
        import json

        _out(json.dumps([tables.facts_plain(*each) for each in found.items()], indent=2) + "\n")
    return GOOD


@app.command()
def check(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="IMPORT|FILE", help="An import, or a CSV file with canonical columns.", show_default=False
        ),
    ],
    start: From = None,
    end: Until = None,
    to: To = None,
    at: Annotated[
        datetime | None,
        typer.Option("--at", metavar="TIME", parser=_moment, help="Judge ages as if it were sent then. Default: now."),
    ] = None,
) -> int:
    """Validate and build everything, send nothing.

    Shows the rows that would not go, with reasons, and the first request of each destination (secrets masked).
    """
    is_file = what.lower().endswith(".csv") or Path(what).is_file()
    name, file = (None, what) if is_file else (what, None)
    return _check(ctx.obj.load(), name, file=file, window=_window(start, end), to=_listed(to), at=at)


def _check(
    config: Config,
    import_name: str | None,
    *,
    file: str | None = None,
    window: Window | None = None,
    to: Sequence[str] | None = None,
    at: datetime | None = None,
) -> int:
    import glob

    from etl import preview, tables
    from etl.stages.plan import wall_clock

    path = None if file is None else glob.escape(str(Path(file).absolute()))  # relative to here, not to imports.yaml
    with tables.spinner("Checking"):
        clock = wall_clock if at is None else lambda: int(at.timestamp() * 1000)
        checked = preview.check(config, import_name, file=path, window=window, to=to, clock=clock)
    tables.check(checked, tables.paper())
    if any(each.stopped for each in checked.values()):
        return STOPPED
    rejected = any(status == Status.REJECTED for each in checked.values() for status, _ in each.counts)
    return SOME_ROWS if rejected else GOOD


@app.command()
def ping(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="DESTINATION…", help="All of them if none is named.", show_default=False),
    ] = None,
) -> int:
    """Can we talk to it: settings, credentials, lookup, connection. Sends no conversion."""
    from concurrent.futures import ThreadPoolExecutor

    from etl import destinations, preview, tables

    for type_ in destinations.types():
        destinations.find(type_)
    config = ctx.obj.load()
    wanted = names or config.destination_names
    with tables.spinner("Checking connections"), ThreadPoolExecutor(max_workers=max(len(wanted), 1)) as pool:
        answers = list(pool.map(lambda name: preview.ping(config, name), wanted))
    for name, (mark, sentence) in zip(wanted, answers, strict=True):
        tables.paper().print(tables.door(name, sentence, mark=mark), soft_wrap=True)
    return STOPPED if any(mark == "failed" for mark, _ in answers) else GOOD


# -- deliver


@app.command()
def run(
    ctx: typer.Context,
    import_name: ImportName,
    start: From = None,
    end: Until = None,
    to: To = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Like check: send nothing, write nothing.")] = False,
) -> int:
    """Deliver an import: read its source, send what has not been sent yet, say what became of every row."""
    from etl import pipeline, tables

    config = ctx.obj.load()
    window = _window(start, end)
    if dry_run:
        return _check(config, import_name, window=window, to=_listed(to))
    with tables.progress(tables.paper(stderr=True)) as shown, _graceful_shutdown(shown) as (progress, code):
        found = pipeline.run(config, import_name, window=window, to=_listed(to), progress=progress)
    _tell(config, [found])
    return code(found.exit_code)


@app.command()
def retry(
    ctx: typer.Context,
    import_name: OnlyImport = None,
    run_id: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only what this run left.")] = None,
    to: To = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="failed,unknown",
            help="What to send again. Naming unknown here is your word that a repeat is right, also where the vendor "
            "would count it twice.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Send dead letters again: rows that failed, and unknown ones where the vendor counts a repeat once."""
    from etl import retry, tables

    config = ctx.obj.load()
    asked = _statuses(status)
    chosen = {"import_name": import_name, "run_id": run_id, "to": _listed(to)}
    if run_id is not None:
        with _ledger(config) as ledger:
            ledger.run(run_id)
    force_unknown = asked is not None and Status.UNKNOWN in asked
    left_out = {} if asked is not None else retry.unknown_unsafe(config, **chosen)  # type: ignore[arg-type]
    stays: list[str] = []
    with tables.progress(tables.paper(stderr=True)) as shown, _graceful_shutdown(shown) as (progress, code):
        again = retry.retry(
            config,
            **chosen,  # type: ignore[arg-type]
            statuses=asked or ("failed", "unknown"),
            force_unknown=force_unknown,
            progress=progress,
            on_skip=stays.append,
        )
    _tell(config, again)
    for sentence in stays:
        _say(sentence)
    if not again and not stays:
        _out("Nothing to send again.\n")
    for name, count in left_out.items():
        _out(_doubt(config, name, count))
    worst = max([found.exit_code for found in again], default=GOOD)
    return code(max(worst, SOME_ROWS if stays else GOOD))


@app.command()
def drops(
    ctx: typer.Context,
    import_name: Annotated[
        str | None,
        typer.Argument(metavar="[IMPORT]", help="Default: every import with a `drop`.", show_default=False),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Look once; leave what may still be growing to the next time.")
    ] = False,
) -> int:
    """Import the files that were dropped, move them away and write the answers beside them.

    Waits until files that may still be growing have come to rest, unless --once.
    """
    from etl import drops

    config = ctx.obj.load()
    names = [import_name] if import_name else [n for n, each in config.imports.items() if each.drop is not None]
    if not names:
        raise Usage("No import has a `drop`: it says which folder or bucket files are dropped into.")
    worst = GOOD
    handled = 0
    while True:
        outcomes, growing = drops.once(config, names)
        for outcome in outcomes:
            _tell_drop(outcome)
        handled += len(outcomes)
        worst = max([worst, *(outcome.exit_code for outcome in outcomes)])
        if once or not growing or any(outcome.state == "left" for outcome in outcomes):
            break
        time.sleep(1)
    for file in growing:
        _out(f"{file.name}: may still be growing, left where it is.\n")
    if not handled and not growing:
        _out("Nothing was dropped.\n")
    return worst


def _tell_drop(outcome: Outcome) -> None:
    """One file in a line, and its destinations in one each."""
    if outcome.state == "updated":
        _out(f"{outcome.file.name}: {outcome.sentence}\n")
        return
    place = f" → {outcome.place}" if outcome.place else ""
    _out(f"{outcome.file.name}: {outcome.state}{place}\n")
    if outcome.report is not None and outcome.state != "tried":
        for name in (each for each, rows in outcome.report.rows.items() if rows):
            told = ", ".join(f"{rows:,} {status}" for status, rows in outcome.report.by_status(name).items())
            _out(f"  {name}: {told or 'no results'}\n")
        for stop in outcome.report.stops.values():
            _say(stop.detail)
    if outcome.sentence and outcome.exit_code:
        _say(f"{outcome.file.name}: {outcome.sentence}")
    elif outcome.sentence:
        _out(f"  {outcome.sentence}\n")


def _doubt(config: Config, name: str, count: int) -> str:
    from etl import tables
    from etl.destinations import make_destination

    title = make_destination(config, name).facts.title
    return (
        f"{tables.many(count)} at {name} may have been accepted, and {title} would count a repeat twice: look them up "
        f"there (conversions results --run all --to {name} --status unknown), then send them again with "
        f"conversions retry --to {name} --status unknown\n"
    )


def _tell(config: Config, reports: Sequence[Report]) -> None:
    """The runs in numbers; what stopped goes to standard error, where errors go."""
    from etl import tables

    with _ledger(config) as ledger:
        for found in reports:
            tables.report(found, ledger.first_details(found.run.run_id), tables.paper())
            sys.stdout.flush()
            for stop in found.stops.values():
                _say(stop.detail)
            if found.run.stop_detail:
                _say(found.run.stop_detail)


@contextmanager
def _graceful_shutdown(progress: Progress) -> Iterator[tuple[Progress, Callable[[int], int]]]:
    """A progress that ends the run in good order after Ctrl-C or SIGTERM, and what makes an exit code of that.

    Nothing more is sent, what is on the wire has a few seconds to be answered, all of it is recorded. Everybody who
    works reports progress, so that is where they are stopped. A second signal ends the program at once.
    """

    from etl.delivery.shutdown import shutting_down

    got: list[int] = []

    def tell(name: str, rows: int) -> None:
        progress(name, rows)
        if got:
            told = "Interrupted by Ctrl-C" if got[0] == signal.SIGINT else "Ended by SIGTERM"
            raise Interrupted(f"{told}; the next run sends what is missing.")

    def stop(number: int, frame: object) -> None:
        if got:
            os._exit(128 + number)  # the ledger says `unknown` of what is on the wire
        got.append(number)
        shutting_down.set()
        _say("finishing what is on the wire; Ctrl-C again to leave at once.")

    def code(otherwise: int) -> int:
        return 128 + got[0] if got else otherwise

    if threading.current_thread() is not threading.main_thread():
        yield tell, code
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield tell, code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        shutting_down.clear()


# -- look back


@app.command()
def results(
    ctx: typer.Context,
    import_name: OnlyImport = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", help="This run, or all. Default: the latest of each import.", show_default=False
        ),
    ] = None,
    to: To = None,
    status: Statuses = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Default: table, or what --out ends with.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.", show_default=False)
    ] = None,
) -> int:
    """What became of the rows: one line per row and destination.

    The table shows the first 200; csv, json and parquet hold everything, whatever the size.
    """
    from etl import tables
    from etl.cli import export
    from etl.ledger import RESULT_COLUMNS

    config = ctx.obj.load()
    kind = _format(format_, out)
    with _ledger(config) as ledger, export.target(out) as stream:
        runs = _runs(config, ledger, import_name, run_id)
        names = _known_destinations(config, ledger, runs, _listed(to))
        blocks = ledger.results(
            run_ids=None if run_id == "all" else [each.run_id for each in runs],
            import_name=import_name,
            destinations=names,
            statuses=_statuses(status),
        )
        if kind in export.FORMATS:
            export.FORMATS[kind](blocks, RESULT_COLUMNS, stream)
        elif out is not None:
            with export.text(stream) as lines:
                tables.results(blocks, tables.Paper(file=lines, width=200, markup=False, highlight=False), None)
        elif not runs:
            _out("Nothing has run yet: conversions run IMPORT\n")
        else:
            _table(ledger, runs, blocks, counted=run_id != "all")
    return GOOD


def _table(ledger: Ledger, runs: Sequence[RunInfo], blocks: Any, *, counted: bool) -> None:
    """The counts of each run, then the first rows."""
    from etl import tables

    paper = tables.paper()
    for each in runs if counted else ():
        tables.counts(each, ledger.rows_read(each.run_no), ledger.counts(each.run_no), paper)
        paper.print()
    total = tables.results(blocks, paper, tables.RESULTS_SHOWN)
    if total > tables.RESULTS_SHOWN:
        paper.print(f"… and {total - tables.RESULTS_SHOWN:,} more: --format csv, json or parquet holds them all.")
    elif not total:
        paper.print("No rows.")


def _format(asked: str | None, out: Path | None) -> str:
    ending = out.suffix[1:].lower() if out else ""
    kind = asked or (ending if ending in ("csv", "json", "parquet") else "table")
    if kind == "parquet" and (out is None or str(out) == "-"):
        raise Usage("--format parquet needs --out FILE.")
    return kind


def _runs(config: Config, ledger: Ledger, import_name: str | None, run_id: str | None) -> list[RunInfo]:
    if run_id not in (None, "all"):
        return [ledger.run(run_id)]
    runs = ledger.all_runs(import_name) if run_id == "all" else ledger.latest_runs(import_name)
    if import_name is not None and not runs:
        config.import_settings(import_name)  # says so if there is none of that name
    return runs


def _known_destinations(
    config: Config, ledger: Ledger, runs: Sequence[RunInfo], names: list[str] | None
) -> list[str] | None:
    """The names as asked for; one that neither imports.yaml nor these runs know is said to be unknown."""
    from etl.destinations import make_destination

    for name in set(names or ()) - set(config.destination_names):
        if not any(name in ledger.destinations(each.run_no) for each in runs):
            make_destination(config, name)
    return names


def _ledger(config: Config) -> Ledger:
    from etl.ledger import Ledger

    return Ledger(config.ledger_url).open()


# -- to try it out


@app.command()
def sandbox(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free port.")] = 8900,
    faults: Annotated[
        Path | None, typer.Option("--faults", metavar="F.yaml", help="A YAML list of faults.", show_default=False)
    ] = None,
) -> int:
    """Play the five vendors on localhost, strictly, until Ctrl-C."""
    from etl.sandbox import FaultError, serve

    try:
        serve(port, faults)
    except FaultError as error:
        _say(f"--faults {error}")
        return STOPPED
    except OSError as error:
        _say(f"Port {port} cannot be opened: {error.strerror or error}. Another one: --port 0.")
        return STOPPED
    return GOOD


@app.command()
def sample(
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many.")] = 1000,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.", show_default=False)
    ] = None,
    with_problems: Annotated[
        bool, typer.Option("--with-problems", help="A small file with one row for every way to be turned away.")
    ] = False,
    now: Annotated[datetime | None, typer.Option("--now", metavar="TIME", parser=_moment, hidden=True)] = None,
) -> int:
    """Write fresh sample rows as CSV: canonical columns, good for every vendor, inside every window.

    The event_ids are the same every time, so what was delivered once is a duplicate the next time.
    """
    from etl import sample
    from etl.cli import export

    at = now or datetime.now(UTC)
    lines = sample.showcase(at) if with_problems else sample.rows(rows, at)
    with export.target(out) as stream, export.text(stream) as text:
        sample.write(lines, text)
    return GOOD


@ledger_app.callback()
def ledger_(ctx: typer.Context) -> None:
    """The ledger: the database of runs and results."""
    if ctx.invoked_subcommand is None:
        _out(f"{ctx.get_help()}\n")


@ledger_app.command()
def upgrade(ctx: typer.Context) -> int:
    """Bring the ledger's tables to this version; make them if there are none."""
    from etl.ledger import Ledger

    with Ledger(ctx.obj.load().ledger_url) as ledger:
        ledger.upgrade()
    _out("The ledger is up to date.\n")
    return GOOD


@ledger_app.command()
def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="90d", help="What runs begun that long ago wrote down.")
    ],
) -> int:
    """Forget rows that were turned away long ago. What was delivered, or may have been, is never forgotten."""
    from datetime import timedelta

    days = older_than.strip().lower().removesuffix("d")
    if not (days.isascii() and days.isdigit() and 1 <= int(days) <= 36_500):
        raise Usage(f"--older-than {older_than}: a number of days such as 90d.")
    before = datetime.now(UTC) - timedelta(days=int(days))
    with _ledger(ctx.obj.load()) as ledger:
        done = ledger.prune(int(before.timestamp() * 1000))
    _out(f"Forgotten: {done['entries']:,} results, {done['batches']:,} batches, {done['runs']:,} runs.\n")
    return GOOD


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
