"""Check and ping: everything a run would do up to the wire. Sends no conversion, writes nothing down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from etl import redact, sources
from etl.clock import Clock, wall_clock
from etl.config import Config, ImportSettings
from etl.delivery import lookups
from etl.delivery.batches import partition_by_age
from etl.delivery.siblings import Siblings
from etl.destinations import make_destination
from etl.destinations.base import USER_AGENT, Destination
from etl.errors import ImporterError, LookupFailed
from etl.model import Item, MappedColumn, Preview, Request, RowVerdict, RunWarning, Status, Verdict, summed
from etl.redact import host_of, mask_request
from etl.sources.base import Window
from etl.stages import extract, plan, sums, transform, validate
from etl.stages.mapping import ColumnRules
from etl.staging import cache, items_of

MOST_UNSENT = 10_000
"""No more rows that would not be sent are kept per destination; all are counted."""


@dataclass
class _Draft:
    """A `Preview` in the making."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    warnings: list[RunWarning] = field(default_factory=list)
    unsent: list[RowVerdict] = field(default_factory=list)
    request: Request | None = None
    siblings: Siblings | None = None
    sums: list[sums.Sums] = field(default_factory=list)

    def add_unsent(self, rows: list[RowVerdict]) -> None:
        self.counts.update((row.verdict.status.value, row.verdict.reason) for row in rows)
        self.unsent += rows[: max(MOST_UNSENT - len(self.unsent), 0)]


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
        plan.check_window(config, import_name or "", window)
    ready, stopped = _prepared(config, plan.select_destinations(config, settings.to, to))
    rules = validate.Rules.of(settings, clock(), spreadsheet=source.spreadsheet)
    reading = extract.Extraction(source, ColumnRules.of(config, settings))
    previews = _previews(
        source.describe(), reading.frames(window or Window(), settings.chunk_rows), rules, ready, stopped, settings
    )
    return {
        name: replace(
            each,
            warnings=summed([*reading.warnings, *each.warnings]),
            notes=[*ready[name].doubts(), *ready[name].facts.notes],
            columns=_mapped_columns(reading, ready[name], settings),
        )
        for name, each in previews.items()
    }


def _mapped_columns(
    reading: extract.Extraction, destination: Destination, settings: ImportSettings
) -> list[MappedColumn]:
    """Every column that this destination gets something of, with one example, of all headers of the source."""
    found = {}
    own = type(destination).own_columns_of(dict(destination.settings))
    for mapping, example in reading.examples.items():
        for canonical, feed in mapping.feeds.items():
            cells = mapping.made(example, canonical).dropna().tolist()
            shown = redact.example(canonical, str(cells[0])) if cells else ""
            made_of = " + ".join(feed.sources) or "(constant)"
            found[made_of, canonical] = MappedColumn(made_of, canonical, destination.fields.get(canonical, ""), shown)
        for name, travels_as in {**mapping.own, **mapping.extras}.items():
            if name in mapping.extras or travels_as in own:
                cells = example[name].dropna().tolist()
                shown = redact.example(name, str(cells[0])) if cells else ""
                found[name, travels_as] = MappedColumn(name, "", destination.extra_field(travels_as), shown)
    return list(found.values())


def _prepared(config: Config, names: Sequence[str]) -> tuple[dict[str, Destination], dict[str, LookupFailed]]:
    """The destinations after their lookups, and of those whose lookup failed why."""
    destinations = {name: make_destination(config, name) for name in names}
    stopped: dict[str, LookupFailed] = {}
    fetch = lookups.fetcher(cache(config.staging_url), USER_AGENT)
    for name in names:
        try:
            destinations[name] = make_destination(config, name, destinations[name].prepare(fetch))
        except LookupFailed as error:
            stopped[name] = error
    return destinations, stopped


