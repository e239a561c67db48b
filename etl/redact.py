"""Where things are, as people may be told."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit


def shown(location: str) -> str:
    """A path or URL without what may be secret in it: of a URL user and password, and of a web address its query."""
    bare = re.sub(r"(?<=://)[^/@]*@", "", location)
    return bare.partition("?")[0] if bare.startswith(("http://", "https://")) else bare  # elsewhere ? is of a pattern


def host_of(url: str) -> str:
    """Where a URL leads, host and port: without what may be secret in the rest of it."""
    return url.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1]


def is_public(value: str) -> bool:
    """True for what may and must be shown: the path of a file, or a URL that holds no credentials."""
    if value.startswith(("http://", "https://")):
        url = urlsplit(value)
        return not (url.username or url.password or url.query) and url.path in ("", "/")
    return value.startswith(("/", ".")) and exists(Path(value))


def exists(path: Path) -> bool:
    """True when something is there; a key taken for a path may be too long for one."""
    try:
        return path.exists()
    except OSError:
        return False
