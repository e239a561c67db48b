"""Files, wherever they are: local paths, ``s3://`` and any other fsspec URL, found by glob and window, opened as bytes.

Which files belong to a folder or a glob is decided here, for every kind of source and for dropped files (`is_data`).
Any character that a disk or a bucket allows in a name is a part of the name. Nothing is parsed here.

Credentials come the usual way of each file system (for S3: environment, profile, role); ``AWS_ENDPOINT_URL`` or the
options of the source name another endpoint.

Long: what belongs to a folder and how its files are opened is one matter, and every kind of source asks both.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
import zstandard
from botocore.exceptions import BotoCoreError

from etl.errors import ConfigError, SourceError
from etl.redact import printable, redact_url

OUT_OF_REACH = (OSError, BotoCoreError)
"""What file systems raise when a file is locked, refused or not to be had now."""

UNPACKED_AT_MOST = 500
"""How many times its size a compressed file may be; tables of conversions are 3 to 50 times as large."""
UNPACKED_ANYHOW = 16 * 1024 * 1024
"""What any compressed file may be unpacked."""
_BUFFER = 64 * 1024
_PIECE = 1024
"""Compressed bytes that are unpacked at a time: zstd makes as much as 32 kB of one byte."""

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_END_OF_WINDOW = re.compile(r"\{(?P<end>start|end)(?::(?P<format>[^{}]*))?\}")


_BESIDE_DATA = (".", "_", "~$")
"""How the names begin of what programs keep beside data: _SUCCESS, _temporary/, .DS_Store, ~$open.csv."""
_PARTITION = re.compile(r"[^=]+=.*", re.DOTALL)  # a folder such as _day=2026-11-20 is data in spite of its name
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".download", ".filepart", ".inprogress", "._COPYING_")
_OF_EDITORS = (".swp", ".swo", "~", "#")
"""How the names end of what editors keep while a file is open in them."""
_BINS = frozenset(
    {
        *("$recycle.bin", "recycler", "recycled", "#recycle", "@recycle", "@recently-snapshot", "#snapshot", "@eadir"),
        *("lost+found", "system volume information", "cvs", "network trash folder", "temporary items"),
    }
)
"""Folders in which systems keep what was deleted, and what they know of the files beside (lower case)."""
_CHECKS = (".crc", "$folder$")
_OF_THE_DESKTOP = ("thumbs.db", "desktop.ini")
_MANIFEST = re.compile(r"(?:.*[-_.])?manifest(?:\.\w+)*", re.IGNORECASE | re.DOTALL)
_ICEBERG = re.compile(
    r"(?P<folder>(?:.*/)?metadata/)(?:.*\.metadata\.json|version-hint\.text|snap-.*\.avro)", re.DOTALL
)
_TABLES = {"_delta_log": "Delta", ".hoodie": "Hudi"}


@dataclass(frozen=True, slots=True)
class Place:
    """One file: its file system, its path there, and what people call it (its path below the configured folder)."""

    fs: Any
    path: str
    name: str
    below: str = ""
    """The path below the configured folder or the beginning of the glob; empty for a file that is named itself."""

    @property
    def url(self) -> str:
        """The path with its protocol, for another process to open."""
        return str(self.fs.unstrip_protocol(self.path))


@dataclass(frozen=True, slots=True)
class Found:
    """The files that a path names, in order of their names.

    Of a folder (``is_folder``), ``left_out`` are the names of files that are not of the kind that was asked for, and
    ``table`` is the format of which it is a table, such as Delta; empty where it is none.
    """

    places: list[Place]
    left_out: Sequence[str] = ()
    table: str = ""
    is_folder: bool = False


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
        if _is_chain(url):
            fs, path = fsspec.core.url_to_fs(url, **(options or {}))
        else:  # fsspec would take :: in a name for a chain, too
            kind = fsspec.get_filesystem_class(url.partition("://")[0] if "://" in url else "file")
            fs = kind(**{**kind._get_kwargs_from_urls(url), **(options or {})})
            path = kind._strip_protocol(url)
    except ImportError:
        raise ConfigError(f"{where}: what reads {protocol} is not installed here; use a path or s3://.") from None
    except ValueError:
        raise ConfigError(f"{where}: {protocol} is no place that can be read; use a path or s3://.") from None
    return fs, str(path)


def _is_chain(url: str) -> bool:
    """True for fsspec's ``zip://a.csv::s3://bucket/a.zip`` and ``simplecache::https://…``."""
    first, *rest = url.split("::")
    return any("://" in part for part in rest) and ("://" in first or first in fsspec.available_protocols())


