"""Drops: files that people put into a folder or bucket. Each is imported once, moved away, and answered beside it.

A file is known by its content, whatever its name. In the ledger it goes through these states, each written down before
what follows is done, so that a round cut off anywhere is finished by the next one and nothing is sent twice:

sighted                it may still be growing; `sha256` is then of its name, size and stamp, not of its content
taken ─► sending ─► delivered ─► done         everything was sent ─► moved to processed, receipts written
      └► spoilt ─► put_aside                  nothing was sent ─► moved to quarantine; may be tried again

A run that was cut off goes on. Where the import's settings read the file otherwise by then, a new run takes its place;
where they cannot read it and it is `sending`, it stays in the inbox, because part of it may have been sent.

What is done and is dropped again is answered from the ledger. Where the ledger can answer no more, or rows failed and
are no longer staged for `conversions retry`, it is taken anew: what was delivered is a duplicate, the rest is sent.

What lies in ``dryrun/`` inside the inbox is treated the same on a ledger that is thrown away, and never sent.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from etl import filesystem, pipeline, sources
from etl.clock import Clock, wall_clock
from etl.config import Config, DropSettings
from etl.delivery.verdicts import expired
from etl.destinations import make_destination
from etl.drops import answers, receipts
from etl.drops.receipts import FixFileSource
from etl.errors import ConfigError, ImporterError, SourceChanged, SourceError
from etl.ledger import FileInfo, Ledger, open_ledger
from etl.model import Chunk, Item, RowVerdict, Status, Verdict
from etl.redact import trace
from etl.report import Report
from etl.sources.base import Source, Window
from etl.stages import extract, plan, transform, validate
from etl.stages.plan import Job
from etl.staging import Staging

log = logging.getLogger("conversions")

DRY_RUN = "dryrun"
SIGHTED, TAKEN, SENDING, DELIVERED, DONE = "sighted", "taken", "sending", "delivered", "done"
SPOILT, PUT_ASIDE = "spoilt", "put_aside"


@dataclass(frozen=True)
class Dropped:
    """A file in an inbox. ``stamp`` changes when its content does: modification time or etag, with the size."""

    import_name: str
    path: str
    size: int
    stamp: str
    changed_at_ms: int | None
    dry_run: bool

    @property
    def name(self) -> str:
        """What its sender calls it."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    ``state``: processed, quarantined, tried, repeated, busy (another process has it), left (where it is) or updated
    (it was processed before; its receipts were to be brought up to date).
    """

    file: Dropped
    state: str
    sentence: str = ""
    place: str = ""
    report: Report | None = None
    stopped: bool = False

    @property
    def exit_code(self) -> int:
        """As `Report.exit_code`; a file that could not be read at all is a stop."""
        if self.stopped:
            return 2
        return self.report.exit_code if self.report else 0


@dataclass(frozen=True)
class Box:
    """The places of one import, on one file system."""

    import_name: str
    settings: DropSettings
    fs: Any = field(repr=False)
    inbox: str
    processed: str
    quarantine: str

    def place(self, *, good: bool, dry_run: bool) -> str:
        """Where a file ends up; trials stay beside their own inbox."""
        if dry_run:
            return f"{self.inbox}/{DRY_RUN}/{'processed' if good else 'quarantine'}"
        return self.processed if good else self.quarantine


def box(config: Config, import_name: str) -> Box:
    """The places of an import. Raises ConfigError when it has no ``drop``."""
    settings = config.import_settings(import_name)
    if settings.drop is None:
        raise ConfigError(f"imports.{import_name}.drop: is missing; this import takes no dropped files.")
    drop = settings.drop
    inbox = config.filled_location(drop.inbox, f"imports.{import_name}.drop.inbox")
    fs, root = filesystem.file_system(
        inbox, f"imports.{import_name}.drop.inbox", sources.storage_options(config, import_name)
    )
    root = root.rstrip("/")
    places = {"processed": f"{root}/processed", "quarantine": f"{root}/quarantine"}
    for name, given in (("processed", drop.processed), ("quarantine", drop.quarantine)):
        if given:
            where = f"imports.{import_name}.drop.{name}"
            other, place = filesystem.file_system(
                config.filled_location(given, where), where, sources.storage_options(config, import_name)
            )
            if other.protocol != fs.protocol:
                raise ConfigError(f"{where}: must be on the same kind of storage as the inbox.")
            places[name] = place.rstrip("/")
    return Box(import_name, drop, fs, root, places["processed"], places["quarantine"])


# -- looking


@dataclass(frozen=True)
class Look:
    """What an inbox holds now: files to be handled, and files that may still be growing.

    ``updated``: files of earlier rounds whose rows were sent again since, and what became of their receipts.
    """

    ready: list[Dropped]
    growing: list[Dropped]
    updated: list[Outcome]


def look(config: Config, import_name: str, clock: Clock = wall_clock) -> Look:
    """Finish what an earlier round left, then see which files have come to rest."""
    where = box(config, import_name)
    with open_ledger(config) as ledger:
        _finish_left(config, where, ledger, clock)
        updated = _tell_again(config, where, ledger, clock)
        found = _listed(where, DRY_RUN) + _listed(where, "")
        resting = _resting(where, ledger, found, clock())
    return Look(resting, [file for file in found if file not in resting], updated)


def _listed(where: Box, below: str) -> list[Dropped]:
    """The files of the inbox or of its dryrun, by name; hidden ones and those half-way there are left out."""
    folder = f"{where.inbox}/{below}".rstrip("/")
    with filesystem.translating_errors(folder):
        where.fs.invalidate_cache()
        if not where.fs.exists(folder):
            if not below and "file" in where.fs.protocol:
                raise SourceError(f"imports.{where.import_name}.drop.inbox: there is no folder {folder}.")
            return []
        if not below and where.fs.isfile(folder):
            raise SourceError(
                f"imports.{where.import_name}.drop.inbox: {folder} is a file; name the folder that files "
                "are dropped into."
            )
        entries = where.fs.ls(folder, detail=True)
    names = {entry["name"].rstrip("/"): entry for entry in entries if entry["type"] == "file"}
    return [
        _dropped(where, path, entry, below)
        for path, entry in sorted(names.items())
        if path != folder and not PurePosixPath(path).name.startswith((".", "~$")) and not path.endswith(_UNFINISHED)
    ]


_UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")


def _dropped(where: Box, path: str, entry: Mapping[str, Any], below: str) -> Dropped:
    changed = entry.get("mtime", entry.get("LastModified"))
    at = changed.timestamp() if isinstance(changed, datetime) else changed
    stamp = f"{entry['size']} {entry.get('ETag', '')} {at}"
    changed_ms = None if at is None else int(at * 1000)
    return Dropped(where.import_name, path, int(entry["size"]), stamp, changed_ms, below == DRY_RUN)


def _resting(where: Box, ledger: Ledger, found: Sequence[Dropped], at: int) -> list[Dropped]:
    """The files that nobody has changed for ``settle_seconds``, by their own stamp or since we first saw it."""
    sighted = {info.sha256: info for info in ledger.files.in_states(where.import_name, [SIGHTED])}
    keys = {_sighting(file): file for file in found}
    ledger.files.forget(where.import_name, [key for key in sighted if key not in keys])
    resting = []
    for key, file in keys.items():
        if key not in sighted:
            seen = FileInfo(where.import_name, key, file.path, file.size, SIGHTED, None, at)
            ledger.files.take(seen, None)
            sighted[key] = seen
        still_since = min(sighted[key].seen_at_ms, at if file.changed_at_ms is None else file.changed_at_ms)
        if at - still_since >= where.settings.settle_seconds * 1000:
            resting.append(file)
    return resting


def _sighting(file: Dropped) -> str:
    return hashlib.sha256(f"{file.path}\n{file.stamp}".encode()).hexdigest()


# -- handling


@dataclass(frozen=True)
class Copy:
    """A dropped file as it was at one moment, on this machine."""

    path: Path
    sha256: str


def once(config: Config, names: Sequence[str], clock: Clock = wall_clock) -> tuple[list[Outcome], list[Dropped]]:
    """Handle what has come to rest in the inboxes of these imports; the outcomes, and the files still growing."""
    outcomes: list[Outcome] = []
    growing: list[Dropped] = []
    for name in names:
        seen = look(config, name, clock)
        growing += seen.growing
        outcomes += seen.updated
        for file in seen.ready:
            try:
                outcomes.append(handle(config, file, clock))
            except ImporterError as error:
                log.error("%s: %s", file.name, error)
                outcomes.append(Outcome(file, "left", str(error), stopped=True))
            except Exception as error:  # noqa: BLE001 (no file may block the others; its text may hold values)
                log.debug("%s: %s", file.name, trace(error))
                outcomes.append(Outcome(file, "left", f"Unexpected {type(error).__name__}.", stopped=True))
    return outcomes, growing


def handle(config: Config, file: Dropped, clock: Clock = wall_clock) -> Outcome:
    """Bring one file to its end. Raises what `pipeline.run` raises; the file then stays where it is."""
    where = box(config, file.import_name)
    with _copied(where, file) as copy:
        if copy is None:
            return Outcome(file, "busy", f"{file.name} changed while it was read; the next round takes it.")
        if file.dry_run:
            return _try(config, where, file, copy, clock)
        with open_ledger(config) as ledger:
            return _handle(config, where, ledger, file, copy, clock)


@contextmanager
def _copied(where: Box, file: Dropped) -> Iterator[Copy | None]:
    """The file's bytes in a folder of our own, for as long as they are needed; None when it changed or went away."""
    with tempfile.TemporaryDirectory(prefix="conversions-drop-") as folder:
        local = Path(folder) / "file" / _plain(file.name)
        local.parent.mkdir()
        try:
            sha256 = _fetch(where, file.path, local)
        except FileNotFoundError:
            yield None
            return
        same = _stamp(where, file.path) == file.stamp
        yield Copy(local, sha256) if same else None


