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


def load(text: str) -> Any:
    """The one document of a text. Raises RepeatedKeyError and other YAMLErrors."""
    return _Loader(text).get_single_data()
