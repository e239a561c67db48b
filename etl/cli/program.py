"""The command as a program: its group of commands, the global options, how it ends, and in which exit code.

Heavy modules are imported where they are needed, here and in every command, so that `--help` is there at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from etl.errors import ImporterError
from etl.redact import printable_lines, trace

if TYPE_CHECKING:
    from etl.config import Config
    from etl.ledger import Ledger

NAME = "conversions"
GOOD, SOME_ROWS, STOPPED = 0, 1, 2
"""Every row delivered, duplicate or skipped; some rows need attention; the run or a destination stopped."""
INTERRUPTED, PIPE_CLOSED = 130, 141
"""As a shell reports SIGINT and SIGPIPE."""


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
    say(sentence)
    return STOPPED


def say(sentence: str) -> None:
    sys.stderr.write(printable_lines(f"{NAME}: {sentence}\n"))


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
        logging.getLogger(f"{NAME}.source").addHandler(_STANDARD_ERROR)
    if version:
        write(f"{NAME} {__version__}\n")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        write(f"{ctx.get_help()}\n")


class _StandardError(logging.Handler):
    """Writes to standard error, whatever that is when a line is written."""

    def emit(self, record: logging.LogRecord) -> None:
        """The message alone, as a command says it."""
        sys.stderr.write(printable_lines(f"{self.format(record)}\n"))


_STANDARD_ERROR = _StandardError(logging.WARNING)


def write(text: str) -> None:
    sys.stdout.write(text)


def open_ledger(config: Config) -> Ledger:
    """The ledger of imports.yaml, to be closed by who asks for it."""
    from etl import ledger

    return ledger.open_ledger(config)


def main() -> None:
    """Entry point."""
    app()
