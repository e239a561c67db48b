"""Mapping: from a source's header and an import's settings to what becomes of every column. Pure; nothing is read here.

`resolve` decides by names alone, `Mapping.applied` makes our columns of a frame. A name that an import maps, or that is
canonical, outweighs every other one; what nobody named stays behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from etl import destinations, reasons
from etl.column_settings import ALL_COLUMNS, ColumnSettings, MappingSettings, flow
from etl.columns import (
    ALSO_CALLED,
    COLUMNS,
    DERIVED,
    IDS,
    PARSE_ERROR,
    REQUIRED,
    TYPED_NUMBERS,
    normalize,
    reserved_name,
)
from etl.config import Config, ImportSettings
from etl.errors import SourceError
from etl.model import RunWarning
from etl.stages import cells, headers
from schemas import cleaning, conversion
from schemas.conversion import HELPER_COLUMNS
from schemas.marks import marks

IDENTITY = (*IDS, "email", "phone", "aliases")
"""Columns that say who or what: made of several, they are empty where one of these is."""

ONCE = ("currency", "order_id", "quantity", "email", "phone")
"""Columns that a row has one value of, whatever its ``properties`` say; of revenue see `schemas.amounts`."""


@dataclass(frozen=True, slots=True)
class ColumnRules:
    """What an import and its destinations say of columns.

    ``own``: names that a vendor's documents have, in lower case and so on -> as they are written there. ``fields``: a
    vendor's name for one of our columns among its properties -> our column.
    """

    settings: MappingSettings = field(default_factory=MappingSettings)
    own: Dict[str, str] = field(default_factory=dict)
    fields: Dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, settings: ImportSettings) -> ColumnRules:
        """The rules of an import, for all of its destinations, whichever a run delivers to."""
        own: dict[str, str] = {}
        fields = {name: name for name in ("revenue", *ONCE)} | ALSO_CALLED
        for name in settings.to:
            kind, raw = destinations.kind_of(config, name)
            own |= {normalize(column): column for column in kind.own_columns_of(raw)}
            fields |= {inner: canonical for canonical, inner in kind.property_names.items()}
        return cls(settings, own, fields)

    @property
    def everything(self) -> bool:
        """True when all columns travel."""
        return self.settings.extra_columns == ALL_COLUMNS


class Feed(NamedTuple):
    """How one canonical column is made; ``sources`` are the source's own names, in the order of ``how.sources``."""

    canonical: str
    how: ColumnSettings
    sources: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Mapping:
    """What becomes of the columns of one header; every column of the source stands in one place at least.

    ``own`` and ``extras``: the source's name -> under which it travels. ``stray``: it would land where one of our
    columns goes -> that column. ``where``: column -> what is wanted there.
    """

    names: tuple[str, ...]
    feeds: Dict[str, Feed]
    own: Dict[str, str]
    extras: Dict[str, str]
    ignored: tuple[str, ...]
    stray: Dict[str, str]
    left_out: tuple[str, ...]
    where: Dict[str, tuple[str, ...]]
    fields: Dict[str, str]
    null_values: tuple[str, ...] | None
    warnings: tuple[RunWarning, ...]

    @cached_property
    def feeding(self) -> frozenset[str]:
        """The source's columns that feed ours."""
        return frozenset(name for feed in self.feeds.values() for name in feed.sources)

    @property
    def used(self) -> frozenset[str]:
        """The source's columns that feed ours, travel, or decide which rows are wanted."""
        return self.feeding | ({*self.own, *self.extras, *self.where} & {*self.names})

    def made(self, frame: pd.DataFrame, canonical: str, warnings: list[RunWarning] | None = None) -> pd.Series[str]:
        """One canonical column, made of a frame of the source; what was changed in its cells joins ``warnings``."""
        how, names = self.feeds[canonical].how, self.feeds[canonical].sources
        if how.is_rename:
            return frame[names[0]]
        if how.value is not None:
            return pd.Series(how.value, index=frame.index, dtype="str")
        found = [cleaning.meant(frame[name], canonical, self.null_values) for name in names]
        parts = [column.fillna("") for column, _ in found]
        if warnings is not None:
            warnings += [warning for _, changed in found for warning in changed]
        whole = canonical in IDENTITY
        made = cells.filled(how.template, parts) if how.template is not None else cells.joined(parts, whole=whole)
        if whole and (len(parts) > 1 or how.template is not None):
            made = cells.or_broken(made, parts)
        if how.divide_by != 1:
            made = cells.divided(made, how.divide_by)
        if how.negate:
            made = cells.negated(made)
        return made if how.default is None else made.mask(made == "", how.default)

    def applied(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[RunWarning]]:
        """The frame with our columns and what else travels; rows that are unwanted or none say so in `PARSE_ERROR`."""
        renamed = {**self.own, **self.extras}
        made: dict[str, Any] = {}
        for name in self.names:
            for canonical in self._renames.get(name, [])[:1]:
                made[canonical] = frame[name]
            if name in renamed:
                made[renamed[name]] = frame[name]
        if PARSE_ERROR in frame.columns:
            made[PARSE_ERROR] = frame[PARSE_ERROR]
        warnings: list[RunWarning] = []
        for canonical in sorted(self.feeds):
            if canonical not in made:
                made[canonical] = self.made(frame, canonical, warnings)
        out = pd.DataFrame(made, index=frame.index)
        out[PARSE_ERROR] = self._errors(frame, out, warnings)
        if "properties" in out.columns:
            out["properties"] = cells.without_second_values(out, self.fields, warnings)
        out.attrs = {TYPED_NUMBERS: self._typed_numbers(frame.attrs.get(TYPED_NUMBERS, ()))}
        return out, warnings

    def _typed_numbers(self, names: Sequence[str]) -> list[str]:
        """Which columns hold numbers by type, where these columns of the source do."""
        own = [as_ for name, as_ in {**self.own, **self.extras}.items() if name in names]
        fed = [
            canonical
            for canonical, feed in self.feeds.items()
            if feed.how.template is None and len(feed.sources) == 1 and feed.sources[0] in names
        ]
        return [*fed, *own]

    @cached_property
    def _renames(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for canonical, feed in sorted(self.feeds.items()):
            if feed.how.is_rename:
                found.setdefault(feed.sources[0], []).append(canonical)
        return found

    # -- rows that are no conversions of this import

    def _errors(self, frame: pd.DataFrame, out: pd.DataFrame, warnings: list[RunWarning]) -> pd.Series[str]:
        errors = frame[PARSE_ERROR] if PARSE_ERROR in frame.columns else pd.Series(None, index=frame.index, dtype="str")
        readable = errors.isna() | errors.str.startswith(f"{reasons.RAGGED_ROW.code}:").fillna(False).astype(bool)
        none = self._not_conversions(frame, readable)
        if not none.empty:
            errors = errors.mask(errors.index.isin(none.index), none.reindex(errors.index))
        if self.where:
            unwanted = errors.isna() & ~self._wanted(frame, out, warnings)
            errors = (
                errors.mask(unwanted, f"{reasons.NOT_WANTED.code}: {reasons.NOT_WANTED.sentence}")
                if unwanted.any()
                else errors
            )
        return errors

    def _not_conversions(self, frame: pd.DataFrame, readable: pd.Series[bool]) -> pd.Series[str]:
        """What is said of empty rows and totals, by all cells of the source: which of them travel matters not."""
        feeds = [self.feeds[name] for name in REQUIRED if self.feeds[name].sources]
        lacking = pd.Series(False, index=frame.index)
        for feed in feeds:
            nothing = marks(feed.canonical, self.null_values)
            empty = [cells.given(frame[name], nothing) == "" for name in feed.sources]
            lacking |= pd.concat(empty, axis=1).all(axis=1)
        short = frame[lacking & readable].drop(columns=PARSE_ERROR, errors="ignore")
        sentences = {
            row: conversion.not_a_conversion([str(cell) for cell in given if pd.notna(cell) and str(cell).strip()])
            for row, given in zip(short.index, short.itertuples(index=False), strict=True)
        }
        code = reasons.NOT_A_CONVERSION.code
        told = {row: f"{code}: {sentence}" for row, sentence in sentences.items() if sentence}
        return pd.Series(list(told.values()), index=list(told), dtype="str")

    def _wanted(self, frame: pd.DataFrame, out: pd.DataFrame, warnings: list[RunWarning]) -> pd.Series[bool]:
        wanted = pd.Series(True, index=frame.index)
        for name, values in self.where.items():
            found = cells.stripped(frame[name] if name in self.names else out[name])
            here = found.isin(values)
            wanted &= here
            alike = int((found.str.casefold().isin([value.casefold() for value in values]) & ~here).sum())
            if alike:
                sentence = f"where.{name}: cells differ from what is wanted in case alone, and are not wanted."
                warnings.append(RunWarning("where_differs_in_case", name, alike, sentence))
        return wanted


# -- resolving


def resolve(available: Sequence[str], rules: ColumnRules, source: str) -> Mapping:
    """What becomes of each of the source's columns; ``source`` is what people call it.

    Names match as they are, else whatever their case, spaces, underscores and dashes. Required columns may be missing
    still, see `etl.stages.proposal`. Raises SourceError for a name in the settings that the source does not have, and
    for one that two columns may be.
    """
    return _Resolver(list(available), rules, source).resolved()


class _Resolver:
    def __init__(self, available: list[str], rules: ColumnRules, source: str) -> None:
        self.available = available
        self.rules = rules
        self.settings = rules.settings
        self.source = source
        self.warnings: list[RunWarning] = []

    def resolved(self) -> Mapping:
        ignored = [name for wanted in self.settings.ignore if (name := self._find(wanted, self.available)) is not None]
        feeds = self._feeds(ignored)
        where = {self._where(name, feeds): values for name, values in self.settings.where.items()}
        feeding = {name for feed in feeds.values() for name in feed.sources}
        free = [name for name in self.available if name not in feeding and name not in ignored]
        own = self._own(free, feeds)
        listed = self._listed(free)
        stray = {name: self.rules.fields[name] for name in listed if self.rules.fields.get(name) in feeds}
        self._warn_of_strays(stray, feeds)
        self._warn_of_minor_units(feeds)
        extras = {name: own.get(name, self._travels_as(name)) for name in listed if name not in stray}
        left_out = [name for name in free if name not in {*own, *extras, *stray, *where}]
        if left_out:
            sentence = f"Not sent, because neither a vendor nor `extra_columns` names them: {name_list(left_out)}."
            self.warnings.append(RunWarning("columns_not_sent", "", 0, sentence))
        return Mapping(
            tuple(self.available),
            feeds,
            {name: own[name] for name in own if name not in extras},
            extras,
            tuple(ignored),
            stray,
            tuple(left_out),
            where,
            {name: ours for name, ours in self.rules.fields.items() if ours in feeds and ours in ONCE},
            self.settings.null_values,
            tuple(self.warnings),
        )

    def _feeds(self, ignored: Sequence[str]) -> dict[str, Feed]:
        """How each canonical column is made that is mapped or named so, in the order of `COLUMNS`."""
        found = {
            canonical: Feed(canonical, how, tuple(self._mapped(canonical, name) for name in how.sources))
            for canonical, how in self.settings.columns.items()
        }
        taken = {name for feed in found.values() for name in feed.sources} | {*ignored}
        free = [name for name in self.available if name not in taken]
        for canonical in COLUMNS:
            if canonical not in found and (name := self._find(canonical, free)) is not None:
                found[canonical] = Feed(canonical, ColumnSettings(column=name), (name,))
        self._take_other_names(found, free)
        return {canonical: found[canonical] for canonical in COLUMNS if canonical in found}

    def _take_other_names(self, found: dict[str, Feed], free: Sequence[str]) -> None:
        """A column under another name that a vendor's page has for ours.

        Not where somebody lists it as an extra, or another one plainly says revenue: that is a question.
        """
        extras = () if self.rules.everything else self.settings.extra_columns
        listed = {normalize(name) for name in extras}
        for other, canonical in ALSO_CALLED.items():
            alike = [name for name in free if normalize(name) == other and other not in listed]
            rivals = [name for name in free if headers.is_plainly_revenue(name)]
            if canonical not in found and len(alike) == 1 and not rivals:
                name = alike[0]
                found[canonical] = Feed(canonical, ColumnSettings(column=name), (name,))
                sentence = f"{name} is taken for {canonical}; `columns` or `ignore` may say otherwise."
                self.warnings.append(RunWarning("mapped_by_itself", name, 0, sentence))

    def _mapped(self, canonical: str, wanted: str) -> str:
        name = self._find(wanted, self.available)
        if name is None:
            raise SourceError(self._no_such_column(f"columns.{canonical}", wanted))
        return name

    def _where(self, wanted: str, feeds: Dict[str, Feed]) -> str:
        name = self._find(wanted, self.available)
        if name is None and wanted in feeds:
            return wanted
        if name is None:
            raise SourceError(self._no_such_column("where", wanted))
        return name

    def _no_such_column(self, key: str, wanted: str) -> str:
        return f"{self.source}: {key}: {wanted} — the source has no such column; it has {name_list(self.available)}."

    def _find(self, wanted: str, available: Sequence[str]) -> str | None:
        if wanted in available:
            return wanted
        alike = [name for name in available if normalize(name) == normalize(wanted)]
        if not alike and wanted == PARSE_ERROR:  # a source's own column of that name is renamed by it
            return self._find(reserved_name(wanted, ()), available)
        if len(alike) > 1:
            raise SourceError(
                f"{self.source}: {' and '.join(alike)} may both be {wanted}: rename one, or name the right one under "
                "`columns`."
            )
        return alike[0] if alike else None

    def _own(self, free: Sequence[str], feeds: Dict[str, Feed]) -> dict[str, str]:
        """Columns that a vendor's documents name, as they write them; of two alike that one, or neither."""
        found = {}
        for normal, as_written in self.rules.own.items():
            alike = [name for name in free if normalize(name) == normal]
            exact = [name for name in alike if name == as_written]
            if as_written not in feeds and len(exact or alike) == 1:
                found[(exact or alike)[0]] = as_written
        return found

    def _listed(self, free: Sequence[str]) -> list[str]:
        if self.rules.everything:
            return list(free)
        found = []
        for wanted in self.settings.extra_columns:
            name = self._find(wanted, free)
            if name is not None:
                found.append(name)
            elif self._find(wanted, self.available) is None:
                sentence = f"extra_columns: the source has no column {wanted}."
                self.warnings.append(RunWarning("column_not_there", wanted, 0, sentence))
        return found

    def _travels_as(self, name: str) -> str:
        """Its own name, unless that is one of ours."""
        ours = {*COLUMNS, *DERIVED, *HELPER_COLUMNS, PARSE_ERROR, "row_number"}
        return reserved_name(name, self.available) if name in ours else name

    def _warn_of_strays(self, stray: Dict[str, str], feeds: Dict[str, Feed]) -> None:
        for name, canonical in stray.items():
            made = " and ".join(feeds[canonical].sources) or canonical
            sentence = f"{name} is left out: a vendor has {canonical} in that place, which {made} fills."
            self.warnings.append(RunWarning("stray_column", name, 0, sentence))

    def _warn_of_minor_units(self, feeds: Dict[str, Feed]) -> None:
        how = feeds["revenue"].how if "revenue" in feeds else None
        units = headers.minor_units(how.column or "") if how is not None and how.divide_by == 1 else None
        if how is not None and units is not None:
            sentence = (
                f"{how.column} is taken for whole units, and its name says parts of them: "
                f"`revenue: {flow({'column': how.column, 'divide_by': units})}` divides."
            )
            self.warnings.append(RunWarning("minor_units", str(how.column), 0, sentence))


def name_list(names: Iterable[str]) -> str:
    """The names, as far as anybody reads: a file in the wrong encoding may have one as long as itself."""
    every = list(names)
    short = [name if len(name) <= 60 else f"{name[:59]}…" for name in every[:40]]
    return ", ".join(short) + (f" and {len(every) - 40} more" if len(every) > 40 else "")
