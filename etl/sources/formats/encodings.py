"""In which encoding a text is: UTF-8 and UTF-16 prove themselves, every other one is declared.

Nothing is guessed. A declared encoding that the file disproves is refused, and so is a file that is no UTF-8 where
nothing is declared; the sentence names what it likely is, for a person to confirm.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from etl.errors import SourceError
from etl.sources.formats import alphabets

SAVE_AS = "In the spreadsheet choose “Save as”, “CSV UTF-8”."

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_ENCODINGS = ("idna", "punycode", "unicode-escape", "unicode_escape", "raw-unicode-escape", "raw_unicode_escape")
"""Codecs for the names of hosts and for source text, which no file is written in."""
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_PLAINLY_UTF8 = re.compile(
    rb"\xc3[\x80-\xbf]|[\xc2-\xdf][\x80-\xbf][\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf][\x80-\xbf]"
)
"""What hardly stands in another encoding by chance, as ``É®`` of Windows-1252 does, which is one letter of UTF-8."""
_THREE_BYTES = re.compile(rb"[\xe0-\xef][\x80-\xbf][\x80-\xbf]")
_EAST_ASIAN = ("shift", "cp932", "cp949", "cp950", "euc", "gb", "hz", "big5", "johab", "iso2022")
"""Encodings whose characters are of two bytes, any two: by chance they are some of UTF-8; three are hardly."""
_CONTROLS = re.compile(rb"[\x80-\x84\x86-\x9f]")
_ESCAPES = re.compile(rb"\x1b(?:\$[@ABC]|\$\)|\([BIJ])")


def known_codec(name: str) -> str:
    """The name, if Python can decode text by it; ValueError otherwise."""
    try:
        "".encode(name)
        if codecs.lookup(name).name not in _NO_ENCODINGS:
            return name
    except (LookupError, UnicodeError):
        pass
    raise ValueError(f"{name} is not an encoding such as utf-8, utf-16 or windows-1252")


def find(sample: bytes, name: str, declared: Sequence[str]) -> str:
    """The codec of the file called ``name`` that begins with ``sample``: of what is ``declared`` the first that fits.

    Raises SourceError, which says what to declare.
    """
    marked = next((codec for mark, codec in BYTE_ORDER_MARKS if sample.startswith(mark)), "")
    families = {encoding: _family(encoding) for encoding in declared}
    if marked:
        if declared and _family(marked) not in families.values():
            raise SourceError(
                f"{name}: `encoding` says {_listed(declared)}, but the file begins with the mark of "
                f"{_family(marked).upper()}: leave `encoding` out."
            )
        return marked
    if b"\x00" in sample[:2] and not any(family in ("utf-16", "utf-32") for family in families.values()):
        if not _looks_like_utf16(sample):
            raise SourceError(f"{name}: this is no text: bytes that no letter has stand at its beginning. {SAVE_AS}")
        raise SourceError(
            f"{name}: this looks like UTF-16 without its mark: set `encoding: utf-16-le` (or utf-16-be). {SAVE_AS}"
        )
    seen = _seen(sample)
    for encoding in declared or ["utf-8"]:
        if not _why_not(encoding, sample, seen, alone=len(declared) < 2):
            return "utf-8-sig" if _family(encoding) == "utf-8" else codecs.lookup(encoding).name
    raise SourceError(_refusal(name, declared, sample, seen))


def _looks_like_utf16(sample: bytes) -> bool:
    """True where every second byte of the beginning is zero and the others may be a header's."""
    start = sample[:16]
    letters = start[0::2] if start[1:2] == b"\x00" else start[1::2]
    zeros = start[1::2] if start[1:2] == b"\x00" else start[0::2]
    return not any(zeros) and all(byte >= 0x20 or byte in b"\t\r\n" for byte in letters)


def _family(encoding: str) -> str:
    """The codec's name, without what says how its bytes are ordered or marked."""
    name = codecs.lookup(encoding).name
    return next((family for family in ("utf-8", "utf-16", "utf-32") if name.startswith(family)), name)


# -- what the bytes show


@dataclass(frozen=True, slots=True)
class _Seen:
    """Lines that go beyond ASCII, by number: those that are UTF-8, those of them plainly so, and the others."""

    utf8: Sequence[int]
    plainly: Sequence[int]
    others: Sequence[int]
    escapes: int = 0

    @property
    def is_utf8(self) -> bool:
        """True where UTF-8 fits; some lines that are not are damage as long as more of them are."""
        return len(self.utf8) >= len(self.others) and not self.escapes


