"""Marks for nothing: what programs, people and pivot tables write where there is no value, and where it is one.

A list, not a guess: docs/cleaning.md has every word. Only for columns that say who or which there are also forms:
fields of a template that nobody filled, words in brackets, punctuation alone, and the digests of nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain

from etl.columns import IDS, NUMBERS

INVISIBLE = "".join(
    map(
        chr,
        chain(
            (*range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x1680),
            (0x180E, *range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070), 0x2800),
            (0x3000, 0x3164, 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC)),
        ),
    )
)
"""White space of every kind, byte order and direction marks, zero-width characters, blanks that count as letters."""

EVERYWHERE = (
    *("null", "none", "nil", "nan", "-nan", "+nan", "nat", "undefined", "\\n", "\\\\n", "n/a", "n.a.", "n.a"),
    *("n. a.", "n/d", "n.d.", "n.d", "n. d.", "s/o", "s.o.", "k.a.", "k.a", "k. a.", "k/a", "s/d", "s.d.", "s/i"),
    *("b/d", "b.d.", "n/r", "n/i", "o.a.", "o. a.", "n.v.t.", "n.v.t", "i/t", "н/д", "н.д.", "не указано"),
    *("не задано", "не определено", "нет данных", "немає даних", "なし", "無し", "该项无", "无", "無", "該当なし"),
    *("未設定", "未入力", "未填写", "未提供", "未设置", "暂无", "空值", "不适用", "不適用", "없음", "해당 없음"),
    *("미입력", "정보 없음", "ไม่มีข้อมูล", "không có", "tidak ada", "لا يوجد", "غير متوفر", "אין נתונים", "לא זמין"),
    *("not set", "not available", "not applicable", "not provided", "not specified", "not given", "not entered"),
    *("no value", "no data", "null value", "missing value", "data not available", "none given", "unspecified"),
    *("keine angabe", "keine angaben", "ohne angabe", "nicht angegeben", "nicht vorhanden", "nicht verfügbar"),
    *("non renseigné", "non disponible", "non applicable", "non précisé", "sin datos", "no disponible", "no aplica"),
    *("non disponibile", "non specificato", "não disponível", "não informado", "sem dados", "niet beschikbaar"),
    *("niet ingevuld", "geen gegevens", "brak danych", "nezadáno", "neuvedeno", "nincs adat", "ei tietoa"),
    *("ingen data", "ikke oppgitt", "ikke angivet", "ej angivet", "uppgift saknas", "belirtilmemiş", "veri yok"),
    *("__hive_default_partition__", "[object object]", "[object null]", "[object undefined]", "1.#ind", "-1.#ind"),
    *("1.#qnan", "-1.#qnan", "dbnull", "system.dbnull", "$null$", "$null", "%null%"),
    *(mark * times for mark in "-‐‑‒–—―−" for times in range(1, 6)),
)
"""Texts that stand for nothing in any column, in any case, also in brackets."""

IN_BRACKETS = (
    *("na", "blank", "blanks", "empty", "missing", "unset", "unknown", "leer", "vide", "vides", "vacío", "vacías"),
    *("en blanco", "vuoto", "vuote", "vazio", "em branco", "leeg", "tom", "tomt", "tyhjä", "puste", "prázdné"),
    *("üres", "boş", "пусто", "空白", "비어 있음", "deleted", "redacted", "removed", "hidden", "masked"),
)
"""Words that stand for nothing only in brackets: Tom and Leer are names."""

OF_NOBODY = (
    *("n.v.", "n.v", "n. v.", "n/v", "n.r.", "n.r", "n. r.", "n.c.", "n.c", "n. c.", "n/c", "n.b.", "n. b.", "n/b"),
    *("na", "unknown", "unbekannt", "inconnu", "inconnue", "desconocido", "desconhecido", "sconosciuto", "onbekend"),
    *("okänd", "okänt", "ukendt", "ukjent", "tuntematon", "nieznany", "neznámý", "ismeretlen", "bilinmiyor"),
    *("неизвестно", "неизвестный", "невідомо", "不明", "未知", "不詳", "알 수 없음", "غير معروف", "לא ידוע"),
    *("anonymous", "anonymous user", "anonymous customer", "anonym", "anonyme", "anónimo", "anonimo"),
    *("anônimo", "аноним", "匿名", "익명", "guest", "guest user", "guest customer", "guest checkout", "gast"),
    *("gastkunde", "gastbestellung", "invité", "invitado", "convidado", "ospite", "gäst", "gjest", "гость", "ゲスト"),
    *("游客", "访客", "비회원", "not logged in", "logged out", "not known", "no id", "no user", "no customer"),
    *("no email", "no mail", "no phone", "not found", "missing", "empty", "blank", "tbd", "nothing", "nd", "no"),
    *("n.n.", "n. n.", "nn", "s/n", "нет", "ні", "空", "空白", "ไม่มี", "אין", "xxx", "xxxx", "deleted"),
    *("deleted user", "redacted", "removed", "keine", "keiner", "kein", "nein", "ninguno", "ninguna", "aucun"),
    *("aucune", "néant", "nessuno", "nessuna", "nenhum", "nenhuma", "nulo", "nul", "nulle", "nullo", "geen", "ingen"),
    *("inget", "mangler", "saknas", "brak", "yok", "inf", "-inf", "+inf", "infinity", "-infinity", "∞", "-∞"),
    *("1.#inf", "-1.#inf", "?", "??", "???", ".", "..", "...", "…", "/", "*"),
    *("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "0" * 32, "f" * 32),
)
"""Texts that name nobody and nothing in a column of ids; elsewhere they may be meant, as NA is Namibia's code."""

