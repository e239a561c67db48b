"""Plan: what a run is to do, judged and written down before anything is read. Also how a run is found again later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
from etl.stages import sums, tuning
from etl.staging import Staging, delete_old

log = logging.getLogger("conversions")

Progress = Callable[[str, int], None]
"""``progress(name, rows)``: so many more rows are done; name is ``read`` or a destination."""


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
    limit: int | None = None
    """How many rows each destination is sent, where not all of the source is meant."""

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
        lookup = self.staging.read_value(f"lookup-{self.run.run_id}-{name}")
        return destinations.make_destination(self.config, name, lookup)

    @cached_property
    def secrets(self) -> list[str]:
        """The secrets of all destinations, but of those whose settings cannot be used."""
        found: list[str] = []
        for name in self.config.destination_names:
            with suppress(ConfigError):
                found += destinations.make_destination(self.config, name).secrets()
        return found

    def warn(self, part: str, warnings: Iterable[RunWarning]) -> None:
        """Keep what a part of this run warns of; the same part again, when a task is repeated, takes its place."""
        if found := summed(warnings):
            self.staging.write_value(f"{self._warnings}/{part}", [list(warning) for warning in found])

    def warnings(self) -> list[RunWarning]:
        """Everything that was warned of in this run so far; nothing where staging is out of reach."""
        try:
            parts = self.staging.read_values(self._warnings)
            several = [warning for name in self.destinations for warning in self._several_currencies(name)]
        except OUT_OF_REACH as error:
            log.warning("warnings of run %s cannot be read: %s", self.run.run_id, type(error).__name__)
            return []
        return summed(RunWarning(*each) for part in parts for each in part) + several

    def keep_sums(self, destination: Destination, index: int, found: sums.Sums) -> None:
        """Keep what a chunk's conversions amount to at a destination; of the same chunk again, the last."""
        if found:
            kept = [destination.facts.title, found]
            self.staging.write_value(f"sums-{self.run.run_id}/{destination.name}/{index:05d}", kept)

    def _several_currencies(self, name: str) -> list[RunWarning]:
        parts = self.staging.read_values(f"sums-{self.run.run_id}/{name}")
        return sums.warnings(parts[0][0], [found for _, found in parts]) if parts else []

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
    source = sources.import_source(config, import_name).describe()
    return _open_job(config, import_name, source=source, kind="import", window=window or Window(), to=to)


def start_file(config: Config, import_name: str, source: Source, name: str) -> Job:
    """Like `start`, for one dropped file; ``name`` is what people call it."""
    job = _open_job(config, import_name, source=name, kind="drop", window=Window(), to=None)
    return replace(job, source=source)


def _open_job(
    config: Config, import_name: str, *, source: str, kind: str, window: Window, to: Sequence[str] | None
) -> Job:
    names = select_destinations(config, config.import_settings(import_name).to, to)
    for name in names:
        destinations.make_destination(config, name)
    _delete_old_staged(config)
    with _ledger_for_job(config) as ledger:
        run = ledger.runs.open(
            kind=kind,
            import_name=import_name,
            source=source,
            destinations=names,
            window_ms=(_epoch_ms(window.start), _epoch_ms(window.end)),
        )
        return Job(config, run, ledger)


def resume(config: Config, run_id: str) -> Job:
    """A job that another process started."""
    with _ledger_for_job(config) as ledger:
        return Job(config, ledger.runs.get(run_id), ledger)


# -- pieces


def _epoch_ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


def _delete_old_staged(config: Config) -> None:
    """Staged rows hold people's data and are kept no longer than needed; a run goes on where some cannot be deleted."""
    before = datetime.now(UTC) - timedelta(days=config.file.keep_staged_days)
    try:
        deleted = delete_old(config.staging_url, before)
    except OSError as error:
        log.warning("staged files from before %s could not be deleted: %s", before.date(), error.strerror or "")
        return
    if deleted:
        log.info("deleted the staged files of %d runs from before %s", len(deleted), before.date())


def check_window(config: Config, import_name: str, window: Window | None) -> None:
    """A window that a person names must change what is read. Raises ConfigError.

    A schedule's window is not checked: every source is offered one.
    """
    if window is not None and not sources.import_source(config, import_name).uses_window:
        raise ConfigError(
            f"imports.{import_name}.source: reads the same rows whatever --from and --until say; leave them out, or "
            "put {start:%Y-%m-%d} into the path, or :start and :end into the query."
        )


@contextmanager
def _ledger_for_job(config: Config) -> Iterator[Ledger]:
    """The ledger for a job, which closes it at its end; closed here when there is no job in the end."""
    tuning.for_streaming()
    ledger = open_ledger(config)
    try:
        yield ledger
    except BaseException:
        ledger.close()
        raise


def select_destinations(config: Config, configured: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The import's destinations, or those of them that ``--to`` names. Raises ConfigError for any other."""
    if wanted is None:
        return list(configured)
    for name in wanted:
        if name not in configured:
            destinations.make_destination(config, name)  # raises where there is none of that name at all
            raise ConfigError(f"--to {name}: this import does not deliver there (it does to {', '.join(configured)}).")
    return list(wanted)