def _fetch(where: Box, path: str, local: Path) -> str:
    digest = hashlib.sha256()
    with where.fs.open(path, "rb") as source, local.open("wb") as target:
        while block := source.read(1 << 20):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()


def _stamp(where: Box, path: str) -> str | None:
    """The stamp of a file now; None when there is none."""
    where.fs.invalidate_cache()
    try:
        found = [entry for entry in where.fs.ls(path, detail=True) if entry["name"].rstrip("/") == path]
    except FileNotFoundError:
        return None
    return _dropped(where, path, found[0], "").stamp if found else None


def _plain(name: str) -> str:
    """The name without what a path pattern or a window placeholder would take for its own."""
    return re.sub(r"[^\w.\- ()]", "_", name)


def _handle(config: Config, where: Box, ledger: Ledger, file: Dropped, copy: Copy, clock: Clock) -> Outcome:
    known = ledger.files.find(where.import_name, copy.sha256)
    if known is not None and known.state == DONE and not _to_take_anew(config, ledger, known):
        return _repeated(config, where, ledger, file, copy, known, clock)
    if known is not None and _in_hand(ledger, known):
        return Outcome(file, "busy", f"{file.name} is being worked on by another process.")
    mine = FileInfo(where.import_name, copy.sha256, file.path, file.size, TAKEN, None, wall_clock())
    if known is not None and known.state in (TAKEN, SENDING) and known.run_id and ledger.runs.find(known.run_id):
        mine = replace(mine, state=known.state, run_id=known.run_id)
    if not ledger.files.take(mine, known):
        return Outcome(file, "busy", f"{file.name} is being worked on by another process.")
    mine, report, why = _in_a_run(config, where, ledger, mine, file, copy, clock)
    mine = ledger.files.mark(
        replace(mine, path=_free(where, file.name, good=mine.state == DELIVERED, run_id=report.run.run_id))
    )
    _settle(config, where, ledger, mine, file.path, clock, copy=copy)
    state = "processed" if mine.state == DELIVERED else "quarantined"
    return Outcome(file, state, why or _nothing_in(report), mine.path, report)