def local_file(path: Path) -> Place:
    """A file on this machine, whatever its name looks like."""
    return Place(fsspec.filesystem("file"), str(path), path.name)


def find(
    pattern: str, options: Mapping[str, Any] | None = None, display_path: str = "", endings: Sequence[str] = ()
) -> Found:
    """The files that a path, a glob or a folder (``…/``, everything below it) names, in order of their names.

    A path means itself and a glob every file that it matches; of a folder only files whose names end in one of
    ``endings`` are taken (none: all), whatever their case. What `is_data` does not take is none of either.
    ``display_path``: the pattern as people may see it.
    """
    fs, path = file_system(pattern, "source.path", options)
    shown = redact_url(display_path or pattern)
    with translating_errors(shown):
        kind = _kind(fs, path)
        if kind == "file" and not is_folder_object(fs, path):  # a name such as "orders [1].csv" means itself
            return Found([Place(fs, path, printable(readable(PurePosixPath(redact_url(display_path or path)).name)))])
        if kind:
            return _in_folder(fs, path, fs.find(path, detail=True), endings, shown)
        if _magic(path):
            return _in_glob(fs, path, shown)
    return Found([])


def is_data(path: str, named: str = "") -> bool:
    """True for a file that holds data, False for what programs leave beside it; ``path`` is meant from the folder.

    Each part of the path counts, but for those that a part of ``named``, a pattern, asks for: ``_*.csv``.
    """
    *folders, name = path.split("/")
    if not name or name.lower() in _OF_THE_DESKTOP:  # a bucket keeps folders as objects whose names end in /
        return False
    if any(folder.lower() in _BINS for folder in folders if folder not in named.split("/")):
        return False
    if name.endswith((*_UNFINISHED, *_CHECKS, *_OF_EDITORS)) and not named.endswith(PurePosixPath(name).suffix or "\0"):
        return False
    asked = [part for part in named.split("/") if part.startswith(_BESIDE_DATA)]
    for part in (*folders, name):
        is_partition = part is not name and part.startswith("_") and _PARTITION.fullmatch(part)
        if part.startswith(_BESIDE_DATA) and not is_partition and not any(fnmatchcase(part, each) for each in asked):
            return False
    return True


def _in_folder(fs: Any, folder: str, listed: Mapping[str, Any], endings: Sequence[str], shown: str) -> Found:
    """Those of everything below a folder that are data, and of the right kind."""
    base = folder.rstrip("/") + "/"
    sizes = {path.removeprefix(base): int(info.get("size") or 0) for path, info in listed.items()}
    table = next((name for part, name in _TABLES.items() if any(f"/{part}/" in f"/{path}" for path in sizes)), "")
    metadata = {found["folder"] for path in sizes if (found := _ICEBERG.fullmatch(path))}
    markers = _markers(sizes)
    data = [
        path for path in sorted(sizes) if is_data(path) and not path.startswith(tuple(metadata)) and path not in markers
    ]
    taken = [path for path in data if _is_wanted(path, endings) and _is_file(fs, base + path, listed[base + path])]
    left_out = [path for path in data if path not in set(taken)] if endings else []
    named = _names(taken, shown)
    places = [Place(fs, base + path, name, path) for path, name in zip(taken, named, strict=True)]
    return Found(places, _names(left_out, shown), table or ("Iceberg" if metadata else ""), is_folder=True)


def _in_glob(fs: Any, path: str, shown: str) -> Found:
    base, pattern = _literal(fs, path)
    escaped = re.sub(r"[*?[]", r"[\g<0>]", base)
    listed = fs.glob(escaped + pattern, detail=True)
    sizes = {one.removeprefix(base): int(info.get("size") or 0) for one, info in listed.items() if one.startswith(base)}
    markers = _markers(sizes)
    taken = [
        one
        for one in sorted(sizes)
        if is_data(one, pattern) and one not in markers and _is_file(fs, base + one, listed[base + one])
    ]
    return Found([Place(fs, base + one, name, one) for one, name in zip(taken, _names(taken, shown), strict=True)])


