"""Check and ping: everything a run would do up to the wire. Sends no conversion, writes nothing down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pandas as pd

from etl import reasons, redact, sources
from etl.clock import DAY_MS, Clock, wall_clock
from etl.config import Config, ImportSettings
from etl.delivery import forecast as forecasting
from etl.delivery import identity, lookups
from etl.delivery.forecast import Forecast
from etl.destinations import make_destination
from etl.destinations.base import USER_AGENT, Destination
from etl.errors import ImporterError, LedgerError, LookupFailed
from etl.ledger import Ledger, file_of, upgrade
from etl.model import Item, MappedColumn, Plan, Preview, Request, RowVerdict, RunWarning, Status, summed
from etl.redact import host_of, mask_request
from etl.sources.base import Window
from etl.stages import extract, gap, plan, sums, transform, validate
from etl.stages.mapping import ColumnRules
from etl.staging import cache, items_of

LONG_S = 6 * 3600
"""A run that takes longer is warned of."""

MOST_UNSENT = 10_000
"""No more rows that would not be sent are kept per destination; all are counted."""


@dataclass
class _Draft:
    """A `Preview` in the making."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    warnings: list[RunWarning] = field(default_factory=list)
    unsent: list[RowVerdict] = field(default_factory=list)
    request: Request | None = None
    sums: list[sums.Sums] = field(default_factory=list)
    going: int = 0
    soon: int = 0
    first: int = 0
    requests: int = 0

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

    Lookups are made. The ledger is read, where there is one, and nothing is written to it.
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
    frames = reading.frames(window or Window(), settings.chunk_rows)
    retries = import_name if file is None and window is None and settings.retry_first else None
    with _ledger(config) as (ledger, doubts):
        stopped |= _other_accounts(ready, ledger)
        forecasts = {name: _forecast(each, ledger, rules.now_ms, retries) for name, each in ready.items()}
        previews = _previews(source.describe(), frames, rules, forecasts, stopped, settings)
    return {
        name: replace(
            each,
            warnings=summed([*reading.warnings, *each.warnings]),
            notes=[*doubts, *ready[name].doubts(), *ready[name].facts.notes],
            columns=_mapped_columns(reading, ready[name], settings),
        )
        for name, each in previews.items()
    }


@contextmanager
def _ledger(config: Config) -> Iterator[tuple[Ledger | None, list[str]]]:
    """The ledger for who only asks, and why it cannot be asked. None is made, and none upgraded."""
    file = file_of(config.ledger_url)
    if file is not None and not file.exists():
        yield None, []
        return
    with Ledger(config.ledger_url, lease_ms=config.lease_ms) as ledger:
        doubts: list[str] = []
        try:
            with ledger.database.reading() as connection:
                if upgrade.version(connection) != upgrade.head():
                    doubts.append("The ledger is of another version or empty: what was delivered before is not known.")
        except LedgerError as error:
            doubts.append(f"What was delivered before is not known. {error}")
        yield None if doubts else ledger, doubts


def _other_accounts(ready: Mapping[str, Destination], ledger: Ledger | None) -> dict[str, LookupFailed]:
    """The destinations that the ledger knows as another account, and what a run would say of them."""
    found: dict[str, LookupFailed] = {}
    if ledger is None:
        return found
    for name, destination in ready.items():
        try:
            identity.refuse_another(destination, ledger)
        except LookupFailed as error:
            found[name] = error
    return found


def _forecast(destination: Destination, ledger: Ledger | None, at_ms: int, import_name: str | None) -> Forecast:
    """``import_name``: whose dead letters a run would send first, if any."""
    if ledger is None or import_name is None:
        return Forecast(destination, at_ms, ledger)
    statuses = ["failed", "unknown"] if destination.facts.repeatable else ["failed"]
    there = ledger.results.count_dead_letters(
        statuses=statuses, import_name=import_name, destinations=[destination.name]
    )
    if not there:
        return Forecast(destination, at_ms, ledger)

    def goes_first(event_ids: Sequence[str]) -> Collection[str]:
        return ledger.results.go_first(import_name, destination.name, event_ids, statuses=statuses)

    return Forecast(destination, at_ms, ledger, goes_first)


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
    forecasts: Mapping[str, Forecast],
    stopped: Mapping[str, LookupFailed],
    settings: ImportSettings,
) -> dict[str, Preview]:
    """Judge and build every row for every destination; ``stopped`` ones (name -> why) get no requests."""
    drafts = {name: _Draft() for name in forecasts}
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
                    _build(forecasts[name], draft, good, settings)
    return {
        name: Preview(
            rows,
            dict(draft.counts),
            draft.unsent,
            draft.request,
            str(stopped.get(name, "")),
            [*validator.warnings, *summed(draft.warnings), *sums.warnings(_title(forecasts[name]), draft.sums)],
            plan=None if name in stopped else _plan(forecasts[name].destination, draft),
        )
        for name, draft in drafts.items()
    }


def _build(forecast: Forecast, draft: _Draft, good: pd.DataFrame, settings: ImportSettings) -> None:
    destination, at_ms = forecast.destination, forecast.at_ms
    if forecast.ledger is not None:
        good, unclear = gap.apart(forecast.ledger, destination, good)
        draft.add_unsent(unclear)
    table, not_taken = transform.items(good, destination, settings)
    draft.add_unsent(not_taken)
    draft.warnings += transform.warnings(table, good, destination, at_ms)
    draft.sums.append(sums.sums(destination, good.loc[table["row_number"].to_numpy()]))
    foreseen = forecast.chunk(items_of(table))
    draft.add_unsent(sorted(foreseen.unsent))
    draft.counts.update(foreseen.taken)
    draft.counts.update(("ready", reason) for reason in _warnings(destination, foreseen.going, at_ms))
    draft.going += len(foreseen.going)
    draft.soon += sum(item.expires_at_ms is not None and item.expires_at_ms < at_ms + DAY_MS for item in foreseen.going)
    draft.first += foreseen.first
    draft.requests += foreseen.requests
    if draft.request is None and foreseen.going:
        payloads = [item.payload for item in foreseen.going[: destination.limits.items]]
        draft.request = mask_request(destination.request(payloads), destination.secrets())


def _plan(destination: Destination, draft: _Draft) -> Plan:
    seconds = forecasting.seconds(destination, draft.requests)
    counts = draft.counts
    changed = counts[Status.DUPLICATE.value, reasons.CHANGED_AFTER_DELIVERY.code]
    delivered = counts[Status.DUPLICATE.value, reasons.ALREADY_DELIVERED.code] - draft.first
    expired = counts[Status.REJECTED.value, destination.facts.expired[0]]
    too_slow = _too_slow(destination, seconds) if seconds > LONG_S else ""
    return Plan(
        draft.going, delivered + changed, changed, expired, draft.soon, draft.first, draft.requests, seconds, too_slow
    )


def _too_slow(destination: Destination, seconds: float) -> str:
    limits = destination.limits
    days = f"{seconds / 86_400:,.0f} days" if seconds >= 2 * 86_400 else f"{seconds / 3600:,.0f} hours"
    return (
        f"This would take {days} with {limits.connections:,} connection{'' if limits.connections == 1 else 's'}: raise "
        f"`limits` of {destination.name} (connections, items) as far as the vendor allows it, or send a part at a time "
        "with --from and --until."
    )


def _title(forecast: Forecast) -> str:
    return forecast.destination.facts.title


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
