"""YAML in which no key may stand twice in one mapping. It knows nothing of settings."""

from __future__ import annotations

from typing import Any

import yaml


class RepeatedKeyError(yaml.YAMLError):
    """A key that stands twice in one mapping."""


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
                    raise RepeatedKeyError(
                        f"{key.value} stands twice in one place, in lines {lines[key.value]} and {line}"
                    )
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
    """The one document of a text. Raises RepeatedKeyError and other YAMLErrors."""
    return _Loader(text).get_single_data()
