"""Whatever a target puts into a text, no output obeys it: each test first shows that a naive output would."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
import shutil
import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.parsers import expat

import pytest
from hypothesis import example, given
from invoke import Exit
from lxml import etree
from lxml import html as lxml_html
from rich.console import Console
from rich.markup import render
from rich.progress import TextColumn

from tests.reports.builders import control, profile, report, result
from tests.reports.hostile import ACTIVE, FORMULAS, MARKUP, RICH, TERMINAL, TEXTS, everywhere, is_drawn, texts
from tests.reports.test_formats import junit_of, made, page_of, rows_of
from toolkit import cli_base
from toolkit.engines.base import Plan
from toolkit.engines.base import Progress as Control
from toolkit.errors import BarescanError, CallError, ScanError
from toolkit.progress import LiveFleet, LiveWatcher
from toolkit.reports import formats, hdf
from toolkit.reports.console import Row, print_overview, print_summary
from toolkit.reports.formats import FORMATS, html_page
from toolkit.reports.text import CELL_LIMIT, CUT, csv_cell, csv_text, legible, visible
from toolkit.runtimes.session import Outcome
from toolkit.scan import Request, Watcher, _Scan, check, scan

_HUGE = "x" * 10_000_000
_OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _terminal(*, drawn: bool = False) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    console = Console(
        file=stream, width=100, force_terminal=drawn, color_system="truecolor" if drawn else None
    )
    return console, stream


# --- the one place ---


@pytest.mark.parametrize("text", TERMINAL.values(), ids=TERMINAL)
def test_what_a_terminal_would_obey_is_shown_as_its_code(text: str) -> None:
    if "\u0301" not in text and "\u3164" not in text:
        assert not is_drawn(text), "as it is, it would be obeyed"
    assert is_drawn(visible(text), "")
    assert is_drawn(legible(text), "\n\t")
    assert visible(text).count("\u0301") <= 4
    assert not set(visible(text)) & set("\u3164\u115f\uffa0")


@given(texts)
def test_lines_stay_lines_and_nothing_else_is_obeyed(text: str) -> None:
    shown = legible(text)
    assert is_drawn(shown, "\n\t")
    shown.encode()
    assert shown.count("\n") == text.replace("\r\n", "\n").count("\n")
    assert legible(shown) == shown


def test_what_is_drawn_stays_to_the_letter() -> None:
    text = "  naïve\u00a0café\t日本\u3000語 e\u0301\n\n    got: 0644  \n❤\ufe0f"
    assert legible(text) == text


@pytest.mark.parametrize("text", [_HUGE, "\x1b" * 10_000_000, "\n" * 10_000_000], ids=["x", "escape", "line"])
def test_a_text_without_end_is_cut_and_not_gone_through(text: str) -> None:
    tracemalloc.start()
    try:
        cut, cell = legible(text, 10_000), csv_cell(text)
        assert len(visible(text, 100)) <= 100
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(cut) == 10_000
    assert cut.endswith(CUT)
    assert len(cell) <= CELL_LIMIT
    assert peak < len(text)


# --- terminal ---


def _summary(document: dict[str, Any], *, drawn: bool) -> str:
    console, stream = _terminal(drawn=drawn)
    print_summary(console, document, note=str(document["platform"]["name"]))
    print_overview(console, [Row(str(document["platform"]["name"]), None, "2", "why", "next")])
    return stream.getvalue()


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_summary_obeys_nothing(text: str, drawn: bool) -> None:
    shown = _summary(everywhere(text), drawn=drawn)
    assert is_drawn(_OURS.sub("", shown) if drawn else shown)
    shown.encode()


@pytest.mark.parametrize("name", TERMINAL)
def test_a_naive_summary_would_obey(name: str) -> None:
    if name in {"fillers", "marks"}:
        pytest.skip("drawn by a terminal, if as nothing or over other lines; not a control")
    console, stream = _terminal()
    console.print(f"Failed: {TERMINAL[name]}")
    assert not is_drawn(stream.getvalue())


@given(texts)
@example(_HUGE)
def test_progress_obeys_nothing_and_keeps_to_its_lines(text: str) -> None:
    console, stream = _terminal()
    with LiveWatcher(console, text) as watcher:
        watcher.chosen(text, "openscap")
        watcher.phase(text)
        watcher.planned(1)
        watcher.control(Control(text, "failed"))
    with LiveFleet(console, 0, 1) as fleet, fleet.target(text) as line:
        line.phase(text)
    shown = stream.getvalue()
    assert is_drawn(shown)
    assert len(shown.splitlines()) == 4
    assert len(shown) < 10_000


@pytest.mark.parametrize("text", [*TERMINAL.values(), *RICH.values()], ids=[*TERMINAL, *RICH])
def test_a_bar_draws_mark_up_and_codes_as_they_are(text: str) -> None:
    console, stream = _terminal(drawn=True)
    with LiveWatcher(console, f"docker://{text}") as watcher:
        watcher.phase(f"{text} {text}")
        watcher._bars.refresh()
    assert is_drawn(_OURS.sub("", stream.getvalue()).replace("\r", ""))
    watched = watcher._bars.tasks[0].description
    assert watched.startswith(visible(f"docker://{text}", 400))
    column = watcher._bars.columns[1]
    assert isinstance(column, TextColumn)
    assert str(column(watcher._bars.tasks[0])) == watched


@pytest.mark.parametrize("text", RICH.values(), ids=RICH)
def test_words_for_people_are_no_mark_up(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    naive = str(render(f"[dim]{text}[/dim]")) if "[/dim]" not in text else ""
    assert naive != text, "rich obeys it"
    console, stream = _terminal()
    monkeypatch.setattr(cli_base, "notes", console)
    cli_base.say(text)
    cli_base.complain(text, text)
    assert stream.getvalue() == f"{text}\nerror: {text}\n       {text}\n"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_an_error_says_its_words_and_obeys_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    console, stream = _terminal()
    monkeypatch.setattr(cli_base, "notes", console)

    @cli_base.guarded
    def fail(error: Exception) -> None:
        raise error

    for error, status in ((ScanError(text, text), 2), (ValueError(text), 2), (KeyError(text), 2)):
        with pytest.raises(Exit) as caught:
            fail(error)
        assert caught.value.code == status
    shown = stream.getvalue()
    assert is_drawn(shown)
    assert "an error of barescan itself (ValueError)" in shown
    assert "raise error\n" in shown, "the traceback is there, for the report"


def test_an_error_without_end_does_not_drown_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    console, stream = _terminal()
    monkeypatch.setattr(cli_base, "notes", console)
    cli_base.complain(_HUGE, "do this next")
    assert len(stream.getvalue()) < 10_000
    assert "do this next" in stream.getvalue()


# --- the records of a scan ---


class _Double:
    """Stands for a runtime, which a record asks for what it knows of its target."""

    def facts(self) -> dict[str, Any]:
        return {}


def _recording(folder: Path, uri: str) -> _Scan:
    """Return a scan that was not made: a double, for what it would be recorded as."""
    manifest = {"engines": {"cinc": {"version": "1"}}, "architecture": "x86_64", "sha256": "0"}
    engine = SimpleNamespace(
        name="cinc", progress=lambda line: Control(line, "failed") if line.startswith("c ") else None
    )
    return _Scan(
        Request(uri, "p"),
        cast(Any, SimpleNamespace(manifest=manifest)),
        Watcher(),
        cast(Any, _Double()),
        cast(Any, engine),
        Plan((), title="p"),
        folder,
        Outcome(),
    )


@pytest.mark.parametrize("text", [*TEXTS.values(), "[" * 100_000, _HUGE], ids=[*TEXTS, "deep", "huge"])
def test_the_log_is_text_and_the_records_are_json(text: str, tmp_path: Path) -> None:
    recording = _recording(tmp_path, f"docker://{text[:100]}")
    for line in (text, f"c {text[:100]}"):
        recording._on_line(line)
    recording.outcome.stderr = text[-20_000:]
    recording.outcome.facts = {"os_release": {"ID": text[:200]}}
    error = ScanError(text[:4000], text[:4000])
    recording._record_failure(error)
    log = (tmp_path / "engine.log").read_bytes()
    assert is_drawn(log.decode())
    assert len(log) < 200_000
    for name in ("scan.json", "report.partial.json"):
        data = (tmp_path / name).read_bytes()
        assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in data)
        said = json.loads(data, parse_constant=pytest.fail)
    assert said["reason"] == text[:4000]


def test_controls_that_never_end_fill_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.scan._MOST_SEEN", 10)
    recording = _recording(tmp_path, "docker://a")
    for number in range(20_000):
        recording._on_line(f"c {number}")
        recording._on_line(_HUGE[:3000])
    assert len(recording.seen) == 10
    assert len(recording.log) == 10_000
    assert max(map(len, recording.log)) == 2000


def test_a_scan_leaves_the_formats_that_were_asked_for(tmp_path: Path) -> None:
    recording = _recording(tmp_path, "docker://a")
    recording.request = replace(recording.request, formats=("junit", "csv", "csv"))
    document = everywhere("=1")
    assert recording._judge(document, None).status == 100
    assert {each.name for each in tmp_path.iterdir()} == {"report.hdf.json", "report.junit.xml", "report.csv"}
    assert (tmp_path / "report.csv").read_bytes() == made("csv", document)


@pytest.mark.parametrize("begin", [scan, lambda request, *_: check(request)])
def test_a_format_that_there_is_not_ends_a_scan_before_it_begins(tmp_path: Path, begin: Any) -> None:
    request = Request("pid://1", "p", report_dir=tmp_path / "reports", formats=("pdf",))
    with pytest.raises(CallError, match="no report format 'pdf'"):
        begin(request, pytest.fail)
    assert list(tmp_path.iterdir()) == []


# --- CSV ---

_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u2212]")


def _calculated(data: str, separator: str) -> list[str]:
    """Return the cells that a spreadsheet would calculate, which skips spaces and quotes before a formula."""
    rows = csv.reader(io.StringIO(data, newline=""), delimiter=separator)
    return [cell for row in rows for cell in row if _FORMULA.match(cell.lstrip(" \"'`\u00a0") or " ")]


def _safe(cell: str) -> bool:
    """Return whether a whole cell is no formula, nor begins with what is cut off before one."""
    return cell.startswith("'") or not (
        _FORMULA.match(cell.strip(' "`\u00a0') or " ") or cell[:1] in {"\t", "\n"}
    )


def _safe_part(part: str) -> bool:
    """Return whether what another separator makes a cell of is no formula."""
    return not _FORMULA.match(part.lstrip(' \t\n"`\u00a0') or " ")


@pytest.mark.parametrize("text", FORMULAS.values(), ids=FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    if text not in {FORMULAS["next cell"], FORMULAS["cell by quotes"], FORMULAS["next line"]}:
        assert _calculated(f'"{text}"', ",") or _calculated(text, ","), "naively it would be one"
    for row in rows_of(everywhere(text)):
        for cell in row.values():
            assert _safe(cell), cell
        assert csv_text(row["title"]) == legible(text), "nothing is lost"


def test_a_separator_of_another_country_begins_no_formula() -> None:
    text = FORMULAS["next cell"]
    assert any(cell.startswith("=") for cell in next(csv.reader([f"x,{text},y"], delimiter=";")))
    data = made("csv", everywhere(text)).decode("utf-8-sig")
    for separator in ";\t":
        rows = csv.reader(io.StringIO(data, newline=""), delimiter=separator)
        assert all(_safe_part(cell) for row in rows for cell in row)


@given(texts)
def test_any_cell_is_text_and_what_was_in_it_can_be_had_back(text: str) -> None:
    cell = csv_cell(text)
    for part in re.split(r"[;\t\n]", cell):
        assert _safe_part(part)
    assert _safe(cell)
    assert csv_text(cell) == legible(text, CELL_LIMIT)


@given(texts)
def test_rows_and_columns_are_those_that_were_written(text: str) -> None:
    document = everywhere(text)
    rows = rows_of(document)
    assert len(rows) == 6
    for row in rows:
        assert None not in row
        assert None not in row.values()
        assert csv_text(row["target"]) == legible(text, CELL_LIMIT)
        assert is_drawn("".join(row.values()), "\n\t")


def test_a_cell_is_no_longer_than_excel_takes_however_many_guards_it_has() -> None:
    cell = csv_cell(";=" * 1_000_000)
    assert len(cell) <= CELL_LIMIT < 32_767
    assert cell.endswith(CUT)


# --- JUnit XML ---


def _is_xml(data: bytes) -> bool:
    try:
        expat.ParserCreate().Parse(data, True)
    except expat.ExpatError:
        return False
    return True


_NOT_XML = [name for name in TEXTS if name in {"clipboard", "link", "title", "screen", "nul", "bom", "lines"}]


@pytest.mark.parametrize(
    "name", [*_NOT_XML, "script", "comment", "entity", "cdata", "raw text", "frame", "base"]
)
def test_a_naive_xml_file_is_broken_by_it(name: str) -> None:
    naive = f"<failure message='x'>{TEXTS[name]}</failure>".encode(errors="replace")
    if _is_xml(naive):
        root = etree.fromstring(naive)
        assert len(root) or root.text != TEXTS[name], name


@given(texts)
def test_junit_is_strict_xml_and_says_what_was_put_in(text: str) -> None:
    data = made("junit", everywhere(text))
    assert _is_xml(data)
    root = junit_of(everywhere(text))
    cases = root.findall("testsuite/testcase")
    shown = visible(text, 400)
    assert cases[1].get("classname") == shown
    assert cases[1].get("name") == visible(f"{text}failed: {text}" if text else "failed", 400)
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.text == legible(f"failed: {text}\n{text}")
    assert root.xpath("//property/@value") == [visible(text, 400)]
    assert is_drawn(data.decode(), "\n\t")


# --- HTML ---


def _made_of(page: Any) -> set[tuple[str, tuple[str, ...]]]:
    return {(str(each.tag), tuple(sorted(each.keys()))) for each in page.iter()}


def _bare(text: str) -> str:
    return f"<!DOCTYPE html><meta charset='utf-8'><title>report</title><p title=\"{text}\">{text}</p>"


@pytest.mark.parametrize("text", MARKUP.values(), ids=MARKUP)
def test_no_element_or_attribute_comes_from_a_text(text: str) -> None:
    naive = _made_of(lxml_html.document_fromstring(_bare(text)))
    is_inert = naive == _made_of(lxml_html.document_fromstring(_bare("x")))
    assert not is_inert or text in {MARKUP["cdata"], MARKUP["quote"], MARKUP["entity"]}
    assert _made_of(page_of(everywhere(text))) == _made_of(page_of(everywhere("x")))


@given(texts)
def test_the_page_says_what_was_put_in_and_nothing_is_an_element(text: str) -> None:
    page = page_of(everywhere(text))
    if text.strip():
        assert _made_of(page) == _made_of(page_of(everywhere("x")))
    article = page.xpath("//article[@class='failed']")[0]
    assert article.xpath("h3/bdi[1]")[0].text_content() == visible(f"{text}failed", 1000)
    cells = article.xpath(".//tbody/tr/td")
    assert [cells[0].text_content(), cells[1].text_content()] == ["failed", legible(text)]
    assert cells[2].text_content() == legible(text)
    assert is_drawn(made("html", everywhere(text)).decode(), "\n\t")


_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_needs_chromium = pytest.mark.skipif(
    _CHROMIUM is None, reason="needs a real browser (apt-get install chromium)"
)


def _opened(page: bytes, folder: Path) -> Any:
    """Return the document that Chromium has once it has loaded a page and run what it runs of it."""
    (folder / "page.html").write_bytes(page)
    done = subprocess.run(
        [
            *(str(_CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *(f"--user-data-dir={folder / 'browser'}", "--virtual-time-budget=3000", "--dump-dom"),
            (folder / "page.html").as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"<html" in done.stdout, done.stderr.decode(errors="replace")
    return lxml_html.document_fromstring(done.stdout, lxml_html.HTMLParser(encoding="utf-8"))


def _payload() -> str:
    return " ".join(MARKUP.values())


@_needs_chromium
def test_a_browser_runs_nothing_of_a_hostile_report(tmp_path: Path) -> None:
    text = _payload().replace(MARKUP["base"], "")  # which would have the naive page leave
    naive = _opened(f"<!DOCTYPE html><title>report</title><p>{text}</p>".encode(), tmp_path)
    assert naive.xpath("//title/text()")[0] == "owned", "the browser runs scripts, and the payload is one"
    page = _opened(made("html", everywhere(_payload())), tmp_path)
    assert page.xpath("string(//title)") == f"Compliance of {visible(_payload(), 1000)}"
    assert _made_of(page) == _made_of(_opened(made("html", everywhere("x")), tmp_path))
    article = page.xpath("//article[@class='failed']")[0]
    assert article.xpath(".//tbody/tr/td[3]")[0].text_content() == _payload()


@_needs_chromium
def test_the_policy_alone_would_stop_a_script(tmp_path: Path) -> None:
    policy = f'<meta http-equiv="Content-Security-Policy" content="{html_page.POLICY}">'
    body = f"<title>report</title><p>{MARKUP['script']}{MARKUP['comment']}</p>"
    without = _opened(f"<!DOCTYPE html>{body}".encode(), tmp_path)
    assert without.xpath("//title/text()") == ["owned"]
    assert _opened(f"<!DOCTYPE html>{policy}{body}".encode(), tmp_path).xpath("//title/text()") == ["report"]
    assert ACTIVE in body


# --- memory ---


class _Sink(io.RawIOBase):
    """Takes what is written and keeps only how much, and the longest piece."""

    def __init__(self) -> None:
        self.total = self.longest = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.total += len(data)
        self.longest = max(self.longest, len(data))
        return len(data)


def _peak(name: str, document: dict[str, Any]) -> tuple[int, _Sink]:
    sink = _Sink()
    tracemalloc.start()
    try:
        FORMATS[name].write(document, cast(Any, sink))
        return tracemalloc.get_traced_memory()[1], sink
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("char", ["x", "\x1b", "\n", "=", "<", "\u0301"])
def test_a_line_of_50_megabytes_takes_no_memory_of_that_size(name: str, char: str) -> None:
    text = char * 50_000_000
    failed = result("failed", message=text, code_desc=text)
    document = report(profile(text, control(text, title=text, desc=text, results=[failed]), title=text))
    document["platform"]["target_id"] = text
    peak, sink = _peak(name, document)
    assert peak < 10_000_000
    assert sink.total < 5_000_000


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_of_many_controls_is_never_in_memory_twice(name: str) -> None:
    words = "expected: 0600\n     got: 0644 " * 10
    controls = [
        control(f"V-{number}", title=words[:80], desc=words, results=[result("failed", message=words)] * 3)
        for number in range(5_000)
    ]
    document = report(profile("p", *controls))
    size = len(json.dumps(document))
    peak, sink = _peak(name, document)
    assert sink.total > size / 4
    assert peak < size / 2
    assert sink.longest < size / 20, "it is written as it comes about"


# --- reports that are read ---


@pytest.mark.parametrize(
    "change",
    [
        {"platform": {"target_id": []}},
        {"platform": {"target_id": {}}},
        {"statistics": {"duration": 1e999}},
        {"x": [[-1e999]]},
    ],
)
def test_what_could_not_be_written_or_looked_up_is_refused(change: dict[str, Any]) -> None:
    data = json.dumps(report(profile("p", control("c", "passed"))) | change).replace("Infinity", "1e999")
    with pytest.raises(BarescanError, match="no report in Heimdall Data Format"):
        hdf.parse(data.encode(), "r")


@pytest.mark.parametrize("member", ["supports", "attributes"])
def test_lists_of_a_profile_are_lists(member: str) -> None:
    data = json.dumps(report(profile("p", **{member: 5}))).encode()
    with pytest.raises(BarescanError, match=f"{member} is not an array"):
        hdf.parse(data, "r")


@pytest.mark.parametrize("impact", ["1" + "0" * 400, "-" + "1" * 400, "1e999", "-0.1"])
def test_an_impact_without_measure_is_refused(impact: str) -> None:
    data = json.dumps(report(profile("p", control("c", impact=0.123)))).replace("0.123", impact)
    with pytest.raises(BarescanError, match="no report in Heimdall Data Format"):
        hdf.parse(data.encode(), "r")


def test_an_id_made_to_be_searched_for_ever_is_shown_at_once() -> None:
    # Searched from each of its beginnings to its end, this would take days.
    document = report(profile("p", control("xccdf_a" * 3_000_000, "failed")))
    assert "xccdf_a" in _summary(document, drawn=False)


@given(texts)
def test_a_report_stays_as_it_was(text: str) -> None:
    document = everywhere(text)
    before = copy.deepcopy(document)
    for name in formats.FORMATS:
        made(name, document)
    assert document == before