TRUTHS = (
    *("false", "true", "falsch", "wahr", "faux", "vrai", "falso", "verdadero", "vero", "verdadeiro", "onwaar", "waar"),
    *("ложь", "истина", "fałsz", "prawda"),
)
"""What a column of yes and no holds: whoever took it for a person or a conversion meant another one."""

OF_NO_PERSON = ("0", "-1", *TRUTHS)
"""Texts that are no person: what shops write for a guest (0, -1), and truths."""

SHEET_NOTHING = ("#n/a", "#na", "#n/a n/a", "#nv", "#n/d", "#н/д")
"""What a spreadsheet writes where it found nothing: nothing where the column only describes; see `SAYS_WHO_OR_WHAT`."""

NOT_IN_NUMBERS = (
    *("nan", "-nan", "+nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    *(mark * times for mark in "-‐‑‒–—―−" for times in range(1, 6)),
)
"""Marks that stay in a column of numbers, to be refused: a computation failed, or a dash that may mean zero."""

BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("'", "'"), ('"', '"'), ("[[", "]]"), ("{{", "}}"))

SAYS_WHO_OR_WHAT = (*IDS, "email", "phone", "event_name")
"""Columns whose value says who, what or which: never guessed. `is_identity` knows a source's own ones."""

SAYS_WHO = ("user_id", "anonymous_id", "kameleoon_visitor_code", "webflow_user_id")
"""Columns whose value is a person; e-mails and phone numbers have rules of their own."""

MAYBE_PLACEHOLDER = r"^[\p{P}\p{S}]"
"""Lets nearly every value pass without a closer look."""

PLACEHOLDER = (
    r"^(?:\{\{.*\}\}|[$#@]\{.*\}|\{%.*%\}|<%.*%>|%%.*%%|\*\|.*\|\*|\[\[.*\]\]|%[\p{L}_.]+%|__[\p{L}_]+__"
    r"|[(\[{<（【「『〈《][^\p{N}@]*[)\]}>）】」』〉》])$"
)
"""A field of a template that nobody filled (``{{user_id}}``, ``*|EMAIL|*``), or words in brackets: no id is so."""

PUNCTUATION = r"^[#_~^|:;,!?*.…/·•+=%&@$§¿¡‐‑‒–—―−\-\[\](){}<>\s]+$"
SHEET_TEXT = r"^(?:=|##)"
"""Punctuation alone is no id, but what a spreadsheet made is refused, see `schemas.spreadsheets`."""

_DIGESTS_OF = (
    "",
    " ",
    "null",
    "none",
    "nil",
    "nan",
    "undefined",
    "n/a",
    "na",
    "unknown",
    "-",
    "0",
    "false",
    "(not set)",
)

