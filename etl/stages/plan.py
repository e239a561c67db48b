"""Plan: what a run is to do, judged and written down before anything is read. Also how a run is found again later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from etl import destinations, sources
from etl.clock import Clock, wall_clock
from etl.config import Config, ImportSettings
from etl.destinations.base import Destination
from etl.errors import ConfigError
from etl.filesystem import OUT_OF_REACH
from etl.ledger import Ledger, RunInfo, open_ledger
from etl.model import RowVerdict, RunWarning, summed
from etl.sources.base import Source, Window
from etl.stages import tuning
from etl.staging import Staging, clear

log = logging.getLogger("conversions")

Progress = Callable[[str, int], None]
"""``progress(name, rows)``: so many more rows are through; name is ``read`` or a destination."""


@dataclass(frozen=True)
class Job:
    """One run of one import: what every stage needs to know. Rebuilt from the run id in every Airflow task."""

    config: Config
    run: RunInfo
    ledger: Ledger
    clock: Clock = wall_clock
    progress: Progress = field(default=lambda name, rows: None)
    source: Source | None = None
    """What is read instead of the import's own source: one dropped file."""

    @cached_property
    def settings(self) -> ImportSettings:
        """The import's entry in imports.yaml."""
        return self.config.import_settings(self.run.import_name)

    @cached_property
    def staging(self) -> Staging:
        """This run's staged files; a retry reads those of the run it repeats."""
        return Staging(self.config.staging_url, self.run.retry_of or self.run.run_id)

    @cached_property
    def destinations(self) -> list[str]:
        """Where this run delivers to."""
        return self.ledger.runs.destinations(self.run.run_no)

    def destination(self, name: str) -> Destination:
        """A destination with what it looked up for this run."""
        lookup = self.staging.noted(f"lookup-{self.run.run_id}-{name}")
        return destinations.make_destination(self.config, name, lookup)

    def warn(self, part: str, warnings: Iterable[RunWarning]) -> None:
        """Keep what a part of this run warns of; the same part again, when a task is repeated, takes its place."""
        if found := summed(warnings):
            self.staging.note(f"{self._warnings}/{part}", [list(warning) for warning in found])

    def warnings(self) -> list[RunWarning]:
        """Everything that was warned of in this run so far; nothing where staging is out of reach."""
        try:
            parts = self.staging.notes(self._warnings)
        except OUT_OF_REACH as error:
            log.warning("warnings of run %s cannot be read: %s", self.run.run_id, type(error).__name__)
            return []
        return summed(RunWarning(*each) for part in parts for each in part)

    @property
    def _warnings(self) -> str:
        return f"warnings-{self.run.run_id}"

    def record_unsent(self, names: Sequence[str], rows: Sequence[RowVerdict]) -> None:
        """Write down what is never sent, for each of these destinations."""
        self.ledger.claims.record_unsent(self.run.run_no, names, rows)
        for name in names:
            self.progress(name, len(rows))


def start(config: Config, import_name: str, *, window: Window | None = None, to: Sequence[str] | None = None) -> Job:
    """Judge the settings and write the run down. Raises ConfigError, LedgerError."""
    return _begin(
        config, import_name, sources.import_source(config, import_name).describe(), "import", window or Window(), to
    )


def start_file(config: Config, import_name: str, source: Source, name: str) -> Job:
    """Like `start`, for one dropped file; ``name`` is what people call it."""
    return replace(_begin(config, import_name, name, "drop", Window(), None), source=source)


def _begin(config: Config, import_name: str, source: str, kind: str, window: Window, to: Sequence[str] | None) -> Job:
    names = chosen(config, config.import_settings(import_name).to, to)
    for name in names:
        destinations.make_destination(config, name)
    _clear_staged(config)
    ends = tuple(None if end is None else int(end.timestamp() * 1000) for end in (window.start, window.end))
    with _ledger_for_job(config) as ledger:
        run = ledger.runs.open(
            kind=kind,
            import_name=import_name,
            source=source,
            destinations=names,
            window_ms=(ends[0], ends[1]),
        )
        return Job(config, run, ledger)


def resume(config: Config, run_id: str) -> Job:
    """A job that another process started."""
    with _ledger_for_job(config) as ledger:
        return Job(config, ledger.runs.get(run_id), ledger)


# -- pieces


def _clear_staged(config: Config) -> None:
    """Staged rows hold people's data and are kept no longer than needed; that some stay stops no run."""
    before = datetime.now(UTC) - timedelta(days=config.file.keep_staged_days)
    try:
        cleared = clear(config.staging_url, before)
    except OSError as error:
        log.warning("staged files from before %s could not be deleted: %s", before.date(), error.strerror or "")
        return
    if cleared:
        log.info("deleted the staged files of %d runs from before %s", len(cleared), before.date())


def judge_window(config: Config, import_name: str, window: Window | None) -> None:
    """A schedule's window is offered to every source; one that a person names must change what is read."""
    if window is not None and not sources.import_source(config, import_name).uses_window:
        raise ConfigError(
            f"imports.{import_name}.source: reads the same rows whatever --from and --until say; leave them out, or "
            "put {start:%Y-%m-%d} into the path, or :start and :end into the query."
        )


@contextmanager
def _ledger_for_job(config: Config) -> Iterator[Ledger]:
    """The ledger for a job, which closes it at its end; closed here when it comes to no job."""
    tuning.for_streaming()
    ledger = open_ledger(config)
    try:
        yield ledger
    except BaseException:
        ledger.close()
        raise


def chosen(config: Config, configured: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        return list(configured)
    for name in wanted:
        if name not in configured:
            destinations.make_destination(config, name)  # says so if there is none of that name at all
            raise ConfigError(f"--to {name}: this import does not deliver there (it does to {', '.join(configured)}).")
    return list(wanted)