def _literal(fs: Any, path: str) -> tuple[str, str]:
    """The folder in which a glob begins, and the glob from there: a folder called ``orders [1]`` is no pattern."""
    parts = path.split("/")
    at = 0
    while at < len(parts) - 1:
        here = "/".join(parts[: at + 1])
        if _magic(parts[at]) and _kind(fs, here) != "directory":
            break
        at += 1
    base = "/".join(parts[:at])
    return (f"{base}/" if at else ""), "/".join(parts[at:])


def _names(paths: Sequence[str], shown: str) -> list[str]:
    """What people call these files; only the last part where the pattern may hold a secret."""
    return [printable(readable(PurePosixPath(path).name if "${" in shown else path)) for path in paths]


def readable(name: str) -> str:
    """A name of a disk, which may be any bytes, as text that can be written."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("cp1252", "replace")
    return name


def _is_wanted(path: str, endings: Sequence[str]) -> bool:
    if not endings:
        return True
    name = PurePosixPath(path).name
    return name.lower().endswith(tuple(endings)) and not _MANIFEST.fullmatch(name)


def _markers(sizes: Mapping[str, int]) -> set[str]:
    """Empty objects that stand for folders: others lie below their names."""
    folders = {path[: found.start()] for path in sizes for found in re.finditer("/", path)}
    return {path for path, size in sizes.items() if not size and path in folders}


def is_folder_object(fs: Any, path: str) -> bool:
    """True for an empty object of a bucket below whose name others lie: the name means the folder."""
    if any(each in fs.protocol for each in ("file", "http")) or fs.info(path).get("size") != 0:
        return False
    return any(one.startswith(f"{path}/") and not one.endswith("/") for one in fs.find(path))


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
def opened(place: Place, block_size: int | None = None) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed by suffix (.gz, .zst), streamed; ``block_size`` of them are fetched at a time."""
    with translating_errors(place.name), place.fs.open(place.path, "rb", block_size=block_size) as raw:
        suffix = PurePosixPath(place.path).suffix.lower()
        _must_be_compressed(raw, suffix, place.name)
        if suffix == ".gz":
            with gzip.open(raw, "rb") as plain:
                yield io.BufferedReader(_Unpacked(plain, raw, place.name), _BUFFER)
        elif suffix == ".zst":
            yield io.BufferedReader(_Unpacked(_Zstd(raw), raw, place.name), _BUFFER)
        else:
            yield raw


def _must_be_compressed(raw: IO[bytes], suffix: str, name: str) -> None:
    """Browsers and gateways decompress what they load, and leave its name as it was."""
    if suffix not in COMPRESSIONS or not raw.seekable():
        return
    start = raw.read(4)
    raw.seek(0)
    right = (
        start[:2] == b"\x1f\x8b" if suffix == ".gz" else start == b"\x28\xb5\x2f\xfd" or start[1:] == b"\x2a\x4d\x18"
    )
    if start and not right:
        raise SourceError(
            f"{name}: its name ends in {suffix}, but it is not compressed with {COMPRESSIONS[suffix]}: "
            "give it the name of what it is."
        )


class _Unpacked(io.RawIOBase):
    """Decompressed bytes; SourceError where there are so many that they were packed to do harm."""

    def __init__(self, plain: Any, packed: IO[bytes], name: str) -> None:
        self._plain = plain
        self._packed = packed
        self._name = name
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._plain.readinto(buffer))
        self._count += count
        if self._count > max(UNPACKED_ANYHOW, UNPACKED_AT_MOST * self._packed.tell()):
            raise SourceError(
                f"{self._name}: unpacked it is more than {UNPACKED_AT_MOST} times as large as it is packed, which no "
                "table of conversions is. If it is one, unpack it first."
            )
        return count


class _Zstd(io.RawIOBase):
    """Decompressed bytes of one zstd frame after another; EOFError when the last is cut off, which the library's own
    stream takes for the end."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._block = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._begun = zstandard.ZstdDecompressor().decompressobj(), False
            block = block or self._piece()
            if not block:
                if self._begun:
                    raise EOFError
                return 0
            self._begun = True
            self._ready = memoryview(self._frame.decompress(block))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _piece(self) -> bytes:
        if not self._block:
            self._block = self._raw.read(_BUFFER)
        piece, self._block = self._block[:_PIECE], self._block[_PIECE:]
        return piece


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
