"""The page that its sender finds beside a dropped file, as Chromium shows it on a phone and on a desk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from etl.cli import app
from etl.sandbox import Sandbox
from tests.chromium import Chromium, chromium
from tests.conftest import House, order
from tests.test_drops import Inbox, bad, local, text
from tests.vendors import EVERYBODY

pytestmark = pytest.mark.e2e

LONG = "Export_des_Vertriebs_den_niemand_kürzen_wollte_2026-11-20_wirklich_final_FINAL (3).csv"
FAULTS = [
    {"occurred_at": "yesterday"},
    {"occurred_at": "01.02.2026 10:00"},
    {"occurred_at": "13.02.2026"},
    {"occurred_at": "2026-11-20 10:00"},
    {"occurred_at": "2030-01-01T00:00:00Z"},
    {"occurred_at": "1700000000"},
    {"event_id": ""},
    {"event_id": "1.23E+17"},
    {"event_id": "12345678901234567000"},
    {"event_id": "=A1"},
    {"event_name": ""},
    {"event_name": "Ein_Ereignis_ohne_Lücke_" * 9},
    {"revenue": "1,50"},
    {"revenue": "abc"},
    {"revenue": "-5"},
    {"currency": "Euro"},
    {"currency": ""},
    {"user_id": "", "anonymous_id": ""},
    {"user_id": "x" * 300},
    {"user_id": "somebody@example.com"},
    {"aliases": ""},
    {"aliases": "|".join(f"urn:user_id:{number}" for number in range(15))},
    {"kameleoon_goal_id": "abc"},
    {"kameleoon_visitor_code": "ü" * 300},
    {"quantity": "-1"},
    {"properties": "{broken"},
    {"phone": "none"},
]

NO_REVENUE = {"revenue", "kameleoon_goal_id"}
UNMAPPED = [
    {name: cell for name, cell in order(n).items() if name not in NO_REVENUE} | {"Revenue (EUR)": "19.99"}
    for n in range(8_000, 8_003)
]
FILES: dict[str, str] = {
    "good.csv": text([order(n) for n in range(1_234)]),
    "mixed.csv": text([order(2_000), order(2_001, aliases=""), bad(2_002)]),
    "bad.csv": text([bad(n) for n in range(3_000, 3_012)]),
    "unusable.csv": "Bestellnummer;Datum;Ereignis\n1;01.02.2026;Kauf\n",
    "money.csv": text(UNMAPPED),
    "header only.csv": "event_id,event_name,occurred_at\n",
    LONG: text(
        [order(4_000 + number, **fault) for number, fault in enumerate(FAULTS)]
        + [order(n) for n in range(5_000, 5_030)]
    ),
}

COUNTS: dict[str, list[str]] = {
    "good": ["1,234 delivered"] * 5,
    "mixed": ["1 delivered 2 rejected", *["2 delivered 1 rejected"] * 4],
    "trial": ["2 ready 1 rejected"] * 5,
    "bad": ["12 rejected"] * 5,
    "unusable": [],
    "money": [],
    "header only": [],
    "late": [*["12 delivered"] * 4, "12 failed"],
}
"""What the page says of each destination, in the order of their names."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Summaries of every kind, by the name of their file without its ending."""
    with Sandbox() as sandbox:
        inbox = local(House(tmp_path_factory.mktemp("pages"), sandbox))
        inbox.to = sorted(EVERYBODY)
        inbox.settings = {"settle_seconds": 0}
        for name, content in FILES.items():
            inbox.drop(name, content)
        inbox.drop("trial.csv", text([order(6_000), order(6_001), bad(6_002)]), below="dryrun")
        _round(inbox)
        soon = (datetime.now(UTC) - timedelta(days=6, hours=20)).isoformat()
        inbox.drop("late.csv", text([order(n, occurred_at=soon) for n in range(7_000, 7_012)]))
        sandbox.fault(vendor="webflow_optimize", status=401)
        _round(inbox)
        yield {path.name.removesuffix(".summary.html"): path for path in Path(inbox.root).rglob("*.summary.html")}


def _round(inbox: Inbox) -> None:
    states = {outcome.file.name: outcome.state for outcome in inbox.round().values()}
    assert "left" not in states.values(), states


KINDS = [*COUNTS, "long"]
WIDTHS = {"phone": 390, "desk": 1280}