def _in_a_run(
    config: Config, where: Box, ledger: Ledger, mine: FileInfo, file: Dropped, copy: Copy, clock: Clock
) -> tuple[FileInfo, Report, str]:
    """Import the file in the run that was cut off, or in a new one; what `_import` says."""
    job = _job(config, ledger, mine, file, copy, clock)
    mine = ledger.files.mark(replace(mine, run_id=job.run.run_id))
    with job.ledger:
        try:
            return _import(job, where, ledger, mine)
        except SourceChanged:  # the content is the same: the settings are others
            ledger.runs.finish(job.run.run_no, _READ_OTHERWISE)
        except BaseException as error:
            ledger.runs.finish(job.run.run_no, f"The run was ended by {type(error).__name__}.")
            raise
    log.warning("%s: %s", file.name, _READ_OTHERWISE)
    return _in_a_run(config, where, ledger, replace(mine, run_id=None), file, copy, clock)


_READ_OTHERWISE = (
    "The run was cut off, and by now the import's settings read the file otherwise: a new run takes its place, and "
    "what was delivered is not sent again."
)


def _nothing_in(report: Report) -> str:
    return "" if any(report.rows.values()) else receipts.NO_ROWS


def _in_hand(ledger: Ledger, known: FileInfo) -> bool:
    """True while another process works on the file, or seems to; or when only its end is missing, see `look`."""
    if known.state not in (TAKEN, SENDING):
        return known.state in (DELIVERED, SPOILT)
    if known.run_id is None:
        return known.seen_at_ms + ledger.leases.lease_ms > wall_clock()
    return ledger.leases.is_alive(known.run_id)


