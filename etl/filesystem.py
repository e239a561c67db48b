"""Files, wherever they are: local paths, ``s3://`` and any other fsspec URL, found by glob and window, opened as bytes.

Credentials come the usual way of each file system (for S3: environment, profile, role); ``AWS_ENDPOINT_URL`` or the
options of the source name another endpoint.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, Any

import fsspec
import zstandard
from botocore.exceptions import BotoCoreError

from etl.errors import ConfigError, SourceError
from etl.redact import redact_url

OUT_OF_REACH = (OSError, BotoCoreError)
"""What file systems raise when a file is locked, refused or not to be had now."""

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_END_OF_WINDOW = re.compile(r"\{(?P<end>start|end)(?::(?P<format>[^{}]*))?\}")


@dataclass(frozen=True, slots=True)
class Place:
    """One file: its file system and its path there."""

    fs: Any
    path: str
    display_path: str = ""
    """The path as people may see it, where that differs."""

    @property
    def name(self) -> str:
        """The last part of the path; what people call the file."""
        return PurePosixPath(redact_url(self.display_path or self.path)).name

    @property
    def url(self) -> str:
        """The path with its protocol, for another process to open."""
        return str(self.fs.unstrip_protocol(self.path))


def has_window(path: str) -> bool:
    """True when a path has a place for the window."""
    return _END_OF_WINDOW.search(path) is not None


def windowed(path: str, start: datetime | None, end: datetime | None, what: str) -> str:
    """The path with ``{start:%Y-%m-%d}`` and ``{end:…}`` filled in; SourceError when it needs an end that is open."""

    def filled(found: re.Match[str]) -> str:
        moment = start if found["end"] == "start" else end
        if moment is None:
            raise SourceError(f"source: {what} needs a window: run it with --from and --until.")
        return format(moment, found["format"] or "")

    return _END_OF_WINDOW.sub(filled, path)


def file_system(url: str, where: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """The file system of a path or URL, and the path there. Raises ConfigError, which names ``where`` it is written."""
    protocol = f"{url.partition('://')[0]}://"
    try:
        fs, path = fsspec.core.url_to_fs(url, **(options or {}))
    except ImportError:
        raise ConfigError(f"{where}: what reads {protocol} is not installed here; use a path or s3://.") from None
    except ValueError:
        raise ConfigError(f"{where}: {protocol} is no place that can be read; use a path or s3://.") from None
    return fs, path


def find(pattern: str, options: Mapping[str, Any] | None = None, display_path: str = "") -> list[Place]:
    """The files that a path, a glob or a folder (``…/``, everything below it) names, in order of their names.

    What programs leave beside data (.DS_Store, _SUCCESS) is none of it, unless it is named.
    ``display_path``: the pattern as people may see it.
    """
    fs, path = file_system(pattern, "source.path", options)
    with translating_errors(redact_url(display_path or pattern)):
        kind = _kind(fs, path)
        if kind == "file":  # a name such as "orders [1].csv" means itself
            return [Place(fs, path, display_path)]
        if kind or not _magic(path):
            return _visible(fs, fs.find(path) if kind else [])
        found = [one for one, info in fs.glob(path, detail=True).items() if _is_file(fs, one, info)]
    return _visible(fs, found, named=PurePosixPath(path).name)


def _visible(fs: Any, paths: list[str], named: str = "") -> list[Place]:
    """The files in order, without hidden ones, which a pattern ``named`` like them asks for."""
    marks = [mark for mark in "._" if not named.startswith(mark)]
    return [Place(fs, path) for path in sorted(paths) if PurePosixPath(path).name[0] not in marks]


def _is_file(fs: Any, path: str, info: Mapping[str, Any]) -> bool:
    """A link in a listing is told as a link; what it leads to may be a file."""
    return info["type"] == "file" or (bool(info.get("islink")) and _kind(fs, path) == "file")


def _kind(fs: Any, path: str) -> str | None:
    """``file``, ``directory``, or None where there is nothing.

    fsspec's own ``isfile`` says no to trouble of any kind: a busy bucket would hide its files.
    """
    try:
        return str(fs.info(path)["type"])
    except (FileNotFoundError, ValueError):  # ValueError: a path that none can have
        return None
    except PermissionError:
        if _magic(path):  # who may list a part of a bucket may not ask for what is not there; the listing will tell
            return None
        raise


def _magic(path: str) -> bool:
    return any(mark in path for mark in "*?[")


@contextmanager
def opened(place: Place) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed by suffix (.gz, .zst), streamed."""
    with translating_errors(place.name), place.fs.open(place.path, "rb") as raw:
        suffix = PurePosixPath(place.path).suffix.lower()
        if suffix == ".gz":
            with gzip.open(raw, "rb") as plain:
                yield plain
        elif suffix == ".zst":
            yield io.BufferedReader(_Zstd(raw))
        else:
            yield raw


class _Zstd(io.RawIOBase):
    """Decompressed bytes of one zstd frame after another; EOFError when the last is cut off, which the library's own
    stream takes for the end."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._begun = zstandard.ZstdDecompressor().decompressobj(), False
            block = block or self._raw.read(64 * 1024)
            if not block:
                if self._begun:
                    raise EOFError
                return 0
            self._begun = True
            self._ready = self._frame.decompress(block)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def trouble(error: Exception) -> str:
    """What a file system says, in a word or two."""
    return str(getattr(error, "strerror", None) or type(error).__name__).rstrip(".")


@contextmanager
def translating_errors(name: str) -> Iterator[None]:
    """Turn what a file system says into one sentence about the file."""
    try:
        yield
    except FileNotFoundError:
        raise SourceError(f"{name}: there is no such file.") from None
    except PermissionError:
        raise SourceError(f"{name}: access was refused; check the credentials.") from None
    except BotoCoreError as error:
        raise SourceError(
            f"{name}: the bucket cannot be reached ({type(error).__name__}): check credentials and endpoint."
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError):
        raise SourceError(f"{name}: the compressed file is damaged or cut off.") from None
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({trouble(error)}).") from None
