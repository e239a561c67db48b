"""imports.yaml: wrong keys, types and secrets are refused with the path of the key, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl import config, preview, sources
from etl.destinations import make_destination
from etl.errors import ConfigError, SourceError
from etl.ledger import open_ledger
from etl.ledger.leases import LEASE_MS
from etl.sources.base import Window

GOOD = """
destinations:
  kameleoon: {site_code: f17c21u1ag, data_region: eu}
  converge: {webhook_token: "${TOKEN}"}
imports:
  orders: {source: {type: csv, path: o.csv}, to: [kameleoon, converge]}
"""

_UNFOLDING = "  b0: &b0 [a, a, a, a, a, a, a, a, a, a]\n" + "".join(
    f"  b{each}: &b{each} [{', '.join([f'*b{each - 1}'] * 10)}]\n" for each in range(1, 8)
)


def judged(tmp_path: Path, text: str, **secrets: str) -> config.Config:
    path = tmp_path / "imports.yaml"
    path.write_text(text)
    found = config.load(path, secrets.get)
    preview.check_settings(found)
    return found


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        pytest.param("data_region: eu", "data_region: us", "destinations.kameleoon.data_region: ", id="wrong choice"),
        pytest.param("site_code:", "sitecode:", "destinations.kameleoon.site_code: is required", id="missing key"),
        pytest.param(
            "eu}", "eu, limit: {items: 5}}", "kameleoon.limit: is not a known key (did you mean limits?)", id="typo"
        ),
        pytest.param(
            "eu}", "eu, limits: {item: 5}}", "limits.item: is not a known key (did you mean items?)", id="inner typo"
        ),
        pytest.param("eu}", "eu, limits: {items: 0}}", "destinations.kameleoon.limits.items: ", id="too small"),
        pytest.param(
            "eu}", "eu, endpoint: ftp://x}", "destinations.kameleoon.endpoint: must be a full http", id="not a URL"
        ),
        pytest.param(
            "kameleoon:", "kamelon:", "imports.orders.to.0: there is no destination 'kameleoon'", id="unknown name"
        ),
        pytest.param("eu}", "eu, type: adobe}", "destinations.kameleoon.type: must be one of", id="unknown type"),
        pytest.param("to: [kameleoon, converge]", "to: []", "imports.orders.to: ", id="nowhere to"),
        pytest.param(
            "o.csv}",
            "o.csv}, chunk_row: 9",
            "orders.chunk_row: is not a known key (did you mean chunk_rows?)",
            id="deep",
        ),
        pytest.param(
            "o.csv}", "o.csv}, timezone: Mars/X", "imports.orders.timezone: Mars/X is not a time zone", id="zone"
        ),
        pytest.param(
            "to: [kameleoon, converge]",
            "to: [kameleoon, converge, kameleoon]",
            "imports.orders.to: names kameleoon more than once; once is enough.",
            id="twice to one",
        ),
        pytest.param(
            "imports:\n",
            "imports:\n  orders: {source: {type: csv, path: a.csv}, to: [converge]}\n",
            "imports.yaml: orders stands twice in one place, in lines 6 and 7",
            id="two imports of one name",
        ),
        pytest.param(
            "  converge:",
            "  kameleoon: {site_code: a, data_region: eu}\n  converge:",
            "imports.yaml: kameleoon stands twice in one place, in lines 3 and 4",
            id="two destinations of one name",
        ),
        pytest.param(
            "data_region: eu", "data_region: eu, data_region: us", "data_region stands twice", id="two keys on one line"
        ),
        pytest.param(
            "imports:\n",
            f"imports:\n{_UNFOLDING}",
            "imports.yaml: its aliases (*name) unfold to more than 100,000 values; write out what is meant",
            id="a bomb",
        ),
        pytest.param(
            "imports:\n",
            "imports:\n  a: &a {to: [*a]}\n",
            "imports.yaml: line 6 holds an alias (*name) of what it is itself a part of",
            id="an alias of itself",
        ),
        pytest.param(
            "o.csv}",
            "o.csv}, columns: {revenu: Total}",
            "orders.columns: revenu is not a canonical column (did you mean revenue?).",
            id="canonical typo",
        ),
        pytest.param(
            "o.csv}",
            "o.csv}, columns: {Order No: event_id}",
            "orders.columns: Order No is not a canonical column (did you mean event_id: Order No?).",
            id="columns the wrong way round",
        ),
        *(
            pytest.param(
                "o.csv}", f"o.csv}}, columns: {{{name}: Total}}", f"columns: {name} is not a canonical column", id=name
            )
            for name in ("damage", "first_row", "occurred_at_ms", "fingerprint", "row_number", "lead_score")
        ),
        *(
            pytest.param("o.csv}", f"o.csv}}, date_format: '{given}'", f"orders.date_format: {told}", id=given)
            for given, told in {
                "%d.%m.%Y %I:%M": "%d.%m.%Y %I:%M is wrong by half a day: %I and %p belong together",
                "%d.%m.%Y %H:%M %p": "%d.%m.%Y %H:%M %p is wrong by half a day",
                "%d.%m.%Y %I:%M %H %p": "%d.%m.%Y %I:%M %H %p is wrong by half a day",
                "%d.%m.%Y %H:%M %Z": "%d.%m.%Y %H:%M %Z: names of zones (%Z) mean several zones each",
                "%H:%M": "%H:%M leaves out the day",
            }.items()
        ),
        *(
            pytest.param(
                "imports:\n",
                f"imports:\n  shop: {{drop: {{inbox: in/box/, processed: done}}, to: [converge]}}\n"
                f"  web: {{drop: '{inbox}', to: [converge]}}\n",
                f"imports.{name}.drop.inbox: imports.{other}.drop takes or puts its files there; every import needs",
                id=f"inbox of another: {inbox}",
            )
            for inbox, name, other in (
                ("in/box", "shop", "web"),
                ("./in/../in/box", "shop", "web"),
                ("in/box/dryrun", "web", "shop"),
                ("in/box/quarantine", "web", "shop"),
                ("done/", "web", "shop"),
            )
        ),
        pytest.param("type: csv, ", "", "imports.orders.source: needs a `type`", id="no type"),
        pytest.param("type: csv", "type: xls", "imports.orders.source.type: must be one of csv", id="unknown source"),
        *(
            pytest.param("imports:\n", f"lease: {given}\nimports:\n", f"lease: {sentence}", id=f"lease {given}")
            for given, sentence in {
                "soon": "'soon' is not a length of time such as 30s, 15m or 1h.",
                "15": "'15' is not a length of time such as 30s, 15m or 1h.",
                "1h30m": "'1h30m' is not a length of time such as 30s, 15m or 1h.",
                "-5m": "'-5m' is not a length of time such as 30s, 15m or 1h.",
                "0s": "0s is too short or too long; it may be 100ms to 7d, and 15m suits most.",
                "8d": "8d is too short or too long; it may be 100ms to 7d, and 15m suits most.",
            }.items()
        ),
        pytest.param("imports:", "import:", "import: is not a known key (did you mean imports?)", id="top level"),
        pytest.param("{site_code", "{{site_code", "is not YAML", id="not YAML"),
    ],
)
def test_one_sentence_with_the_path_of_the_key(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        judged(tmp_path, GOOD.replace(old, new, 1), TOKEN="t")
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "lease_ms"),
    [
        ("", LEASE_MS),
        ("lease: 15m", 900_000),
        ("lease: 30s", 30_000),
        ("lease: 0.5s", 500),
        ("lease: 250ms", 250),
        ("lease: 1h", 3_600_000),
        ("lease: 1 d", 86_400_000),
    ],
)
def test_how_long_a_silent_run_keeps_its_claims(tmp_path: Path, given: str, lease_ms: int) -> None:
    found = judged(tmp_path, f"ledger: sqlite:///{tmp_path}/ledger.db\n{given}\n{GOOD}", TOKEN="t")
    with open_ledger(found) as ledger:
        assert ledger.leases.lease_ms == lease_ms


@pytest.mark.parametrize(
    "given", ["%d.%m.%Y %H:%M", "%m/%d/%y %I:%M %p", "%d.%m.%Y", "%d.%m.%Y %H:%M %z", "%d %%I %m %Y"]
)
def test_dates_as_people_write_them(tmp_path: Path, given: str) -> None:
    found = judged(tmp_path, GOOD.replace("o.csv}", f"o.csv}}, date_format: '{given}'"), TOKEN="t")
    assert found.imports["orders"].date_format == given


def test_what_a_merge_brings_in_may_be_overridden(tmp_path: Path) -> None:
    merged = GOOD.replace("{site_code", "&site {site_code").replace(
        "imports:", "  other: {<<: *site, type: kameleoon, site_code: other}\nimports:"
    )
    assert make_destination(judged(tmp_path, merged, TOKEN="t"), "other").settings.model_dump()["site_code"] == "other"


@pytest.mark.parametrize("secrets", [{}, {"TOKEN": ""}], ids=["unset", "empty"])
def test_a_missing_secret_is_named_with_its_key(tmp_path: Path, secrets: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"destinations\.converge\.webhook_token: \$\{TOKEN\} has no value"):
        judged(tmp_path, GOOD, **secrets)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    found = judged(tmp_path, GOOD, TOKEN="hush-hush")
    destination = make_destination(found, "converge")
    assert "hush-hush" not in repr(found) + repr(destination.settings) + str(destination.settings)
    assert destination.secrets() == ["hush-hush"]


def test_defaults_and_places(tmp_path: Path) -> None:
    found = judged(tmp_path, GOOD.replace("${TOKEN}", "${TOKEN:-standby}"))
    assert make_destination(found, "converge").secrets() == ["standby"]
    assert found.ledger_url == f"sqlite:///{tmp_path}/var/ledger.db"
    assert found.staging_url == f"{tmp_path}/var/staging"


@pytest.mark.parametrize(
    ("path", "secrets", "told"),
    [
        pytest.param("${ORDERS:-o.csv}", {}, "o.csv", id="the default"),
        pytest.param("${ORDERS:-o.csv}", {"ORDERS": "new/mine.csv"}, "new/mine.csv", id="a file that is there"),
        pytest.param("${HERE}/new/mine.csv", {"HERE": "/"}, "//new/mine.csv", id="a folder that is there"),
        pytest.param("${FEED}/o.csv", {"FEED": "http://feed.example"}, "http://feed.example/o.csv", id="a host"),
        pytest.param("${ORDERS:-o.csv}", {"ORDERS": "hush-hush"}, "${ORDERS}", id="what may be a secret"),
        pytest.param("in/${KEY}/${FILE:-o.csv}", {"KEY": "/hush" * 900}, "in/${KEY}/o.csv", id="too long for a path"),
        pytest.param("${FEED:-http://feed.example/o.csv?key=hush}", {}, "http://feed.example/o.csv", id="a query"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_people_are_told_what_is_read_and_no_secret(
    tmp_path: Path, kind: str, path: str, secrets: dict[str, str], told: str
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/mine.csv").touch()
    text = GOOD.replace("type: csv, path: o.csv", f'type: {kind}, path: "{path}"')
    assert sources.import_source(judged(tmp_path, text, TOKEN="t", **secrets), "orders").describe() == told


def test_a_message_names_the_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(" , \n")
    text = GOOD.replace("path: o.csv", 'path: "${ORDERS:-samples/o.csv}"')
    source = sources.import_source(judged(tmp_path, text, TOKEN="t", ORDERS=str(tmp_path / "mine.csv")), "orders")
    with pytest.raises(SourceError, match=r"^mine\.csv: the file is empty"):
        list(source.frames(Window(), 10))


def test_limits_never_pass_what_the_vendor_documents(tmp_path: Path) -> None:
    found = judged(tmp_path, GOOD.replace("eu}", "eu, limits: {bytes: 99000000, items: 999999}}"), TOKEN="t")
    limits = make_destination(found, "kameleoon").limits
    assert (limits.bytes, limits.items) == (3_000_000, 30_000)


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        config.load(tmp_path / "none.yaml")


@pytest.mark.parametrize("folder", ["what?", "50%41", "a #1", "x;y&z=1", "größe [1]"])
def test_a_ledger_lies_in_the_folder_of_its_imports_whatever_its_name(tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder
    place.mkdir()
    with open_ledger(judged(place, GOOD, TOKEN="t")):
        pass
    assert (place / "var/ledger.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [folder]


def test_a_question_mark_in_the_path_of_a_ledger_is_not_guessed_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in a path it is written %3F"):
        _ = judged(tmp_path, f"ledger: sqlite:///{tmp_path}/what?/ledger.db\n{GOOD}", TOKEN="t").ledger_url
    with open_ledger(judged(tmp_path, f"ledger: sqlite:///a%3Fb/l.db?timeout=1\n{GOOD}", TOKEN="t")):
        pass
    assert (tmp_path / "a?b/l.db").is_file()
