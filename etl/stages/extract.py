"""Extract: the source's rows under canonical names. Nothing is judged here but the header."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence

import pandas as pd

from etl import sources
from etl.columns import PARSE_ERROR
from etl.errors import SourceChanged, SourceError, SourceMissing
from etl.model import Chunk, RunWarning, summed
from etl.redact import masked_errors
from etl.sources.base import ColumnKind, FileRows, FileSource, Header, Source, Window
from etl.stages import proposal
from etl.stages.mapping import ColumnRules, Mapping
from etl.stages.mapping import resolve as mapping_of
from etl.stages.plan import Job

log = logging.getLogger("conversions")

_MAY_BE_ROUGH = ("quantity",)
_MAY_HAVE_PARTS = ("aliases", "properties", "profile_properties", "attributes")

NO_FILE = "no_file"
"""The warning of a run that goes without a file."""

WATERMARK = "position"
"""Under what name a run stages how far its source was read."""


def stage(job: Job, window: Window) -> Iterator[Chunk]:
    """Stage the source chunk by chunk, and record how many rows there were.

    May be repeated in one run, over the same rows: results are found by row number. Raises SourceChanged for others.
    """
    source = job.source or sources.import_source(job.config, job.run.import_name)
    if source.incremental:
        source.watermark = job.ledger.watermarks.position(job.run.import_name)
    before = _chunks_with_results(job)
    earlier = sum(chunk.rows for chunk in before)
    rows = 0
    reading = Extraction(source, ColumnRules.of(job.config, job.settings))
    try:
        for index, frame in enumerate(reading.frames(window, job.settings.chunk_rows)):
            if index < len(before) and not job.staging.is_same(before[index], frame):
                raise SourceChanged(_source_changed(source))
            chunk = job.staging.write("extracted", index, frame)
            if isinstance(source, FileSource):
                job.ledger.runs.record_files(job.run.run_no, _files_of(source.files_read, rows, chunk.rows))
            rows += chunk.rows
            job.progress("read", chunk.rows)
            log.info("%s: chunk %d, %d rows read", job.run.import_name, index, chunk.rows)
            yield chunk
        if rows < earlier:
            raise SourceChanged(_source_changed(source))
        if source.incremental and job.limit is None:
            job.staging.write_value(WATERMARK, source.watermark)
    except SourceMissing as error:
        if job.settings.missing == "fail" or earlier:
            raise
        source.warnings.append(RunWarning(NO_FILE, "", 0, str(error)))
    except SourceChanged:
        rows = earlier  # those have results, and the sum must stay true
        raise
    finally:
        job.warn("extract", reading.warnings)
        job.ledger.runs.record_rows_read(job.run.run_no, dict.fromkeys(job.destinations, rows))


def _chunks_with_results(job: Job) -> list[Chunk]:
    """What an earlier try of this run staged, when rows of it have results already."""
    staged = job.staging.chunks("extracted")
    return staged if staged and any(job.ledger.results.counts(job.run.run_no).values()) else []


def _source_changed(source: Source) -> str:
    return (
        f"{source.describe()}: the source is no longer what this run has read, and rows of it have results already. "
        "Clear the DAG run from `start`, so that a new run begins; what was delivered is not sent again."
    )


def frames(source: Source, window: Window, rules: ColumnRules, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """The source in chunks, see `Extraction.frames`."""
    return Extraction(source, rules).frames(window, chunk_rows)


class Extraction:
    """One reading of a source under canonical names; what it has to say of the columns is there once it has been read.

    ``examples``: what became of the columns of each header, in the order they came, with the first row that could be
    read as one, if there is any.
    """

    def __init__(self, source: Source, rules: ColumnRules) -> None:
        self.source = source
        self.rules = rules
        self.examples: dict[Mapping, pd.DataFrame] = {}
        self._mappings: dict[tuple[str, ...], Mapping] = {}
        self._rows_judged: set[Mapping] = set()
        self._called = source.describe()
        self._warnings: list[RunWarning] = []
        source.judge = self.judge
        source.judge_rows = self.judge_rows
        source.needs_rows = self.needs_rows
        if isinstance(source, FileSource):
            source.expected = [name for how in rules.settings.columns.values() for name in how.sources]

    @property
    def warnings(self) -> list[RunWarning]:
        """What the source and its columns have to be warned of, so far."""
        return summed([*self.source.warnings, *self._warnings])

    def frames(self, window: Window, chunk_rows: int) -> Iterator[pd.DataFrame]:
        """The source in chunks, index = row number: canonical columns, what travels beside them, and `PARSE_ERROR`.

        A header is judged before any of its rows, and where there are none. Raises SourceError when a required column
        is missing, or money or time would be lost, with a ``columns:`` block to start from.
        """
        with masked_errors(self.source.secrets()):
            for frame in self.source.frames(window, chunk_rows):
                made = self._made(frame)
                if len(made):
                    yield made

    def judge(self, header: Header) -> Collection[str]:
        """The columns of a header that are used. Raises SourceError, which names the file, where it cannot be used."""
        self._called = header.file or self.source.describe()
        names = (*header.names, *header.empty)
        is_new = not any({*names} <= {*known} for known in self._mappings)
        mapping = self._mapping(names)
        warnings = proposal.judge_names(mapping, header.names, self.rules, self._called)
        if is_new:
            self._warnings += [*mapping.warnings, *warnings]
        for canonical, feed in mapping.feeds.items():
            parted = [name for name in feed.sources if header.kinds.get(name) is ColumnKind.NESTED]
            if parted and canonical not in _MAY_HAVE_PARTS:
                raise SourceError(
                    f"{self._called}: {parted[0]} is a list or an object in each row, which {canonical} cannot be: "
                    "write the value that is meant into a column of its own."
                )
            rough = [name for name in feed.sources if header.kinds.get(name) is ColumnKind.SINGLE]
            if rough and canonical not in _MAY_BE_ROUGH:
                raise SourceError(
                    f"{self._called}: {rough[0]}, which is {canonical}, is of a floating-point type of 32 bits (FLOAT, "
                    "REAL), which holds seven digits and rounds the others: CAST it to DECIMAL or text where it is "
                    "exact."
                )
        return mapping.used

    def judge_rows(self, header: Header, rows: pd.DataFrame) -> None:
        """Raises SourceError where the first rows of a file show that money or time would be lost."""
        mapping = self._mapping((*header.names, *header.empty))
        called = header.file or self.source.describe()
        self._rows_judged.add(mapping)
        whole = rows.reindex(columns=list(mapping.names)) if {*mapping.names} - {*rows.columns} else rows
        self._warnings += proposal.judge_rows(mapping, whole, header.names, self.rules, called)

    def needs_rows(self, header: Header) -> bool:
        """True where the rows decide whether time would be lost."""
        try:
            return proposal.needs_rows(self._mapping((*header.names, *header.empty)), self.rules)
        except SourceError:  # said when the header is judged
            return False

    def _mapping(self, names: tuple[str, ...]) -> Mapping:
        if names not in self._mappings:
            self._mappings[names] = mapping_of(names, self.rules, self._called)
        return self._mappings[names]

    def _made(self, frame: pd.DataFrame) -> pd.DataFrame:
        names = tuple(str(name) for name in frame.columns if name != PARSE_ERROR)
        if names not in self._mappings:
            self.judge(Header(names, self._called))
        mapping = self._mappings[names]
        if mapping not in self.examples or (self.examples[mapping].empty and len(frame)):
            if mapping not in self._rows_judged:  # files ask by themselves, each of them
                self.judge_rows(Header(names), frame)
            self.examples[mapping] = _first_readable(frame)
        made, warnings = mapping.applied(frame)
        self._warnings += warnings
        return made


def _first_readable(frame: pd.DataFrame) -> pd.DataFrame:
    readable = frame[frame[PARSE_ERROR].isna()] if PARSE_ERROR in frame.columns else frame
    return (readable if len(readable) else frame).head(1)


def _files_of(files: Sequence[FileRows], before: int, rows: int) -> list[tuple[str, int, int]]:
    """Which files begin in a chunk: name, number of the first row, and its number in the file."""
    return [(each.file, each.first, 1) for each in files if before < each.first <= before + rows]