def _to_take_anew(config: Config, ledger: Ledger, known: FileInfo) -> bool:
    """True when the ledger has forgotten rows of an imported file, or when no retry can send those that failed."""
    assert known.run_id is not None
    run = ledger.runs.find(known.run_id)
    if run is None or _is_forgotten(ledger, run.run_no):
        return True
    if Staging(config.staging_url, run.run_id).chunks("conversions"):
        return False
    to = config.import_settings(known.import_name).to
    sure = [name for name in to if make_destination(config, name).facts.repeatable]
    left = {Status.FAILED: to, Status.UNKNOWN: sure}
    return any(
        ledger.results.count_dead_letters(statuses=[status], run_id=run.run_id, destinations=names)
        for status, names in left.items()
    )


def _is_forgotten(ledger: Ledger, run_no: int) -> bool:
    """True when rows of a run have been deleted because of their age."""
    known = ledger.results.counts(run_no)
    return any(sum(known[name].values()) != rows for name, rows in ledger.runs.rows_read(run_no).items())


def _job(config: Config, ledger: Ledger, mine: FileInfo, file: Dropped, copy: Copy, clock: Clock) -> Job:
    """A new run for the file, or the one that was cut off."""
    try:
        source = _source(config, where_name := mine.import_name, copy.path, file.name)
        if mine.run_id is None:
            job = plan.start_file(config, where_name, source, file.name)
        else:
            job = replace(plan.resume(config, mine.run_id), source=source)
            ledger.runs.reopen(job.run.run_no)
    except ImporterError:
        if mine.run_id is None:
            ledger.files.forget(mine.import_name, [mine.sha256])
        raise
    return replace(job, clock=clock)


