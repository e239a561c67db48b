"""What DAGs need while Airflow parses them, every 30 seconds: imports.yaml and nothing heavy.

One entry that cannot be used takes no other with it: `entries` gives those that can, and a sentence for each other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from etl import config, strict_yaml
from etl.config import FILE_VARIABLE, Config, ImportSettings, Secret
from etl.errors import ConfigError
from etl.redact import redact_url

RETRY_DELAY_VARIABLE = "CONVERSIONS_RETRY_DELAY_SECONDS"
DROPS, RETRY = "drops", "retry_dead_letters"
"""The DAGs of ours that are of no import."""
TASKS = ("check", "retry_first", "start", "prepare", "extract", "validate", "summary")
"""The tasks of the DAG of an import that are of no destination."""
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Entries:
    """imports.yaml entry by entry.

    ``config`` holds the imports and destinations that can be used; ``broken`` a sentence with its line for each import
    that cannot; ``trouble`` one for the file as a whole, which then breaks every import.
    """

    config: Config
    broken: Mapping[str, str]
    schedules: Mapping[str, str | None]
    """The schedules of the broken imports as written, where they are texts."""
    trouble: str = ""


def file_beside(dags: Path) -> Path:
    """The imports.yaml in force: ``$CONVERSIONS_CONFIG``, else the one beside the folder of the DAGs."""
    return Path(os.environ.get(FILE_VARIABLE) or dags.parent / "imports.yaml").absolute()


def entries(file: Path, secret: Secret | None = None) -> Entries:
    """imports.yaml entry by entry. Raises ConfigError where it is no YAML; asks for no secret."""
    raw = config.read(file)
    try:
        usable, broken, trouble = config.of(file, raw, secret), dict[str, str](), ""
    except ConfigError as error:
        usable, broken, trouble = _one_by_one(file, raw, secret, str(error))
    broken |= {name: sentence for name in usable.imports if (sentence := _misnamed(usable, name))}
    kept = {name: settings for name, settings in usable.imports.items() if name not in broken}
    usable = Config(file, usable.file.model_copy(update={"imports": kept}), usable.secret)
    return Entries(
        usable,
        {name: with_line(file, sentence) for name, sentence in broken.items()},
        {name: _schedule_of(raw, name) for name in broken},
        with_line(file, trouble) if trouble else "",
    )


def load(file: Path) -> Config:
    """imports.yaml, every entry of it. Raises ConfigError for the first that cannot be used; asks for no secret."""
    found = entries(file)
    for sentence in (found.trouble, *found.broken.values()):
        if sentence:
            raise ConfigError(sentence)
    return found.config


def with_line(file: Path, sentence: str) -> str:
    """A sentence that begins with the path of a key, and in which line of the file that key stands."""
    line = None
    with suppress(yaml.YAMLError, OSError, UnicodeDecodeError):
        line = strict_yaml.line_of(file.read_text(encoding="utf-8"), sentence.partition(": ")[0])
    where = f" Line {line} of {file.name}."
    return sentence if line is None or sentence.endswith(where) else sentence + where


def dag_id(import_name: str) -> str:
    """The DAG of an import: its name, but for names that Airflow or a DAG of ours has no room for.

    What stands in their place has a dot, which no name that is taken as it is can have.
    """
    if _NAME.fullmatch(import_name) and import_name not in (DROPS, RETRY):
        return import_name
    return "import." + "".join(mark if _NAME.fullmatch(mark) else f".{ord(mark):x}." for mark in import_name)


def group(destination: str, others: Iterable[str]) -> str:
    """The task group of a destination: its name, or with ``_`` behind where a task of the import is called so."""
    return free(destination, [*TASKS, *others]) if destination in TASKS else destination


def free(name: str, taken: Iterable[str]) -> str:
    """The name, or with so many ``_`` behind that nothing else has it."""
    others = {*taken}
    while name in others:
        name += "_"
    return name


def destinations(usable: Config) -> list[str]:
    """The destinations whose names tasks and pools can have."""
    return [name for name in usable.destination_names if _NAME.fullmatch(name)]


def pool(destination: str) -> str:
    """The pool whose one slot makes the chunks of a destination follow one another, in all DAGs."""
    return f"conversions_{destination}"


def retries() -> dict[str, Any]:
    """How tasks are repeated: three times, after 1, 2 and 4 minutes unless the environment says otherwise.

    Each try may take a day: more than any chunk does, and not for ever.
    """
    seconds = float(os.environ.get(RETRY_DELAY_VARIABLE) or 60)
    return {
        "retries": 3,
        "retry_delay": timedelta(seconds=seconds),
        "retry_exponential_backoff": 2.0 if seconds else 0,
        "max_retry_delay": timedelta(minutes=30),
        "execution_timeout": timedelta(days=1),
    }


def description(name: str, settings: ImportSettings) -> str:
    """An import for people, as Markdown. Only what cannot hold a secret is taken from the settings."""
    source = redact_url(str(settings.source.get("path") or ""))
    return (
        f"### {name}\n\n"
        f"Reads **{settings.source['type']}**{f' `{source}`' if source else ''} and delivers every conversion once to "
        f"{', '.join(f'**{destination}**' for destination in settings.to)}.\n\n"
        f"`conversions results --import {name}` shows one result per row and destination. The run fails when a "
        f"destination stops, or when more than {settings.max_bad_share:.0%} of its rows are not delivered. What is "
        f"cleared and run again here sends nothing twice.\n\n"
        "Unpausing runs the last night that was missed, before anything that is triggered by hand. A backfill reads "
        "what its days chose; an import whose source has no days, or reads on from where it ended, refuses it.\n\n"
        f"`load` waits for a slot of its pool, `{pool('<destination>')}`; `conversions airflow setup` makes them.\n"
    )


# -- one entry at a time


def _one_by_one(
    file: Path, raw: Mapping[str, Any], secret: Secret | None, sentence: str
) -> tuple[Config, dict[str, str], str]:
    """The entries that can be used, a sentence for each import that cannot, and one for what is everybody's."""
    written, given = raw.get("imports", {}), raw.get("destinations", {})
    if not isinstance(written, dict) or not isinstance(given, dict):
        return config.of(file, {}, secret), {}, sentence
    mappings = {name: entry for name, entry in given.items() if isinstance(entry, dict)}
    shared = {**raw, "destinations": mappings, "imports": {}}
    try:
        usable = config.of(file, shared, secret)
    except ConfigError as error:
        return config.of(file, {}, secret), {str(name): str(error) for name in written}, str(error)
    good: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for name, entry in written.items():
        try:
            usable = config.of(file, {**shared, "imports": {**good, name: entry}}, secret)
        except ConfigError as error:
            broken[str(name)] = _of_destination(str(error), entry, given) or str(error)
        else:
            good[name] = entry
    return usable, broken, ""


def _of_destination(sentence: str, entry: Any, given: Mapping[str, Any]) -> str:
    """What is wrong with a destination that an import names and that cannot be used; empty where it is none of them."""
    to = entry.get("to") if isinstance(entry, dict) else None
    wrong = [name for name in to or () if name in given] if isinstance(to, list) else []
    return next((f"destinations.{name}: is no mapping of settings." for name in wrong if f"'{name}'" in sentence), "")


def _misnamed(usable: Config, name: str) -> str:
    wrong = [f"imports.{name}"] * (_NAME.fullmatch(name) is None)
    wrong += [f"destinations.{each}" for each in usable.imports[name].to if _NAME.fullmatch(each) is None]
    return f"{wrong[0]}: Airflow wants names of letters, digits, _ and - only." if wrong else ""


def _schedule_of(raw: Mapping[str, Any], name: str) -> str | None:
    written = raw.get("imports")
    entry = written.get(name) if isinstance(written, dict) else None
    schedule = entry.get("schedule") if isinstance(entry, dict) else None
    return schedule if isinstance(schedule, str) else None
