"""Extract: the source's rows under canonical names. Nothing is judged here but the header."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import pandas as pd
import yaml

from etl import sources
from etl.columns import COLUMNS, DERIVED, PARSE_ERROR, REQUIRED, TYPED_NUMBERS, normalize, reserved_name
from etl.errors import SourceChanged, SourceError
from etl.model import Chunk
from etl.redact import masked_errors
from etl.sources.base import ColumnKind, FileRows, FileSource, Header, Source, Window
from etl.stages.plan import Job
from schemas.conversion import HELPER_COLUMNS

log = logging.getLogger("conversions")

_MAY_BE_ROUGH = ("quantity",)

FILES = "files"
"""Under what folder of names a run stages which files its chunks are from, see `_files_of`."""

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
    try:
        read = frames(source, window, job.settings.columns, job.settings.chunk_rows)
        for index, frame in enumerate(read):
            if index < len(before) and not job.staging.is_same(before[index], frame):
                raise SourceChanged(_source_changed(source))
            chunk = job.staging.write("extracted", index, frame)
            if isinstance(source, FileSource):
                job.staging.write_value(f"{FILES}/{index:05d}", _files_of(source.files_read, rows, chunk.rows))
            rows += chunk.rows
            job.progress("read", chunk.rows)
            log.info("%s: chunk %d, %d rows read", job.run.import_name, index, chunk.rows)
            yield chunk
        if rows < earlier:
            raise SourceChanged(_source_changed(source))
        if source.incremental:
            job.staging.write_value(WATERMARK, source.watermark)
    except SourceChanged:
        rows = earlier  # those have results, and the sum must stay true
        raise
    finally:
        job.warn("extract", source.warnings)
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


def frames(source: Source, window: Window, columns: Mapping[str, str], chunk_rows: int) -> Iterator[pd.DataFrame]:
    """The source in chunks, index = row number, columns canonical where they are mapped or named so.

    Names match as they are, else whatever their case, spaces, underscores and dashes. Raises SourceError when a
    required column is missing, with a ``columns:`` block to start from.
    """
    source.judge = partial(_judge, columns=columns, source=source)
    if isinstance(source, FileSource):
        source.expected = [*columns.values()]
    with masked_errors(source.secrets()):
        for frame in source.frames(window, chunk_rows):
            renamed = _renamed(frame, columns, source.describe())
            if len(renamed):
                yield renamed


def _files_of(files: Sequence[FileRows], before: int, rows: int) -> list[tuple[str, int, int]]:
    """Which files the rows of a chunk are from, in order: name, number of the first row, and its number in the file."""
    within = [each for each in files if each.first <= before + rows and each.first + each.rows > before + 1]
    return [(each.file, first := max(each.first, before + 1), first - each.first + 1) for each in within]


def _judge(header: Header, columns: Mapping[str, str], source: Source) -> list[str]:
    """The columns of a header that feed ours. Raises SourceError, which names the file, where it cannot be used."""
    there = [*header.names, *header.empty]
    called = header.file or source.describe()
    found = _find_columns(there, columns, called)
    absent = [name for name in REQUIRED if found.get(name) not in header.names]
    if absent:
        raise SourceError(
            f"{called}: no column for {', '.join(absent)}. Add to the import:\n{_proposal(there, columns, found)}"
        )
    for canonical, name in found.items():
        if header.kinds.get(name) is ColumnKind.SINGLE and canonical not in _MAY_BE_ROUGH:
            raise SourceError(
                f"{called}: {name}, which is {canonical}, is of a floating-point type of 32 bits (FLOAT, REAL), which "
                "holds seven digits and rounds the others: CAST it to DECIMAL or text where it is exact."
            )
    return [*found.values()]


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str], source: str) -> pd.DataFrame:
    available = [str(name) for name in frame.columns if name != PARSE_ERROR]
    found = _find_columns(available, columns, source)
    absent = [name for name in REQUIRED if name not in found]
    if absent:
        raise SourceError(
            f"{source}: no column for {', '.join(absent)}. Add to the import:\n{_proposal(available, columns, found)}"
        )
    first = {name: canonical for canonical, name in sorted(found.items(), reverse=True)}
    ours = {*found, *DERIVED, *HELPER_COLUMNS, "row_number"}
    shadowed = {name: reserved_name(name, available) for name in available if name in ours and found.get(name) != name}
    renamed = frame.rename(columns=shadowed | first)
    more = [canonical for canonical in sorted(found) if first[found[canonical]] != canonical]
    assigned = renamed.assign(**{canonical: renamed[first[found[canonical]]] for canonical in more})
    numbers = frame.attrs.get(TYPED_NUMBERS, ())
    own = found | {new: old for old, new in shadowed.items()}
    assigned.attrs = {TYPED_NUMBERS: [name for name in map(str, assigned.columns) if own.get(name, name) in numbers]}
    return assigned


def _find_columns(available: Sequence[str], columns: Mapping[str, str], source: str) -> dict[str, str]:
    """Canonical name -> the source's name of that column, for all that are mapped or named so."""
    found = {}
    for canonical, wanted in columns.items():
        name = _find_column(wanted, available, source)
        if name is None and wanted == PARSE_ERROR:  # a source's own column of that name is renamed by it
            name = _find_column(reserved_name(wanted, ()), available, source)
        if name is None:
            raise SourceError(
                f"{source}: columns.{canonical}: {wanted} — the source has no such column; it has {_list(available)}."
            )
        found[canonical] = name
    taken = set(found.values())
    for canonical in COLUMNS:
        if canonical not in found:
            name = _find_column(canonical, [name for name in available if name not in taken], source)
            if name is not None:
                found[canonical] = name
    return found