def _source(config: Config, import_name: str, path: Path, name: str) -> Source:
    """How the import reads one file. A fix.csv is CSV as some spreadsheet wrote it, whatever the import declares."""
    declared = config.import_settings(import_name).source
    instead = dict.fromkeys(declared) | {"type": "csv"} if _is_ours(path) else {}
    return FixFileSource(sources.file_source(config, import_name, str(path), **instead), name)


def _is_ours(path: Path) -> bool:
    """True for a file that begins with the column ``problem``."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").replace(b'"', b"").lower()
    return re.match(receipts.PROBLEM.encode() + rb"[,;\t|\r\n]", start) is not None


# -- judging and sending


def _import(job: Job, where: Box, ledger: Ledger, mine: FileInfo) -> tuple[FileInfo, Report, str]:
    """Judge the whole file, then send it or not; the file's state after it, and why when nothing was sent."""
    staged: dict[str, list[Chunk]] = {name: [] for name in job.destinations}
    try:
        pipeline.prepare(job)
        _judge(job, staged, ledger)
    except SourceChanged:
        raise
    except SourceError as error:
        why = str(error)
        if mine.state == SENDING:
            raise SourceError(f"{why} {_HALF_SENT}") from error
        _note_unsent(job, staged, "file_unusable", "Not sent: the file as a whole cannot be used.")
        report = pipeline.finish(job, stopped=why)
        return ledger.files.mark(replace(mine, state=SPOILT)), report, why
    why = "" if mine.state == SENDING else _too_bad(job, where)
    if why:
        _note_unsent(job, staged, "file_quarantined", "Not sent: too many other rows of the file are bad.")
        report = pipeline.finish(job)
        return ledger.files.mark(replace(mine, state=SPOILT)), report, why
    mine = ledger.files.mark(replace(mine, state=SENDING))
    pipeline.deliver_staged(job, staged)
    report = pipeline.finish(job)
    return ledger.files.mark(replace(mine, state=DELIVERED)), report, ""


_HALF_SENT = (
    "It could be read before, and part of it may have been sent: it stays where it is until the import's settings can "
    "read it again."
)


def _judge(job: Job, staged: Mapping[str, list[Chunk]], ledger: Ledger) -> None:
    """Bring every row up to the wire; what a destination does not take is noted on the way.

    What ``ledger`` knows to be delivered is not too old, whatever its age: nothing of it is to be sent.
    """
    for chunk in validate.stage(job, extract.stage(job, Window())):
        job.ledger.leases.renew(job.run.run_no)
        for name in job.destinations:
            items = transform.stage(job, name, chunk)
            staged[name].append(items)
            late = [item for item in job.staging.items(items) if _is_late(item, job.clock())]
            before = ledger.results.delivered_by(name, [item.event_id for item in late]) if late else {}
            _note_late(job, name, [item for item in late if item.event_id not in before])


def _note_late(job: Job, name: str, late: Sequence[Item]) -> None:
    destination = make_destination(job.config, name)
    before = job.ledger.results.failed_before(job.run.run_no, name, [item.event_id for item in late]) if late else {}
    rows = [
        RowVerdict(item.row_number, item.event_id, item.event_name, expired(destination, before.get(item.event_id)))
        for item in late
    ]
    job.ledger.claims.record_unsent(job.run.run_no, [name], rows)


def _is_late(item: Item, at: int) -> bool:
    return item.expires_at_ms is not None and at > item.expires_at_ms


def _note(job: Job, name: str, items: Sequence[Item], verdict: Verdict) -> None:
    rows = [RowVerdict(item.row_number, item.event_id, item.event_name, verdict) for item in items]
    job.ledger.claims.record_unsent(job.run.run_no, [name], rows)


def _note_unsent(job: Job, staged: Mapping[str, list[Chunk]], reason: str, detail: str) -> None:
    for name, chunks in staged.items():
        for chunk in chunks:
            _note(job, name, job.staging.items(chunk), Verdict(Status.REJECTED, reason, detail))


