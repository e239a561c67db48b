"""Proposal: what to add to an import whose header leaves something open, ready to paste.

A required column that is missing stops the import, and so does money or a time of day that nobody uses: it is never
less than the file said. Names decide, and of dates and times the first rows too, where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping as Dict
from collections.abc import Sequence

import pandas as pd

from etl.column_settings import flow, quoted
from etl.columns import COLUMNS, REQUIRED, normalize
from etl.errors import SourceError
from etl.model import RunWarning
from etl.stages import headers
from etl.stages.mapping import ColumnRules, Mapping, name_list

ROWS_LOOKED_AT = 1000

_OURS = ("email", "phone", "order_id", "quantity", "currency")

_SYNONYMS: Dict[str, tuple[str, ...]] = {
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


def judge_names(mapping: Mapping, there: Sequence[str], rules: ColumnRules, source: str) -> list[RunWarning]:
    """What is to be said of a header that will do; ``there`` are those of its names that are not of other files alone.

    Raises SourceError where a required column is missing, or where money is there and unused.
    """
    absent = [name for name in REQUIRED if not _is_fed(mapping, name, there)]
    if absent:
        raise SourceError(
            f"{source}: no column for {', '.join(absent)}. Add to the import:\n{_whole_block(mapping, rules)}"
        )
    unused = _undecided(mapping, rules, there)
    money = [] if _has_revenue(mapping, there, rules) else headers.likeliest_money(unused)
    if money:
        nothing = pd.DataFrame({name: pd.Series(dtype="str") for name in mapping.names})
        raise SourceError(_question(mapping, rules, source, money, _unused_moment(mapping, nothing, unused)))
    return _unused_columns_of_ours(mapping, unused)


def judge_rows(
    mapping: Mapping, frame: pd.DataFrame, there: Sequence[str], rules: ColumnRules, source: str
) -> list[RunWarning]:
    """What is to be said of the first rows of a file or query (``frame``, which may have none), by what they show.

    Raises SourceError where a time of day or a zone stands unused beside occurred_at, which has none (without rows
    names alone decide), or where a column of another name holds money and none is used.
    """
    unused = _undecided(mapping, rules, there)
    moment = _unused_moment(mapping, frame, unused)
    asked = [] if _has_revenue(mapping, there, rules) else [name for name in unused if headers.may_be_revenue(name)]
    looked_at = {name: _texts(frame[name].head(ROWS_LOOKED_AT)) for name in asked}
    money = [name for name, texts in looked_at.items() if _holds_money(name, texts)]
    if moment or money:
        raise SourceError(_question(mapping, rules, source, money, moment))
    sentence = "{}: its numbers have two decimals, as amounts do, and nothing is mapped to revenue: map or `ignore` it."
    return [
        RunWarning("column_not_used", name, 0, sentence.format(name))
        for name, texts in looked_at.items()
        if len(texts) and bool(texts.str.fullmatch(_TWO_DECIMALS).all())
    ]


def needs_rows(mapping: Mapping, rules: ColumnRules) -> bool:
    """True where the first rows decide whether a column of this header is a part of the moment."""
    unused = _undecided(mapping, rules, mapping.names)
    return any(headers.is_time_of_day(name) or headers.is_zone(name) for name in unused)


_SIGNS = (
    r"(?:[€$£¥₹₽₩₺₫₴₦฿₱₪₡₲₵₸₼₾]|[A-Z]{1,3}\$|(?:EUR|USD|GBP|CHF|JPY|CAD|AUD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|INR|CNY"
    r"|kr|zł|Kč)\.?)"
)
_AMOUNT = r"[-\u2212+(]?\s*[0-9][0-9.,'’\s]*\)?-?"
_SIGNED_AMOUNT = rf"[-\u2212(]?{_SIGNS}\s*{_AMOUNT}|{_AMOUNT}\s*{_SIGNS}\)?"
_TWO_DECIMALS = r"[-\u2212]?[0-9]{1,9}[.,][0-9]{2}"


def _holds_money(name: str, texts: pd.Series[str]) -> bool:
    """True where every cell is an amount with a currency; or with decimals, under a name that may mean money."""
    if not len(texts):
        return False
    if bool(texts.str.fullmatch(_SIGNED_AMOUNT).all()):
        return True
    return headers.hints_at_money(name) and bool(texts.str.fullmatch(rf"{_TWO_DECIMALS}|0").all())


def _texts(column: pd.Series[str]) -> pd.Series[str]:
    """The cells that hold something, without white space around it."""
    texts = column.dropna().astype("str").str.strip()
    return texts[texts != ""]


def _is_fed(mapping: Mapping, canonical: str, there: Sequence[str]) -> bool:
    feed = mapping.feeds.get(canonical)
    return feed is not None and (not feed.sources or any(name in there for name in feed.sources))


def _has_revenue(mapping: Mapping, there: Sequence[str], rules: ColumnRules) -> bool:
    """True where a file has the revenue, or somebody has said which column it is, even if this file lacks it."""
    return "revenue" in rules.settings.columns or _is_fed(mapping, "revenue", there)


def _undecided(mapping: Mapping, rules: ColumnRules, there: Sequence[str]) -> list[str]:
    """Those columns of a file that feed none of ours and that nobody has said anything of, in order."""
    open_ = {*mapping.left_out, *mapping.stray, *(mapping.extras if rules.everything else ())}
    return [name for name in mapping.names if name in open_ and name in there and name not in mapping.own]


def _unused_columns_of_ours(mapping: Mapping, unused: Sequence[str]) -> list[RunWarning]:
    lacking = [name for name in _OURS if name not in mapping.feeds]
    found = [(name, ours) for name in unused if (ours := headers.plainly_ours(name, lacking)) is not None]
    return [
        RunWarning("column_not_used", name, 0, f"{name} looks like {ours} and is not used: map it, or `ignore` it.")
        for name, ours in found
    ]


# -- money and time


def _question(
    mapping: Mapping, rules: ColumnRules, source: str, money: Sequence[str], moment: Sequence[str] | None
) -> str:
    """One sentence for each thing that is open, the lines to paste, and what to paste where it is not to be used."""
    sentences, lines = [], {}
    not_used = list(money)
    if money:
        looks = "look" if len(money) > 1 else "looks"
        sentences.append(
            f"{name_list(money)} {looks} like money, and nothing is mapped to revenue, so that conversions would be "
            "sent without it."
        )
        units = headers.minor_units(money[0])
        lines["revenue"] = quoted(money[0]) if units is None else flow({"column": money[0], "divide_by": units})
        code = headers.currency_of(money[0])
        if code and "currency" not in mapping.feeds:
            lines["currency"] = flow({"value": code})
    if moment:
        own = mapping.feeds["occurred_at"].sources
        beside = [name for name in moment if name not in own]
        not_used += beside
        what = "is a part of the moment" if len(beside) == 1 else "are parts of the moment"
        sentences.append(
            f"{name_list(beside)} beside {' and '.join(own)} {what}, and conversions would be dated without it."
        )
        lines["occurred_at"] = flow(list(moment))
    ignored = flow([*rules.settings.ignore, *not_used])
    block = _block({**_configured(rules), **lines})
    instead = f"# or, where it is not to be used:\n# ignore: {ignored}"
    return f"{source}: {' '.join(sentences)} Add to the import:\n{block}\n{instead}"


def _unused_moment(mapping: Mapping, frame: pd.DataFrame, unused: Sequence[str]) -> list[str] | None:
    """The columns that make the whole moment, where time or zone stand in columns beside it; else None."""
    own = mapping.feeds["occurred_at"].sources
    if not own:
        return None
    looked_at = frame.head(ROWS_LOOKED_AT)
    texts = _texts(mapping.made(looked_at, "occurred_at"))
    times = [name for name in unused if _is_time_of_day(name, looked_at[name])]
    zones = [name for name in unused if headers.is_zone(name) or _all_match(looked_at[name], _NAMED_ZONE)]
    dated_only = _dated_only(texts) if len(texts) else all(headers.is_date(name) for name in own)
    if times and dated_only:
        return [*own, times[0], *zones[:1]]
    if zones and len(texts) and not dated_only and not _has_zones(texts):
        return [*own, zones[0]]
    return None


_MIDNIGHT = r"(?<![0-9+\u2212-])(?:00?:00(?::00(?:[.,]0+)?)?|12:00(?::00)?\s*[Aa]\.?[Mm]\.?)(?![0-9:])"
_DIGITS = r"[-+]?[0-9]{9,}(?:\.[0-9]+)?|[0-9]{5}[.,][0-9]+"
_TIME = r":[0-9]{2}|[0-9]\s*[hH]\s*[0-9]{2}|T[0-9]{2}|[0-9]\s*[AaPp]\.?[Mm]"
_ZONE = r"(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{1,2}|[A-Z]{3,4}|[A-Za-z]+/[A-Za-z_/]+)$"


def _dated_only(texts: pd.Series[str]) -> bool:
    """True when no moment has a time of day, or each of them midnight."""
    digits = texts.str.fullmatch(_DIGITS)
    clock = texts.str.contains(_TIME, regex=True)
    midnight = texts.str.contains(_MIDNIGHT, regex=True)
    return not bool((digits | (clock & ~midnight)).any())


def _has_zones(texts: pd.Series[str]) -> bool:
    digits = texts.str.fullmatch(_DIGITS)
    return bool((digits | texts.str.contains(_ZONE, regex=True)).any())


_CLOCK = r"[0-2]?[0-9](?:[:.hH][0-5][0-9]){1,2}(?:[.,][0-9]+)?\s*(?:[AaPp]\.?\s?[Mm]\.?|Uhr|Z)?"
_NAMED_ZONE = r"(?:Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific)/[A-Za-z_/-]+"


def _is_time_of_day(name: str, cells: pd.Series[str]) -> bool:
    """By its name, where its cells are not whole moments; or by its cells, where its name allows it."""
    if headers.is_time_of_day(name):
        return not _has_dates(cells)
    clock = _all_match(cells, _CLOCK) and bool(_texts(cells).str.contains("[:hH]", regex=True).all())
    return clock and headers.may_be_time_of_day(name)


def _all_match(cells: pd.Series[str], pattern: str) -> bool:
    texts = _texts(cells)
    return len(texts) > 0 and bool(texts.str.fullmatch(pattern).all())


def _has_dates(cells: pd.Series[str]) -> bool:
    """True for a column whose cells are whole moments, whatever its name."""
    texts = _texts(cells)
    dated = texts.str.contains(r"[0-9]{4}[-/.][0-9]{1,2}[-/.]|[-/.][0-9]{4}|^[0-9]{9,}$", regex=True)
    return len(texts) > 0 and bool(dated.all())


# -- what to paste


def _whole_block(mapping: Mapping, rules: ColumnRules) -> str:
    """A ``columns:`` block: what is mapped already, and the likeliest guess for the rest."""
    free = [name for name in mapping.names if name not in mapping.feeding and name not in mapping.ignored]
    lines = _configured(rules)
    for canonical in COLUMNS:
        if canonical in lines or canonical in mapping.feeds:
            continue
        guess = _likely(canonical, free)
        if guess is not None:
            parts = _with_time_and_zone(guess, free) if canonical == "occurred_at" else [guess]
            lines[canonical] = quoted(guess) if len(parts) == 1 else flow(parts)
            free = [name for name in free if name not in parts]
        elif canonical in REQUIRED:
            lines[canonical] = f"???   # one of: {name_list(free) or 'none is left'}"
    return _block(lines)


def _with_time_and_zone(date: str, free: Sequence[str]) -> list[str]:
    if not headers.is_date(date):
        return [date]
    times = [name for name in free if name != date and headers.is_time_of_day(name)]
    zones = [name for name in free if headers.is_zone(name)] if times else []
    return [date, *times[:1], *zones[:1]]


def _configured(rules: ColumnRules) -> dict[str, str]:
    return {canonical: how.as_yaml() for canonical, how in rules.settings.columns.items()}


def _block(lines: Dict[str, str]) -> str:
    ordered = [f"  {canonical}: {lines[canonical]}" for canonical in COLUMNS if canonical in lines]
    return "\n".join(["columns:", *ordered])


def _likely(canonical: str, free: Sequence[str]) -> str | None:
    wanted = [normalize(synonym) for synonym in (canonical, *_SYNONYMS.get(canonical, ()))]
    by_name = {normalize(name): name for name in reversed(free)}
    found = next((by_name[synonym] for synonym in wanted if synonym in by_name), None)
    if found is None and canonical == "revenue":
        return next(iter(headers.likeliest_money(free)), None)
    if found is None and canonical in _OURS:
        return next((name for name in free if headers.plainly_ours(name, [canonical])), None)
    return found
