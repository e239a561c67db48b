"""What an import says of its source's columns: which feeds which of ours and how, which rows count, what else travels.

Typed and judged by name alone; no file is looked at here, see `etl.stages.mapping` for what comes of it.
"""

from __future__ import annotations

import difflib
import string
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

from etl.columns import COLUMNS, NUMBERS, PERSONAL, normalize

ALL_COLUMNS = "all"
_FORMS = ("value", "column", "columns", "template")


class ColumnSettings(BaseModel):
    """One entry of ``columns:``, how a canonical column is made.

    A plain text is ``column``, a list ``columns`` (joined by a space). ``default`` stands where their cell is empty,
    ``negate`` turns the sign of a number round, ``divide_by`` makes units of cents (100) or micros (1000000), ``value``
    is the same in every row, ``template`` puts columns in braces into a text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str | None = None
    columns: tuple[str, ...] = ()
    default: str | None = None
    negate: bool = False
    divide_by: Literal[1, 10, 100, 1000, 10_000, 1_000_000] = 1
    value: str | None = None
    template: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, raw: Any) -> Any:
        if isinstance(raw, list | tuple):
            return {"columns": raw}
        return raw if isinstance(raw, Mapping | cls) else {"column": raw}

    @field_validator("column", "default", "value", "template", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> str | None:
        return None if given is None else text_of(given)

    @field_validator("columns", mode="before")
    @classmethod
    def _several(cls, given: Any) -> tuple[str, ...]:
        if not isinstance(given, list | tuple) or not given:
            raise ValueError("must be a list of columns of the source, such as [Date, Time]")
        return tuple(text_of(each) for each in given)

    @field_validator("template")
    @classmethod
    def _with_columns(cls, given: str | None) -> str | None:
        if given is not None and not any(name for _, name in template_parts(given)):
            raise ValueError(f"{given} names no column in braces; a template is such as '{{store}}-{{receipt_no}}'")
        return given

    @model_validator(mode="after")
    def _one_form(self) -> ColumnSettings:
        empty = [form for form in _FORMS if isinstance(text := getattr(self, form), str) and not text.strip()]
        if empty:
            raise ValueError(f"{empty[0]} is empty; leave the entry out where there is nothing to say")
        given = [form for form in _FORMS if getattr(self, form) not in (None, ())]
        if len(given) != 1:
            found = f", and has {' and '.join(given)}" if given else ""
            raise ValueError(f"needs one of {', '.join(_FORMS)}{found}")
        if self.default is not None and given[0] not in ("column", "columns"):
            raise ValueError(f"default stands for an empty cell of a column, and {given[0]} is none")
        for form in ("negate", "divide_by"):
            if form in self.model_fields_set and self.column is None:
                raise ValueError(f"{form} goes with one `column`")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The source's columns that it names, in order."""
        if self.template is not None:
            return tuple(name for _, name in template_parts(self.template) if name)
        return (self.column,) if self.column is not None else self.columns

    @property
    def is_rename(self) -> bool:
        """True when a column of the source is taken as it stands."""
        return self.column is not None and self.default is None and not self.negate and self.divide_by == 1

    def as_yaml(self) -> str:
        """What follows the canonical name in imports.yaml, on one line."""
        if self.is_rename:
            return quoted(self.column or "")
        given = self.model_dump(exclude_defaults=True)
        return flow(list(self.columns) if set(given) == {"columns"} else given)


def text_of(given: Any) -> str:
    """A setting that stands for a cell, as text. Raises ValueError for what YAML has made something else of."""
    if isinstance(given, bool) or given is None:
        meant = "nothing" if given is None else "yes, no, true and false"
        raise ValueError(f"YAML takes this for {meant}: put it in quotes")
    if isinstance(given, int):
        return str(given)
    if not isinstance(given, str):
        raise ValueError("must be a text; put it in quotes")
    return given


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """Each text of a template and the column behind it, if any. Raises ValueError where the braces are none."""
    try:
        found = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError(f"{template}: a brace is not closed or not opened; write {{{{ for one that is text") from None
    parts: list[tuple[str, str | None]] = []
    for text, name, spec, conversion in found:
        # A colon or an exclamation mark inside the braces belongs to the column's name.
        whole = None if name is None else name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
        if whole is not None and not whole.strip():
            raise ValueError(f"{template}: empty braces; a column's name belongs into them")
        parts.append((text, whole))
    return parts


def quoted(name: str) -> str:
    """A text as YAML writes it: in quotes where it must be."""
    return str(yaml.safe_dump(name, allow_unicode=True, width=1_000_000)).removesuffix("\n").removesuffix("\n...")


def flow(value: Any) -> str:
    """Lists and mappings as YAML on one line."""
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, sort_keys=False, width=1_000_000)
    return str(text).removesuffix("\n")