def _too_bad(job: Job, where: Box) -> str:
    """Why the file is put aside, in a sentence; empty when it is not."""
    rows = max([read or 0 for read in job.ledger.runs.rows_read(job.run.run_no).values()], default=0)
    told = job.ledger.results.counts(job.run.run_no).values()
    rows -= max([sum(n for (_, reason), n in one.items() if reason in receipts.NOT_ROWS) for one in told], default=0)
    unfit = job.ledger.results.unfit_rows(job.run.run_no, ["file_quarantined", *receipts.NOT_ROWS])
    most = where.settings.max_bad_share
    if unfit <= most * rows:
        return ""
    return f"{unfit:,} of {receipts.many(rows)} cannot be used anywhere, which is more than {most:.0%}."


# -- without sending


def _try(config: Config, where: Box, file: Dropped, copy: Copy, clock: Clock) -> Outcome:
    """The same answers, on a ledger and a staging of the moment."""
    folder = copy.path.parent.parent
    apart = replace(
        config,
        file=config.file.model_copy(
            update={"ledger": f"sqlite:///{folder}/ledger.db", "staging": str(folder / "staging")}
        ),
    )
    job = replace(
        plan.start_file(apart, where.import_name, _source(config, where.import_name, copy.path, file.name), file.name),
        clock=clock,
    )
    why = stopped = ""
    with job.ledger:
        staged: dict[str, list[Chunk]] = {name: [] for name in job.destinations}
        with open_ledger(config) as ledger:
            try:
                pipeline.prepare(job)
                _judge(job, staged, ledger)
                why = _too_bad(job, where)
                if why:
                    _note_unsent(job, staged, "file_quarantined", "Not sent: too many other rows of the file are bad.")
                else:
                    _note_ready(job, staged, ledger)
            except SourceError as error:
                why = stopped = str(error)
                _note_unsent(job, staged, "file_unusable", "Not sent: the file as a whole cannot be used.")
        report = pipeline.finish(job, stopped=stopped)
        place = _free(where, file.name, good=not why, run_id=job.run.run_id, dry_run=True)
        kind = "unusable" if stopped else "quarantined" if why else "dry_run"
        _receive(where, job, copy, place, kind, why, trial=True)
    _bring(where, file.path, place, copy.sha256, copy)
    return Outcome(file, "tried", why or _nothing_in(report), place, report)


def _note_ready(job: Job, staged: Mapping[str, list[Chunk]], ledger: Ledger) -> None:
    """Say of every item whether it would be sent, or has been delivered before."""
    for name, chunks in staged.items():
        for chunk in chunks:
            items = job.staging.items(chunk)
            before = ledger.results.delivered_by(name, [item.event_id for item in items])
            again = [item for item in items if item.event_id in before]
            _note(job, name, again, Verdict(Status.DUPLICATE, "already_delivered", "Delivered before."))
            _note(job, name, items, Verdict(Status.SKIPPED, "dry_run", "It would be sent."))


# -- moving away, and the answer


def _free(where: Box, name: str, *, good: bool, run_id: str, dry_run: bool = False) -> str:
    """Where the file goes: its own name, or with the run's id when that name or one of its receipts is taken."""
    folder = where.place(good=good, dry_run=dry_run)
    stem, suffix = _parts(name)
    where.fs.invalidate_cache()
    taken = any(where.fs.exists(f"{folder}/{one}") for one in (name, *(stem + kind for kind in receipts.KINDS)))
    return f"{folder}/{stem}.{run_id}{suffix}" if taken else f"{folder}/{name}"


def _parts(name: str) -> tuple[str, str]:
    """``orders.csv.gz`` as ``orders`` and ``.csv.gz``."""
    whole = PurePosixPath(name)
    inner = PurePosixPath(whole.stem) if whole.suffix.lower() in filesystem.COMPRESSIONS else whole
    stem = inner.stem
    return stem, name[len(stem) :]