def _seen(sample: bytes) -> _Seen:
    escape = _ESCAPES.search(sample)
    line_of_escape = 1 + sample.count(b"\n", 0, escape.start()) if escape else 0
    if sample.isascii():
        return _Seen((), (), (), line_of_escape)
    lines = sample.split(b"\n" if b"\n" in sample else b"\r")
    beyond = {number: line for number, line in enumerate(lines, 1) if not line.isascii()}
    utf8 = [number for number, line in beyond.items() if _is_utf8(line, may_be_cut=number == len(lines))]
    plainly = [number for number in utf8 if _PLAINLY_UTF8.search(beyond[number])]
    others = sorted(beyond.keys() - set(utf8))
    return _Seen(utf8, plainly, others, 0 if others else line_of_escape)


def _is_utf8(line: bytes, *, may_be_cut: bool) -> bool:
    """True for UTF-8, also for the halves of characters that some programs write in its way."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(_SURROGATE.sub(b"", line), final=not may_be_cut)
    except UnicodeDecodeError:
        return False
    return True


def _why_not(encoding: str, sample: bytes, seen: _Seen, *, alone: bool) -> str:
    """Why a text cannot be in an encoding; empty where it can. One that is declared ``alone`` need not read all."""
    family = _family(encoding)
    if family == "utf-8":
        return "" if seen.is_utf8 else f"line {(seen.others or [seen.escapes])[0]} is not"
    if family in ("utf-16", "utf-32"):
        named = codecs.lookup(encoding).name
        if b"\x00" in sample and named == family:
            return "the file does not begin with its mark"
        return _undecodable(named, sample) if b"\x00" in sample else "the file is not"
    if family.startswith(_EAST_ASIAN):
        plainly = seen.utf8 if not seen.others and _THREE_BYTES.search(sample) else ()
    else:
        plainly = seen.plainly if seen.others else seen.utf8
    if plainly:
        other = f" and line {seen.others[0]} is not: two files may be joined" if seen.others else ""
        return f"line {plainly[0]} is UTF-8{other}"
    if family.startswith("iso8859") and (found := _CONTROLS.search(sample)):
        return f"line {_line_of(sample, found.start())} holds bytes that are no letters in it"
    return "" if alone else _undecodable(family, sample)


def _undecodable(codec: str, sample: bytes) -> str:
    try:
        codecs.getincrementaldecoder(codec)().decode(sample, final=False)
    except UnicodeDecodeError as error:
        return f"line {_line_of(sample, error.start)} is not"
    return ""


def _line_of(sample: bytes, position: int) -> int:
    return max(sample.count(mark, 0, position) for mark in (b"\n", b"\r")) + 1


# -- what is said


def _refusal(name: str, declared: Sequence[str], sample: bytes, seen: _Seen) -> str:
    reasons = {encoding: _why_not(encoding, sample, seen, alone=len(declared) < 2) for encoding in declared}
    if declared:
        first, why = next(iter(reasons.items()))
        said = "UTF-8" if _family(first) == "utf-8" else first
        begins = f"`encoding` says {said}, but {why}"
        if len(declared) > 1:
            begins = f"none of what `encoding` lists ({_listed(declared)}) fits: for {said}, {why}"
    else:
        line = (seen.others or [seen.escapes])[0]
        begins = f"line {line} is not UTF-8, and `encoding` does not say what it is, so letters might come out wrong"
    return f"{name}: {begins}. {_advice(sample, seen)}"


def _advice(sample: bytes, seen: _Seen) -> str:
    if b"\x00" in sample[:8]:
        return f"Set `encoding: utf-16-le` (or utf-16-be), or save it anew: {SAVE_AS}"
    if seen.utf8 and not seen.others:
        return "Leave `encoding` out."
    if seen.plainly:
        return f"Save it anew: {SAVE_AS}"
    found = ("iso2022-jp", "Japanese") if seen.escapes else alphabets.likely(sample)
    if found is None:
        return f"Set what the program writes, such as `encoding: [utf-8, cp1252]`, or save it anew: {SAVE_AS}"
    codec, what = found
    return (
        f"It is likely {codec} ({what}): if its names come out right so, set `encoding: [utf-8, {codec}]` in the "
        f"import's source; or save it anew: {SAVE_AS}"
    )


def _listed(encodings: Sequence[str]) -> str:
    return ", ".join(encodings)