def found(pages: dict[str, Path], kind: str) -> Path:
    return pages[LONG.removesuffix(".csv") if kind == "long" else kind]


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_hangs_over_the_edge(browser: Chromium, pages: dict[str, Path], kind: str, width: int) -> None:
    browser.show(found(pages, kind), width)
    assert browser.value("innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(OVER_THE_EDGE) == []


OVER_THE_EDGE = """
[...document.querySelectorAll('body *')]
    .filter(e => !e.closest('thead') && e.getBoundingClientRect().width)
    .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 || e.scrollWidth > Math.max(e.clientWidth, 1) + 1)
    .map(e => e.tagName + ': ' + e.textContent.slice(0, 60))
"""


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
@pytest.mark.parametrize("kind", COUNTS)
def test_every_count_is_to_be_seen(browser: Chromium, pages: dict[str, Path], kind: str, width: int) -> None:
    browser.show(found(pages, kind), width)
    assert browser.value(SEEN) == COUNTS[kind]


SEEN = """
[...document.querySelectorAll('tbody tr')].map(row => [...row.querySelectorAll('td')]
    .filter(cell => cell.getBoundingClientRect().width && cell.innerText !== '0')
    .map(cell => cell.innerText + ' ' + cell.dataset.label).join(' '))
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
@pytest.mark.parametrize("kind", ["long", "late", "trial", "good"])
def test_every_word_stands_out_from_its_ground(
    browser: Chromium, pages: dict[str, Path], kind: str, width: int, dark: bool
) -> None:
    browser.show(found(pages, kind), width, dark=dark)
    assert browser.value(FAINT) == [], "contrast below 4.5 : 1"


FAINT = """
(() => {
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = parts(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return [...document.querySelectorAll('body *')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    .filter(e => contrast(light(parts(getComputedStyle(e).color)), light(ground(e))) < 4.5)
    .map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40));
})()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_stands_alone(browser: Chromium, pages: dict[str, Path], kind: str) -> None:
    browser.show(found(pages, kind), 390)
    assert browser.value("document.querySelectorAll('script, link, img, iframe, [src], [href]').length") == 0
    assert browser.value("performance.getEntriesByType('resource').length") == 0


SAID = [
    ("good", "All 1,234 rows arrived everywhere they should.", "Nothing. You can keep this page as a receipt."),
    ("mixed", "2 rows need a correction", "Open mixed.fix.csv beside this page"),
    ("bad", "Nothing was sent. 12 of 12 rows cannot be used", "Open bad.fix.csv beside this page"),
    ("trial", "Trial: 2 of 3 rows would be sent", "This was a trial: nothing was sent."),
    ("unusable", "no column for event_id", "give this page to the person who runs the import"),
    ("money", "Revenue (EUR) looks like money, and nothing is mapped to revenue", "give this page to the person who"),
    ("header only", "The file has a header and no rows", "If you expected rows in it, export the file again"),
    ("late", "12 rows could not be delivered yet", "Be quick: from "),
    ("long", "need a correction", "(3).fix.csv beside this page"),
]


@pytest.mark.parametrize(("kind", "what", "next_step"), SAID, ids=[kind for kind, *_ in SAID])
def test_what_happened_and_what_to_do_come_first(
    browser: Chromium, pages: dict[str, Path], kind: str, what: str, next_step: str
) -> None:
    browser.show(found(pages, kind), 390)
    assert what in browser.value("document.querySelector('.headline').innerText")
    assert next_step in browser.value("document.querySelector('h2 + .card').innerText")
    assert browser.value("document.querySelector('h2 + .card').getBoundingClientRect().top") < 500


def test_the_lines_to_paste_for_money_are_those_of_check(
    browser: Chromium, pages: dict[str, Path], tmp_path: Path, sandbox: Sandbox
) -> None:
    house = House(tmp_path, sandbox)
    (tmp_path / "money.csv").write_text(FILES["money.csv"])
    house.import_settings = {"source": {"type": "csv", "path": "money.csv"}}
    shown = CliRunner().invoke(app, ["--config", str(house.config.path), "check", "orders"])
    lines = shown.stderr.partition("Add to the import:\n")[2].rstrip()
    assert (shown.exit_code, lines.splitlines()[0]) == (2, "columns:")
    browser.show(found(pages, "money"), 390)
    assert "/quarantine/" in str(found(pages, "money"))
    assert lines in browser.value("document.body.innerText")
    assert browser.value(
        "[...document.querySelectorAll('pre')].filter(e => e.innerText.startsWith('columns:'))"
        ".map(e => e.getBoundingClientRect().width <= innerWidth)"
    ) == [True], "the lines keep their indentation and fit a phone"


def test_settings_in_sentences_stand_as_code_and_words_are_explained(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.show(found(pages, "mixed"), 390)
    assert "`" not in browser.value("document.body.innerText")
    assert "aliases_from" in browser.value("[...document.querySelectorAll('.card p code')].map(e => e.innerText)")
    assert browser.value("[...document.querySelectorAll('dt')].map(e => e.innerText)") == ["delivered", "rejected"]


def test_paper_is_white_and_ink_is_dark_whatever_the_screen(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.show(found(pages, "late"), 1280, dark=True)
    browser.ask(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    ink = browser.value("getComputedStyle(document.body).color")
    assert max(map(int, re.findall(r"\d+", ink)[:3])) < 64
    assert browser.value(FAINT) == []