def _move(where: Box, source: str, target: str) -> None:
    """Move a file; the folder it goes to is made."""
    where.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    where.fs.mv(source, target)


def _bring(where: Box, origin: str, target: str, sha256: str, copy: Copy | None) -> None:
    """Have the content in its place and no longer in the inbox; a file that took its name meanwhile stays there."""
    still_there = _hash(where, origin) == sha256
    if where.fs.exists(target):
        if still_there and _hash(where, target) == sha256:
            where.fs.rm_file(origin)  # moving is copying and deleting on some storages
    elif still_there:
        _move(where, origin, target)
    elif copy is not None:
        where.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        where.fs.put_file(str(copy.path), target)


def _settle(
    config: Config,
    where: Box,
    ledger: Ledger,
    info: FileInfo,
    origin: str,
    clock: Clock,
    *,
    copy: Copy | None = None,
) -> None:
    """Move the file to its place and write its receipts, as far as that is not done yet; then it is done."""
    _bring(where, origin, info.path, info.sha256, copy)
    assert info.run_id is not None
    job = replace(plan.resume(config, info.run_id), clock=clock)
    kind, why = "delivered", ""
    with job.ledger, _at_hand(where, info, copy) as found:
        if info.state == SPOILT:
            stopped = job.run.stop_detail
            kind, why = ("unusable", stopped) if stopped else ("quarantined", _too_bad(job, where))
        if found is None:
            log.error(
                "%s: the file is gone, so there are no receipts; run %s stands in the ledger", origin, info.run_id
            )
        else:
            job = replace(job, source=_source(config, where.import_name, found.path, job.run.source))
            _receive(where, job, found, info.path, kind, why)
    final = DONE if info.state == DELIVERED else PUT_ASIDE
    ledger.files.mark(replace(info, state=final, done_at_ms=wall_clock()))


@contextmanager
def _at_hand(where: Box, info: FileInfo, copy: Copy | None) -> Iterator[Copy | None]:
    if copy is not None:
        yield copy
        return
    with tempfile.TemporaryDirectory(prefix="conversions-drop-") as folder:
        local = Path(folder) / "file" / _plain(PurePosixPath(info.path).name)
        local.parent.mkdir()
        if not where.fs.exists(info.path):
            yield None
            return
        yield Copy(local, _fetch(where, info.path, local))


def _hash(where: Box, path: str) -> str | None:
    where.fs.invalidate_cache()
    if not where.fs.exists(path):
        return None
    digest = hashlib.sha256()
    with where.fs.open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _finish_left(config: Config, where: Box, ledger: Ledger, clock: Clock) -> None:
    """Move and answer the files whose import ended before that was done."""
    for info in ledger.files.in_states(where.import_name, [DELIVERED, SPOILT]):
        run = ledger.runs.find(info.run_id or "")
        if run is None:  # forgotten by age; what still lies in the inbox is taken anew
            ledger.files.forget(where.import_name, [info.sha256])
            continue
        name = run.source
        if PurePosixPath(info.path).parent == PurePosixPath(where.inbox):  # its place was not chosen yet
            info = replace(info, path=_free(where, name, good=info.state == DELIVERED, run_id=run.run_id))
            ledger.files.mark(info)
        try:
            _settle(config, where, ledger, info, f"{where.inbox}/{name}", clock)
        except filesystem.OUT_OF_REACH as error:  # nothing more is sent of it; the next round moves and answers it
            log.warning("%s: imported, but not moved yet: %s; the next round tries again.", name, _trouble(error))


def _trouble(error: Exception) -> str:
    return f"a file there is locked or out of reach ({filesystem.trouble(error)})"


