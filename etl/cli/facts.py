"""What is known of each type of destination, as a table, for the README, or as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from etl.tables import heading_table

if TYPE_CHECKING:
    from etl.destinations.base import Facts


def tables(found: Mapping[str, Facts]) -> Iterator[Table]:
    """Who can be delivered to: limits, then what a row needs and what becomes of repeats."""
    heads = ("items", "at most", "body", "parallel", "spacing")
    limits = heading_table("type", *((head, "right") for head in heads), "deduplicates")
    words = Table.grid(padding=(0, 2))
    for type_, each in found.items():
        row = _row(type_, each)
        body = f"{each.max_bytes / 1e6:g} MB"
        numbers = (f"{each.limits.items:,}", f"{each.max_items:,}", body, row["connections"], row["spacing"])
        limits.add_row(type_, *numbers, row["dedup"])
        words.add_row()
        words.add_row(Text(each.title, style="bold"), "needs", row["requires"])
        words.add_row("", "repeats", each.repeatable_because)
    yield limits
    yield words


def _row(type_: str, facts: Facts) -> dict[str, str]:
    """One destination type in words."""
    limits = facts.limits
    most = f" (at most {facts.max_items:,})" if facts.max_items != limits.items else ""
    return {
        "type": type_,
        "vendor": facts.title,
        "batch": f"{limits.items:,}{most}",
        "bytes": f"{facts.max_bytes:,}",
        "connections": str(limits.connections),
        "spacing": f"{limits.spacing_ms:,} ms" if limits.spacing_ms else "none",
        "dedup": facts.deduplicates,
        "because": facts.repeatable_because,
        "requires": ", ".join(facts.requires),
    }


def markdown(found: Mapping[str, Facts]) -> str:
    """The table of the README."""
    head = {
        "type": "`type`",
        "vendor": "Vendor",
        "batch": "Conversions per request",
        "bytes": "Bytes per request",
        "connections": "Connections",
        "spacing": "Spacing",
        "dedup": "Deduplicates",
        "requires": "Needs",
    }
    lines = [list(head.values()), ["---"] * len(head)]
    for type_, each in found.items():
        row = _row(type_, each)
        row |= {"type": f"`{type_}`", "dedup": f"{row['dedup']}: {row['because']}"}
        lines.append([row[name] for name in head])
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def plain(type_: str, facts: Facts) -> dict[str, Any]:
    """One destination type as plain values."""
    limits = facts.limits
    return {
        "type": type_,
        "title": facts.title,
        "docs": list(facts.docs),
        "items": limits.items,
        "max_items": facts.max_items,
        "max_bytes": facts.max_bytes,
        "connections": limits.connections,
        "spacing_ms": limits.spacing_ms,
        "deduplicates": facts.repeatable,
        "dedup_documented": facts.dedup_documented,
        "where_to_look": facts.where_to_look,
        "because": facts.repeatable_because,
        "requires": list(facts.requires),
    }