def _previews(
    source: str,
    frames: Iterable[pd.DataFrame],
    rules: validate.Rules,
    destinations: Mapping[str, Destination],
    stopped: Mapping[str, LookupFailed],
    settings: ImportSettings,
) -> dict[str, Preview]:
    """Judge and build every row for every destination; ``stopped`` ones (name -> why) get no requests."""
    drafts = {name: _Draft(siblings=Siblings(each) if each.in_order else None) for name, each in destinations.items()}
    rows = 0
    with validate.Validator(source) as validator:
        for frame in frames:
            rows += len(frame)
            good, rejected = validator.judge(frame, rules)
            for name, draft in drafts.items():
                draft.add_unsent(rejected)
                if name in stopped:
                    draft.counts[Status.FAILED.value, stopped[name].reason] += len(good)
                else:
                    _build(destinations[name], draft, good, settings, rules.now_ms)
    return {
        name: Preview(
            rows,
            dict(draft.counts),
            draft.unsent,
            draft.request,
            str(stopped.get(name, "")),
            [*validator.warnings, *summed(draft.warnings), *sums.warnings(destinations[name].facts.title, draft.sums)],
        )
        for name, draft in drafts.items()
    }


def _build(destination: Destination, draft: _Draft, good: pd.DataFrame, settings: ImportSettings, now_ms: int) -> None:
    table, not_taken = transform.items(good, destination, settings)
    draft.add_unsent(not_taken)
    draft.warnings += transform.warnings(table, good, destination, now_ms)
    draft.sums.append(sums.sums(destination, good.loc[table["row_number"].to_numpy()]))
    ready, late, early = partition_by_age(items_of(table), now_ms)
    facts = destination.facts
    for items, verdict in (
        (late, Verdict(Status.REJECTED, *facts.expired)),
        (early, Verdict(Status.FAILED, *facts.early)),
    ):
        draft.add_unsent([RowVerdict(item.row_number, item.event_id, item.event_name, verdict) for item in items])
    if draft.siblings:
        ready = _in_company(draft, draft.siblings, ready)
    draft.counts.update(("ready", reason) for reason in _warnings(destination, ready, now_ms))
    if draft.request is None and ready:
        payloads = [item.payload for item in ready[: destination.limits.items]]
        draft.request = mask_request(destination.request(payloads), destination.secrets())


def _in_company(draft: _Draft, siblings: Siblings, items: list[Item]) -> list[Item]:
    """The items that would go beside those before them, as they would if all of these were delivered."""
    going: list[Item] = []
    for item in items:
        now, settled, _ = siblings.sort([item])
        siblings.learn((each, Verdict(Status.DELIVERED)) for each in now)
        going += now
        draft.add_unsent([RowVerdict(each.row_number, each.event_id, each.event_name, said) for each, said in settled])
    return going


def _warnings(destination: Destination, items: list[Item], now_ms: int) -> Iterator[str]:
    """Each item's warning as it would stand in the results, empty where there is none."""
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
        status = lookups.reach(request.url, request.headers.get("User-Agent", USER_AGENT)).status
    except ImporterError as error:
        return "failed", str(error)
    answers = f"{host_of(destination.endpoint)} answers"
    if status == 404:
        return "warning", (
            f"{answers} 404 to a request without conversions: the address is in doubt, unless the vendor answers so to "
            f"whatever is no conversion. {destination.hint(404)}"
        ).strip()
    if status in (401, 403):
        return "warning", f"{answers} {status} to a request without conversions. {destination.hint(status)}".strip()
    if 300 <= status < 400 or status >= 500:
        return "warning", f"{answers} {status} to a request without conversions: is `endpoint` right, is the vendor up?"
    if doubts := destination.doubts():
        return "warning", f"{answers}, but {' '.join(doubts)}"
    looked_up = ", what it knows was looked up" if found else ""
    return "ok", f"settings and secrets are there{looked_up}, {answers}."


def check_settings(config: Config) -> None:
    """Judge the settings of every destination and source, as if they were to be used. Raises ConfigError."""
    for name in config.destination_names:
        make_destination(config, name)
    for name, settings in config.imports.items():
        sources.file_source(config, name, "any") if settings.only_drops else sources.import_source(config, name)
