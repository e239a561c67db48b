"""YAML in which no key stands twice in one mapping and nothing unfolds without end. It knows nothing of settings."""

from __future__ import annotations

from typing import Any

import yaml

_UNFOLDED = 100_000
"""How many values aliases (``*name``) may add to those that are written."""


class StrictError(yaml.YAMLError):
    """What YAML allows and we do not: a key twice in one mapping, or aliases that make too much of a document."""


class _Loader(yaml.SafeLoader):
    """Where a key stands twice, the library lets the last one win in silence."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping as written, before ``<<`` brings in others: overriding those is what it is for."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise StrictError(f"{key.value} stands twice in one place, in lines {lines[key.value]} and {line}")
                lines[key.value] = line
        return node


def line_of(text: str, path: str) -> int | None:
    """The line of the deepest key of ``path`` (``imports.orders.to.0``) that is written; None where none of it is.

    Raises YAMLError.
    """
    line: int | None = None
    node: Any = _Loader(text).get_single_node()
    while path and (found := _below(node, path)):
        line, node, path = found
    return line


def _below(node: Any, path: str) -> tuple[int, Any, str] | None:
    """The entry that a path begins with: its line, what it holds, and the rest of the path; names may hold dots."""
    if isinstance(node, yaml.SequenceNode):
        first, _, rest = path.partition(".")
        if first.isdigit() and int(first) < len(node.value):
            held = node.value[int(first)]
            return held.start_mark.line + 1, held, rest
    if isinstance(node, yaml.MappingNode):
        for key, held in node.value:
            name = str(key.value)
            if path == name or path.startswith(f"{name}."):
                return key.start_mark.line + 1, held, path[len(name) + 1 :]
    return None


def load(text: str) -> Any:
    """The one document of a text. Raises StrictError and other YAMLErrors."""
    loader = _Loader(text)
    document = loader.get_single_node()
    if document is None:
        return None
    sizes: dict[int, int] = {}
    if _unfolded(document, sizes) > len(sizes) + _UNFOLDED:
        raise StrictError(f"its aliases (*name) unfold to more than {_UNFOLDED:,} values; write out what is meant")
    return loader.construct_document(document)


def _unfolded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node is when every alias is written out; ``sizes`` of those that were counted."""
    known = sizes.get(id(node))
    if known is not None:
        if not known:
            raise StrictError(f"line {node.start_mark.line + 1} holds an alias (*name) of what it is itself a part of")
        return known
    sizes[id(node)] = 0
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    sizes[id(node)] = 1 + sum(_unfolded(part, sizes) for part in parts)
    return sizes[id(node)]
