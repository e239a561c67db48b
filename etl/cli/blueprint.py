"""One vendor whole, as its facts and the model of its settings say it: for people, or as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.table import Table
from rich.text import Text

from etl.tables import heading_table, plural, printable

if TYPE_CHECKING:
    from etl.destinations.base import Destination
    from etl.reasons import Reason


class Setting(NamedTuple):
    """One setting as imports.yaml writes it: ``limits.items``, ``at least 1``, what holds without it, its meaning."""

    name: str
    kind: str
    default: str
    meaning: str


def settings(class_: type[Destination]) -> list[Setting]:
    """Every setting of a vendor, from the model that judges it; what a vendor's facts say holds where nothing "
    "is set."""
    schema = class_.settings_model.model_json_schema()
    facts = {f"limits.{name}": value for name, value in asdict(class_.facts.limits).items()}
    facts |= {f"retry.{name}": value for name, value in asdict(class_.facts.retry_policy).items()}
    found = _settings(schema, schema.get("$defs", {}))
    return [each._replace(default=_default(facts[each.name])) if each.name in facts else each for each in found]


def _settings(schema: Mapping[str, Any], models: Mapping[str, Any], under: str = "") -> Iterator[Setting]:
    required = schema.get("required", [])
    for name, each in schema["properties"].items():
        inner = models.get(str(each.get("$ref", "")).rpartition("/")[2], {})
        meaning = " ".join(str(each.get("description") or inner.get("description", "")).split())
        if "properties" in inner:
            yield from _settings(inner, models, f"{under}{name}.")
        else:
            default = "(required)" if name in required else _default(each.get("default"))
            yield Setting(f"{under}{name}", _kind(each), default, meaning)


def _default(value: Any) -> str:
    if value is None or value in ({}, [], ()):
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _kind(schema: Mapping[str, Any]) -> str:
    """A type of JSON Schema in words: ``warn | strict | off``, ``a whole number (1 to 7)``, ``a secret``."""
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"] if each.get("type") != "null")
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"a list of: {_kind(schema.get('items', {}))}"
    if kind == "object":
        return f"names with each: {_kind(schema.get('additionalProperties') or {})}"
    if kind == "string":
        return "a secret" if schema.get("format") == "password" else "text"
    return {"boolean": "yes or no", "integer": "a whole number", "number": "a number"}.get(kind, kind) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is not None and most is not None:
        return f" ({least} to {most})"
    return f" (at least {least})" if least is not None else f" (at most {most})" if most is not None else ""


def plain(class_: type[Destination], changed: Mapping[str, str]) -> dict[str, Any]:
    """One vendor as plain values; ``changed``: what an import's ``events`` says, event -> what it becomes."""
    facts = class_.facts
    return {
        "type": class_.type,
        "title": facts.title,
        "docs": list(facts.docs),
        "fields": dict(class_.fields),
        "requires": list(facts.requires),
        "events": dict(facts.events),
        "events_changed": dict(changed),
        "settings": [setting._asdict() for setting in settings(class_)],
        "limits": limits(class_),
        "deduplicates": facts.deduplicates,
        "because": facts.repeatable_because,
        "where_to_look": facts.where_to_look,
        "notes": list(facts.notes),
        "troubleshooting": dict(facts.troubleshooting),
        "answers": {str(status): hint for status, hint in sorted(facts.hints.items())},
    }


def markdown(class_: type[Destination], own: Sequence[Reason]) -> str:
    """One vendor for docs/vendors: what its facts, settings and reasons (``own``) say."""
    facts = class_.facts
    columns = [(f"`{name}`", f"`{field}`") for name, field in class_.fields.items()]
    options = [(f"`{each.name}`", each.kind, each.default, each.meaning) for each in settings(class_)]
    reasons = [(f"`{each.code}`", ", ".join(each.statuses), each.sentence, each.action) for each in own]
    blocks = [
        f"Deduplicates: {facts.deduplicates}: {facts.repeatable_because}.",
        f"Limits: {limits(class_)}.",
        f"Needs: {', '.join(facts.requires)}.",
        f"Where to look after a test event: {facts.where_to_look}",
        *(f"To know: {note}" for note in facts.notes),
        _table(("event", "by default"), facts.events.items()),
        _table(("column", "the vendor's field"), columns),
        _table(("option", "type", "default", "meaning"), options),
        _table(("when something is wrong", "what to do"), facts.troubleshooting.items()),
        _table(("answer", "what to do"), ((str(status), hint) for status, hint in sorted(facts.hints.items()))),
        _table(("reason", "status", "what it means", "what to do"), reasons),
    ]
    return "\n\n".join(blocks) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def limits(class_: type[Destination]) -> str:
    """What travels at once, in words."""
    facts, ours = class_.facts, class_.facts.limits
    most = f" (at most {facts.max_items:,})" if facts.max_items != ours.items else ""
    spacing = f", {ours.spacing_ms:,} ms apart" if ours.spacing_ms else ""
    return (
        f"{plural(ours.items, 'conversion')} a request{most}, {facts.max_bytes:,} bytes, "
        f"{plural(ours.connections, 'connection')}{spacing}"
    )


def parts(class_: type[Destination], changed: Mapping[str, str]) -> Iterator[Text | Table]:
    """One vendor for people, part by part."""
    facts = class_.facts
    yield Text(facts.title, style="bold")
    yield _pairs(
        {
            "type": class_.type,
            "documents": ", ".join(facts.docs),
            "needs": ", ".join(facts.requires),
            "limits": limits(class_),
            "deduplicates": f"{facts.deduplicates}: {facts.repeatable_because}",
            "where to look": facts.where_to_look,
        }
    )
    for head, pairs in (
        ("Events, by default", facts.events),
        ("Events, as this import has them", changed),
        ("Columns", class_.fields),
        ("When something is wrong", facts.troubleshooting),
        ("Answers", {str(status): hint for status, hint in sorted(facts.hints.items())}),
    ):
        if pairs:
            yield Text(f"\n{head}", style="bold")
            yield _pairs(pairs)
    for note in facts.notes:
        yield Text(f"\nNote: {note}")
    yield Text("\nSettings", style="bold")
    table = heading_table("setting", "type", "default", "meaning")
    for each in settings(class_):
        table.add_row(*map(printable, each))
    yield table


def _pairs(pairs: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, says in pairs.items():
        table.add_row(Text(printable(name), style="dim"), printable(says))
    return table
