"""Where things are, as people may be told."""

from __future__ import annotations

import re


def shown(location: str) -> str:
    """A path or URL without what may be secret in it: of a URL user and password, and of a web address its query."""
    bare = re.sub(r"(?<=://)[^/@]*@", "", location)
    return bare.partition("?")[0] if bare.startswith(("http://", "https://")) else bare  # elsewhere ? is of a pattern