class MappingSettings(BaseModel):
    """The part of an import's entry that speaks of columns and cells."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, ColumnSettings] = {}
    where: dict[str, tuple[str, ...]] = {}
    """Column of the source -> the values that are wanted; rows with others are skipped."""
    extra_columns: Literal["all"] | tuple[str, ...] = ()
    """Further columns that travel to every vendor that has a place for them."""
    ignore: tuple[str, ...] = ()
    """Columns that are known and not wanted."""
    null_values: tuple[str, ...] | None = None
    """Marks for nothing beside the usual ones; an empty list: not even those."""
    ids_may_be_personal: bool = False
    """True where event_id and event_name may hold e-mail addresses and phone numbers: they stand in every result."""
    phone_region: str | None = None
    """The country of phone numbers that have no country code (ISO 3166, two letters)."""

    @field_validator("columns", mode="before")
    @classmethod
    def _canonical(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError("must name our columns and the source's, such as {revenue: Net amount}")
        for name, column in given.items():
            if name not in COLUMNS:
                if isinstance(column, str) and column in COLUMNS:
                    raise ValueError(f"{name} is not a canonical column (did you mean {column}: {name}?)")
                near = difflib.get_close_matches(str(name).lower(), COLUMNS, n=1)
                raise ValueError(f"{name} is not a canonical column{f' (did you mean {near[0]}?)' if near else ''}")
        return given

    @field_validator("columns")
    @classmethod
    def _only_numbers_have_a_sign(cls, given: dict[str, ColumnSettings]) -> dict[str, ColumnSettings]:
        for name, column in given.items():
            if column.negate and name not in NUMBERS:
                raise ValueError(f"{name} is no number: `negate` suits {' and '.join(NUMBERS)}")
            if column.divide_by != 1 and name != "revenue":
                raise ValueError(f"{name} is no amount: `divide_by` suits revenue")
        return given

    @field_validator("columns")
    @classmethod
    def _nobody_is_everybody(cls, given: dict[str, ColumnSettings]) -> dict[str, ColumnSettings]:
        for name, column in given.items():
            if name in PERSONAL and (column.value is not None or column.default is not None):
                form = "value" if column.value is not None else "default"
                raise ValueError(
                    f"{name} tells people or orders apart, and `{form}` would make one of them all: name a column"
                )
        return given

    @field_validator("where", mode="before")
    @classmethod
    def _wanted(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError("must name columns of the source and what is wanted there, such as {status: [won]}")
        return {text_of(column): cls._values(column, wanted) for column, wanted in given.items()}

    @staticmethod
    def _values(column: Any, wanted: Any) -> tuple[str, ...]:
        try:
            values = tuple(text_of(each) for each in (wanted if isinstance(wanted, list | tuple) else [wanted]))
        except ValueError as error:
            raise ValueError(f"{column}: {error}") from None
        if not values:
            raise ValueError(f"{column}: nothing is wanted there, so that no row would be")
        return values

    @field_validator("extra_columns", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if given is None or given == "none":
            return ()
        if given == ALL_COLUMNS:
            return given
        names = _names(given, "must be a list of columns of the source, or `all`")
        for name in names:
            if name in COLUMNS:
                raise ValueError(f"{name} is a canonical column and travels by itself")
        return names

    @field_validator("ignore", mode="before")
    @classmethod
    def _ignored(cls, given: Any) -> Any:
        return _names(given, "must be a list of columns of the source, such as [Total gross]")

    @field_validator("ignore")
    @classmethod
    def _either_used_or_not(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        columns: dict[str, ColumnSettings] = info.data.get("columns", {})
        extras = info.data.get("extra_columns", ())
        used = [(f"columns.{name}", each) for name, column in columns.items() for each in column.sources]
        used += [("extra_columns", name) for name in extras if extras != ALL_COLUMNS]
        for key, name in used:
            if normalize(name) in map(normalize, given):
                raise ValueError(f"{name.strip()} is used under `{key}`; it is one or the other")
        return given

    @field_validator("null_values", mode="before")
    @classmethod
    def _marks(cls, given: Any) -> Any:
        return None if given is None else _names(given, "must be a list of texts, such as [n.n.]; [] for none at all")

    @field_validator("phone_region", mode="before")
    @classmethod
    def _country(cls, given: Any) -> Any:
        if given is None or (isinstance(given, str) and given in _countries()):
            return given
        if given is False:
            raise ValueError('YAML takes NO for "no": put it in quotes')
        near = f" (did you mean {given.upper()}?)" if isinstance(given, str) and len(given) == 2 else ""
        raise ValueError(f"{given} is not a country of two letters such as DE{near}")


def _countries() -> frozenset[str]:
    from phonenumbers import SUPPORTED_REGIONS  # 60 ms that only who declares one pays for

    return frozenset(SUPPORTED_REGIONS)


def _names(given: Any, sentence: str) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, list | tuple):
        raise ValueError(sentence)
    names = tuple(text_of(each) for each in given)
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise ValueError(f"names {twice[0]} more than once; once is enough")
    return names