def _tell_again(config: Config, where: Box, ledger: Ledger, clock: Clock) -> list[Outcome]:
    """Write the receipts anew of files whose rows were sent again since: what they say is true no more."""
    outcomes = []
    for info in ledger.files.retried(where.import_name, [DONE]):
        began, file = wall_clock(), Dropped(where.import_name, info.path, info.bytes, "", None, dry_run=False)
        try:
            why = _told_again(config, where, ledger, info, clock)
        except (ConfigError, SourceError) as error:  # the settings are others by now; it stays so
            why = str(error)
        except ImporterError as error:
            why, began = str(error), info.done_at_ms or 0  # the next round tries again
        except filesystem.OUT_OF_REACH as error:  # in somebody's Excel, in cold storage: no reason to stop the others
            why, began = f"{_trouble(error)}; the next round tries again.", info.done_at_ms or 0
        sentence = "its rows were sent again, and its receipts say so now."
        if why:
            sentence = f"its receipts stay as they were before the retry: {why}"
        log.log(logging.WARNING if why else logging.INFO, "%s: %s", file.name, sentence)
        outcomes.append(Outcome(file, "updated", sentence, info.path))
        ledger.files.mark(replace(info, done_at_ms=began))
    return outcomes


def _told_again(config: Config, where: Box, ledger: Ledger, info: FileInfo, clock: Clock) -> str:
    """Write one file's receipts anew; why that cannot be, if so."""
    forgotten = "the ledger has forgotten some of its rows by age."
    assert info.run_id is not None
    if ledger.runs.find(info.run_id) is None:
        return forgotten
    job = replace(plan.resume(config, info.run_id), clock=clock)
    with job.ledger, _at_hand(where, info, None) as found:
        if found is None or found.sha256 != info.sha256:
            return f"the file is no longer at {info.path}; `conversions results` has the news."
        if _is_forgotten(job.ledger, job.run.run_no):
            return forgotten
        source = _source(config, where.import_name, found.path, job.run.source)
        for _ in source.frames(Window(), job.settings.chunk_rows):  # it must be readable still, to its end
            continue
        _receive(where, replace(job, source=source), found, info.path, "delivered", "", told_at_ms=info.done_at_ms)
    return ""


def _repeated(
    config: Config, where: Box, ledger: Ledger, file: Dropped, copy: Copy, known: FileInfo, clock: Clock
) -> Outcome:
    """The same content again, whatever its name: nothing is sent; the receipts say when and as what it was."""
    assert known.run_id is not None
    run = ledger.runs.get(known.run_id)
    at = datetime.fromtimestamp(run.started_at_ms / 1000, UTC)
    why = f"Nothing was sent: this content was already imported on {at:%d %b %Y at %H:%M} UTC as {run.source}."
    fresh = f"{datetime.fromtimestamp(clock() / 1000, UTC):%Y%m%dT%H%M%S}-{_sighting(file)[:6]}"
    place = _free(where, file.name, good=True, run_id=fresh)
    job = replace(
        plan.resume(config, known.run_id),
        clock=clock,
        source=_source(config, where.import_name, copy.path, file.name),
    )
    with job.ledger:
        _receive(where, job, copy, place, "repeated", why, name=file.name)
    _bring(where, file.path, place, copy.sha256, copy)
    return Outcome(file, "repeated", why, place)


# -- receipts


def _receive(
    where: Box,
    job: Job,
    copy: Copy,
    place: str,
    kind: str,
    why: str,
    *,
    name: str = "",
    trial: bool = False,
    told_at_ms: int | None = None,
) -> None:
    """Write the receipts of a file beside its place; see `etl.drops.answers`."""
    if not where.settings.receipts:
        return
    folder, _, moved = place.rpartition("/")
    source = _source(job.config, job.run.import_name, copy.path, job.run.source)
    answered = answers.write(
        job, source, copy.path, _parts(moved)[0], kind, why, name=name, trial=trial, told_at_ms=told_at_ms
    )
    for path in answered:
        where.fs.makedirs(folder, exist_ok=True)
        where.fs.put_file(str(path), f"{folder}/{path.name}")