def _find_column(wanted: str, available: Sequence[str], source: str) -> str | None:
    if wanted in available:
        return wanted
    alike = [name for name in available if normalize(name) == normalize(wanted)]
    if len(alike) > 1:
        raise SourceError(
            f"{source}: {' and '.join(alike)} may both be {wanted}: rename one, or name the right one under `columns`."
        )
    return alike[0] if alike else None


def _proposal(available: Sequence[str], columns: Mapping[str, str], found: Mapping[str, str]) -> str:
    """A ``columns:`` block, ready to paste: what is mapped already, and the likeliest guess for the rest."""
    free = [name for name in available if name not in found.values()]
    lines = ["columns:"]
    for canonical in COLUMNS:
        guess = columns.get(canonical) or (None if canonical in found else _likely(canonical, free))
        if guess is not None:
            lines.append(f"  {canonical}: {_quoted(guess)}")
            free = [name for name in free if name != guess]
        elif canonical in REQUIRED and canonical not in found:
            lines.append(f"  {canonical}: ???   # one of: {_list(free) or 'none is left'}")
    return "\n".join(lines)


def _list(names: Sequence[str]) -> str:
    """The names, as far as anybody reads: a file in the wrong encoding may have one as long as itself."""
    short = [name if len(name) <= 60 else f"{name[:59]}…" for name in names[:40]]
    return ", ".join(short) + (f" and {len(names) - 40} more" if len(names) > 40 else "")


def _quoted(name: str) -> str:
    """The name as YAML writes it: in quotes where it must be."""
    return str(yaml.safe_dump(name, allow_unicode=True, width=10_000)).removesuffix("\n").removesuffix("\n...")


_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "event_id": (
        *("order no", "order number", "order id", "transaction id", "transaction number", "message id", "deal id"),
        *("lead id", "conversion id", "id", "uuid", "bestellnummer", "auftragsnummer", "belegnummer", "vorgangsnummer"),
        *("numéro de commande", "n° commande", "número de pedido", "numero ordine"),
    ),
    "event_name": (
        *(
            "event",
            "event type",
            "conversion name",
            "conversion",
            "conversion action",
            "goal",
            "action",
            "type",
            "name",
        ),
        *("ereignis", "vorgang", "événement", "evento"),
    ),
    "occurred_at": (
        *("timestamp", "event time", "conversion time", "conversion date", "closed at", "created at", "completed at"),
        *("order date", "date time", "datetime", "closed", "created", "date", "time", "day"),
        *("datum", "zeitpunkt", "bestelldatum", "uhrzeit", "fecha", "data"),
    ),
    "user_id": ("user", "customer id", "customer no", "contact id", "client id", "customer", "kundennummer", "kunde"),
    "email": ("e-mail", "mail", "e-mail address", "email address", "e-mail-adresse", "courriel"),
    "phone": ("telephone", "phone number", "mobile", "telefon", "telefonnummer", "handy", "téléphone"),
    "revenue": (
        *("amount", "order total", "total price", "order value", "total", "value", "price", "sum", "net amount"),
        *("umsatz", "betrag", "summe", "preis", "warenwert", "montant", "importe"),
    ),
    "currency": ("currency code", "währung", "devise", "moneda", "valuta"),
    "order_id": ("order", "order no", "order number", "bestellnummer", "auftragsnummer"),
    "quantity": ("qty", "items", "count", "menge", "anzahl", "quantité", "cantidad"),
}


def _likely(canonical: str, free: Sequence[str]) -> str | None:
    wanted = [normalize(synonym) for synonym in (canonical, *_SYNONYMS.get(canonical, ()))]
    by_name = {normalize(name): name for name in reversed(free)}
    return next((by_name[synonym] for synonym in wanted if synonym in by_name), None)