_WORDS = re.compile(r"[A-Z]?[a-zà-ÿ]+|[A-Z]+(?![a-zà-ÿ])|[0-9]+")
_IDENTITY_WORDS = frozenset(
    ("id", "ids", "uuid", "guid", "sku", "ean", "gtin", "upc", "iban", "email", "mail", "phone", "telephone", "telefon")
)
_IDENTITY_ENDINGS = frozenset(("no", "nr", "num", "number", "nummer", "numero", "número", "ref", "reference", "mobile"))
_IDENTITY_COMPOUND = re.compile(
    r"(?:user|order|customer|client|visitor|session|transaction|product|item|account|contact|lead|deal|event|click)ids?"
    r"|(?:gcl|fbcl|msclk|ttcl|gbra|wbra)id|gbraid|wbraid|\w+(?:nummer|nr)"
)


def is_identity(name: str) -> bool:
    """True for a canonical column of `SAYS_WHO_OR_WHAT`, and for others whose name says that they hold ids."""
    if name in SAYS_WHO_OR_WHAT:
        return True
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    compound = any(_IDENTITY_COMPOUND.fullmatch(word) for word in words)
    return compound or not _IDENTITY_WORDS.isdisjoint(words) or words[-1] in _IDENTITY_ENDINGS


def placeholder_forms(name: str) -> list[str]:
    """Patterns of what is no value in this column, however it is worded."""
    if not is_identity(name) or name == "event_name":
        return []
    return [PLACEHOLDER] if name in ("email", "phone") else [PLACEHOLDER, PUNCTUATION]


def marks(name: str, null_values: Sequence[str] | None) -> frozenset[str]:
    """Every text, in lower case, that stands for nothing in this column."""
    if null_values is not None and not null_values:
        return frozenset()
    declared = frozenset(mark.strip(INVISIBLE).lower() for mark in null_values or ())
    if name in NUMBERS:
        return _usual_marks(identity=False, person=False, sheets=False) - frozenset(NOT_IN_NUMBERS) | declared
    identity = is_identity(name) and name != "event_name"
    truths = frozenset(TRUTHS if name == "event_id" else ())
    return _usual_marks(identity=identity, person=name in SAYS_WHO, sheets=not is_identity(name)) | truths | declared


@cache
def _usual_marks(*, identity: bool, person: bool, sheets: bool) -> frozenset[str]:
    of_nobody = (*(OF_NOBODY if identity else ()), *(OF_NO_PERSON if person else ()))
    words = list(_spelled((*EVERYWHERE, *of_nobody)))
    bracketed = _bracketed([*words, *_spelled(IN_BRACKETS)])
    digests = _digests() if identity else ()
    return frozenset((*words, *bracketed, *digests, *(SHEET_NOTHING if sheets else ())))


def _spelled(words: Iterable[str]) -> Iterator[str]:
    """The words in every form: not set, not_set, not-set, notset; n/a, n / a, n\\a; null null of two empty cells."""
    for word in words:
        yield word
        if " " in word and word.replace(" ", "").isalpha():
            yield from (word.replace(" ", mark) for mark in ("_", "-", ""))
        if re.fullmatch(r"\w/\w", word):
            yield from (word.replace("/", mark) for mark in (" / ", "\\"))
    for word in ("null", "none", "nil", "nan", "undefined", "n/a"):
        yield from (f"{word}{gap}{word}" for gap in (" ", "_", "-", ", "))
        yield from (f"{word}{end}" for end in ",;.")
    yield from ("nullnull", "undefinedundefined")


@cache
def _digests() -> Collection[str]:
    """What hashing nothing gives: one id for everybody without one, in the digests that people use for contacts."""
    texts = {form for text in _DIGESTS_OF for form in (text, text.upper(), text.capitalize())} | {"NaN"}
    data = [text.encode() for text in sorted(texts)]
    return frozenset(
        digest
        for each in data
        for digest in (
            hashlib.sha256(each).hexdigest(),
            hashlib.sha1(each, usedforsecurity=False).hexdigest(),
            hashlib.md5(each, usedforsecurity=False).hexdigest(),
        )
    )


def _bracketed(words: Iterable[str]) -> Collection[str]:
    return [f"{first}{word}{last}" for word in words for first, last in BRACKETS]
