"""Which encoding a text is likely in that is no UTF-8: a name for a person to confirm, never a decision.

Statistics need more text than the names in a table are; so what is looked at is whether the letters, read in an
encoding, are those of one language, and stand where its words have them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from itertools import chain

_PUNCTUATION = frozenset("€„“”‚‘’–—\xa0")


def _both(letters: str) -> frozenset[str]:
    return frozenset(letters + letters.upper().replace("SS", "")) | _PUNCTUATION


def _span(first: str, last: str, more: str = "") -> frozenset[str]:
    return frozenset(chain(map(chr, range(ord(first), ord(last) + 1)), more)) | _PUNCTUATION


_WEST = (_both("äöüß"), _both("åäöæøé"), _both("àâçéèêëîïôœùûü"), _both("áéíóúüñ¿¡ºª"), _both("áâãàçéêíóôõúìòùè"))
_CENTRAL = (_both("ąćęłńóśźż"), _both("áčďéěíňóřšťúůýžäôľĺŕ"), _both("áéíóöőúüű"), _both("čćđšž"), _both("ăâîşţșț"))
_RUSSIAN = (_span("А", "я", "ёЁіІїЇєЄґҐ"),)
_ALPHABETS: tuple[tuple[str, str, tuple[frozenset[str], ...]], ...] = (
    ("cp1252", "Western European, Windows", _WEST),
    ("cp1250", "Central European, Windows", _CENTRAL),
    ("cp1255", "Hebrew, Windows", (_span("א", "ת"),)),
    ("cp1253", "Greek, Windows", (_span("Ά", "ώ") - {"ΰ", "ΐ"},)),
    ("cp1251", "Cyrillic, Windows", _RUSSIAN),
    ("cp1254", "Turkish, Windows", (_both("çğıöşüâîİ"),)),
    ("cp1257", "Baltic, Windows", (_both("āčēģīķļņšūž"), _both("ąčęėįšųūž"), _both("õäöüšž"))),
    ("cp1256", "Arabic, Windows", (_span("ء", "ي", "پچژگکی"),)),
    ("cp850", "Western European, MS-DOS", _WEST),
    ("cp852", "Central European, MS-DOS", _CENTRAL),
    ("cp866", "Cyrillic, MS-DOS", _RUSSIAN),
    ("mac-roman", "Western European, old Macs", _WEST),
    ("iso8859-2", "Central European, Unix", _CENTRAL),
    ("koi8-r", "Cyrillic, Unix", _RUSSIAN),
)
_EAST_ASIA = {
    "cp932": "Japanese, Shift-JIS",
    "shift_jis": "Japanese, Shift-JIS",
    "euc_jp": "Japanese",
    "gb18030": "Chinese, GBK",
    "big5": "Chinese, Big5",
    "cp949": "Korean",
}
_INSIDE = re.compile(r"(?<=([^\W\d_]))([^\W\d_])(?=(\w?))")
_NO_LETTER_INSIDE = re.compile(r"(?<=[A-Za-z])[^\w\s\x00-\x7f’](?=[A-Za-z])")
_TWO_SCRIPTS = re.compile(r"(?<=[A-Za-z])[\u0370-\u06ff]|[\u0370-\u06ff](?=[A-Za-z])")
_ACCENTS_IN_A_ROW = re.compile(r"[À-ɏ](?=[À-ɏ]{2})")
_NOT_SPANISH = re.compile(r"[ñÑ](?=[b-df-hj-np-tv-zB-DF-HJ-NP-TV-Z])")
_ODD = (_NO_LETTER_INSIDE, _TWO_SCRIPTS, _ACCENTS_IN_A_ROW, _NOT_SPANISH)
_CONSONANTS = "[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]"
_NO_VOWEL_NEAR = re.compile(rf"(?<={_CONSONANTS})[ćńśźżščřžďťňłđĺŕ](?={_CONSONANTS})")
_RARE = 0.1
_SEVERAL = 0.9
"""What letters count that are of several languages of one alphabet: a shop has customers in many countries."""
_ENOUGH = 0.75
_LOOKED_AT = 200


def likely(sample: bytes) -> tuple[str, str] | None:
    """The encoding that a text which is no UTF-8 is likely in, and what it is for; None where nothing fits."""
    lines = [line for line in sample.splitlines() if not line.isascii()][:_LOOKED_AT]
    scores = {(codec, what): _score(lines, codec, letters) for codec, what, letters in _ALPHABETS}
    best = max(scores, key=lambda each: scores[each])
    return best if scores[best] >= _ENOUGH else _east_asian(lines)


def doubted(sample: bytes, codec: str) -> tuple[str, str] | None:
    """Another encoding that the text is likely in, where the declared one makes of it letters of no one language."""
    lines = [line for line in sample.splitlines() if not line.isascii()][:_LOOKED_AT]
    named = {codecs.lookup(each).name: letters for each, _, letters in _ALPHABETS}
    letters = named.get(_NEIGHBOURS.get(codec, codec))
    if not lines or letters is None or _score(lines, codec, letters) >= _DOUBTFUL:
        return None
    found = likely(sample)
    return None if found is None or codecs.lookup(found[0]).name in (codec, _NEIGHBOURS.get(codec)) else found


_NEIGHBOURS = {"iso8859-1": "cp1252", "iso8859-15": "cp1252", "cp437": "cp850", "cp858": "cp850"}
"""Encodings that have the letters of another one."""
_DOUBTFUL = 0.5


def _score(lines: Iterable[bytes], codec: str, languages: tuple[frozenset[str], ...]) -> float:
    """How much of what goes beyond ASCII is of one language, less what stands where no letter of it would."""
    try:
        text = b"\n".join(lines).decode(codec)
    except UnicodeDecodeError:
        return 0.0
    beyond = [character for character in text if character > "\x7f"]
    right: float = max(sum(map(letters.__contains__, beyond)) for letters in languages)
    right = max(right, _SEVERAL * sum(map(frozenset().union(*languages).__contains__, beyond)))
    capitals = sum(
        (before > "\x7f" or here > "\x7f") and here.isupper() and (before.islower() or after.islower())
        for before, here, after in _INSIDE.findall(text)
    )
    odd: float = capitals + sum(len(p.findall(text)) for p in _ODD)
    odd += _RARE * len(_NO_VOWEL_NEAR.findall(text))
    return (right - odd) / max(len(beyond), 1)


def _east_asian(lines: Iterable[bytes]) -> tuple[str, str] | None:
    from charset_normalizer import from_bytes  # takes a while to load, and few files need it

    text = b"\n".join(lines)
    found = [match.encoding for match in from_bytes(text, cp_isolation=list(_EAST_ASIA))]
    if "cp949" in found and "gb18030" in found and not _is_hangul(text):
        found.remove("cp949")
    return (found[0].replace("cp949", "euc-kr"), _EAST_ASIA[found[0]]) if found and found[0] in _EAST_ASIA else None


def _is_hangul(text: bytes) -> bool:
    """True where what would be Korean is written in its own letters; names in Chinese ones are hardly Korean."""
    beyond = [character for character in text.decode("cp949", "replace") if character > "\x7f"]
    return all("가" <= character <= "힣" for character in beyond)
