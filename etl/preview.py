"""Check and ping: everything a run would do up to the wire. Sends no conversion, writes nothing down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from etl import sources
from etl.clock import Clock, wall_clock
from etl.config import Config, ImportSettings
from etl.delivery import lookups
from etl.delivery.batches import partition_by_age
from etl.destinations import make_destination
from etl.destinations.base import USER_AGENT, Destination
from etl.errors import ImporterError, LookupFailed
from etl.model import Item, Preview, Request, RowVerdict, Status, Verdict, summed
from etl.redact import host_of, mask_request
from etl.sources.base import Window
from etl.stages import extract, plan, transform, validate
from etl.staging import cache, items_of

SHOWN = 10_000
"""No more rows with a reason are kept per destination; all are counted."""


@dataclass
class _Tally:
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    noted: list[RowVerdict] = field(default_factory=list)
    request: Request | None = None

    def note(self, noted: list[RowVerdict]) -> None:
        self.counts.update((verdict.status.value, verdict.reason) for _, _, _, verdict in noted)
        self.noted += noted[: max(SHOWN - len(self.noted), 0)]


def check(
    config: Config,
    import_name: str | None = None,
    *,
    file: str | None = None,
    window: Window | None = None,
    to: Sequence[str] | None = None,
    clock: Clock = wall_clock,
) -> dict[str, Preview]:
    """Validate and build everything of an import, or of a CSV ``file`` with canonical columns; send nothing.

    Lookups are made. The ledger is neither read nor written.
    """
    if file is not None:
        settings = ImportSettings(source={"type": "csv", "path": file}, to=list(to or config.destination_names))
        source = sources.make_source(config, settings.source, "FILE")
    else:
        settings = config.import_settings(import_name or "")
        source = sources.import_source(config, import_name or "")
        plan.judge_window(config, import_name or "", window)
    chosen = {name: make_destination(config, name) for name in plan.chosen(config, settings.to, to)}
    stopped: dict[str, str] = {}
    fetch = lookups.fetcher(cache(config.staging_url), USER_AGENT)
    for name, destination in list(chosen.items()):
        try:
            chosen[name] = make_destination(config, name, destination.prepare(fetch))
        except LookupFailed as error:
            stopped[name] = str(error)
    rules = validate.Rules.of(settings, clock(), spreadsheet=source.spreadsheet)
    frames = extract.frames(source, window or Window(), settings.columns, settings.chunk_rows)
    return {
        name: replace(each, warnings=summed([*source.warnings, *each.warnings]))
        for name, each in _previews(frames, rules, chosen, stopped).items()
    }


def _previews(
    frames: Iterable[pd.DataFrame],
    rules: validate.Rules,
    chosen: Mapping[str, Destination],
    stopped: Mapping[str, str],
) -> dict[str, Preview]:
    """Judge and build every row for every destination; ``stopped`` ones (name -> sentence) get no requests."""
    tallies = {name: _Tally() for name in chosen}
    rows = 0
    with validate.Validator() as validator:
        for frame in frames:
            rows += len(frame)
            good, noted = validator.judge(frame, rules)
            for name, tally in tallies.items():
                tally.note(noted)
                if name not in stopped:
                    _build(chosen[name], tally, good, rules.now_ms)
    return {
        name: Preview(rows, dict(tally.counts), tally.noted, tally.request, stopped.get(name, ""))
        for name, tally in tallies.items()
    }


def _build(destination: Destination, tally: _Tally, good: pd.DataFrame, now_ms: int) -> None:
    table, noted = transform.items(good, destination)
    tally.note(noted)
    ready, late, early = partition_by_age(items_of(table), now_ms)
    facts = destination.facts
    for items, verdict in (
        (late, Verdict(Status.REJECTED, *facts.expired)),
        (early, Verdict(Status.FAILED, *facts.early)),
    ):
        tally.note([RowVerdict(item.row_number, item.event_id, item.event_name, verdict) for item in items])
    tally.counts.update(("ready", reason) for reason in _remarks(destination, ready, now_ms))
    if tally.request is None and ready:
        payloads = [item.payload for item in ready[: destination.limits.items]]
        tally.request = mask_request(destination.request(payloads), destination.secrets())


def _remarks(destination: Destination, items: list[Item], now_ms: int) -> Iterator[str]:
    for item in items:
        stale = item.stale_at_ms is not None and now_ms > item.stale_at_ms
        yield destination.facts.stale[0] if stale else item.warning


def ping(config: Config, name: str) -> tuple[str, str]:
    """``ok``, ``warning`` or ``failed``, and a sentence about one destination. Sends no conversion."""
    try:
        unprepared = make_destination(config, name)
        found = unprepared.prepare(lookups.fetcher(cache(config.staging_url), USER_AGENT))
        destination = make_destination(config, name, found)
        request = destination.request([b"{}"])
        status = lookups.reach(request.url, request.headers.get("User-Agent", USER_AGENT))
    except ImporterError as error:
        return "failed", str(error)
    answers = f"{host_of(destination.endpoint)} answers"
    if status in (401, 403):
        return "warning", f"{answers} {status} to a request without conversions. {destination.hint(status)}".strip()
    if 300 <= status < 400 or status >= 500:
        return "warning", f"{answers} {status} to a request without conversions: is `endpoint` right, is the vendor up?"
    looked_up = ", what it knows was looked up" if found else ""
    return "ok", f"settings and secrets are there{looked_up}, {answers}."


def judge_settings(config: Config) -> None:
    """Judge every destination and source, as if they were to be used. Raises ConfigError."""
    for name in config.destination_names:
        make_destination(config, name)
    for name, settings in config.imports.items():
        sources.file_source(config, name, "any") if settings.only_drops else sources.import_source(config, name)
