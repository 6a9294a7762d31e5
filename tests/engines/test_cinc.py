"""The command line for a profile, where its inputs travel, and which outcomes are no answer."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from toolkit.engines import choose, require
from toolkit.engines.base import Options, Plan, Progress, RawResult
from toolkit.engines.cinc import CincEngine, coerce
from toolkit.errors import BarescanError, CallError, ScanError
from toolkit.reports import hdf

MANIFEST = {"engines": {"cinc": {"version": "5.22.97"}}}
ENGINE = CincEngine(MANIFEST)
SECRET = "hunter2-very-secret"


@pytest.fixture
def profile(tmp_path: Path) -> str:
    root = tmp_path / "profile"
    (root / "controls").mkdir(parents=True)
    (root / "inspec.yml").write_text("name: demo\n")
    (root / "controls" / "one.rb").write_text("control 'one' do\nend\n")
    return str(root)


def report(**changes: Any) -> dict[str, Any]:
    control = {
        "id": "one",
        "impact": 0.5,
        "results": [{"status": "passed", "code_desc": "it is", "start_time": "now"}],
    }
    whole = {
        "platform": {"name": "debian", "release": "12", "target_id": "barescan"},
        "profiles": [{"name": "demo", "status": "loaded", "controls": [control], "attributes": []}],
        "statistics": {"duration": 0.1},
        "version": "5.22.97",
    }
    return whole | changes


def result(
    tmp_path: Path,
    status: int,
    content: object = None,
    stderr: str = "",
    refused: str | None = "{}",
    absent: str | None = "{}",
) -> RawResult:
    texts = {
        "report.json": content if isinstance(content, str | None) else json.dumps(content),
        "refused.json": refused,
        "absent.json": absent,
    }
    paths = {name: tmp_path / name for name, text in texts.items() if text is not None}
    for name, path in paths.items():
        path.write_text(texts[name] or "")
    return RawResult(status, paths, stderr)


def judge(raw: RawResult) -> dict[str, Any]:
    return ENGINE.to_hdf(Plan(argv=("x",), title="demo"), raw, target="pid://1")


def test_profiles_are_told_from_scap_content(profile: str) -> None:
    assert isinstance(choose("auto", profile, MANIFEST), CincEngine)
    assert CincEngine.accepts("some.tar.gz")
    assert not CincEngine.accepts("scap:debian12#standard")
    with pytest.raises(CallError, match="no cinc engine") as caught:
        require(choose("cinc", profile, {"engines": {}}))
    assert "BARESCAN_GEMS" in caught.value.remedy


def test_an_engine_that_does_not_fit_the_profile_is_the_cause(profile: str) -> None:
    with pytest.raises(CallError, match="profile for the engine openscap, not for cinc"):
        choose("cinc", "scap:debian12#standard", MANIFEST)
    with pytest.raises(CallError, match="profile for the engine cinc, not for openscap") as caught:
        choose("openscap", profile, MANIFEST)
    assert "leave --engine openscap out" in caught.value.remedy


def test_the_profile_is_sent_below_the_job_and_run_there(profile: str) -> None:
    plan = ENGINE.plan(profile, Options(controls=("one", "/two.*/")))
    assert plan.argv[:2] == ("/sys/firmware/bin/ruby", "--disable=gems")
    assert plan.argv[3:5] == ("exec", "/sys/firmware/job/profile")
    assert plan.argv[-3:] == ("--controls", "one", "/two.*/")
    assert {file.name for file in plan.files} == {"profile/inspec.yml", "profile/controls/one.rb"}
    assert plan.outputs == ("report.json", "refused.json", "absent.json")


def test_input_values_travel_in_private_files_only(profile: str, tmp_path: Path) -> None:
    given = tmp_path / "inputs.yml"
    given.write_text(f"password: {SECRET}\n")
    waiver = tmp_path / "waiver.csv"
    waiver.write_text(f"control_id,justification\none,{SECRET}\n")
    plan = ENGINE.plan(
        profile,
        Options(input_files=(given,), inputs=(("token", SECRET), ("n", "3")), waiver_files=(waiver,)),
    )
    assert SECRET not in " ".join((*plan.argv, *plan.env.values(), plan.title))
    holders = [file for file in plan.files if SECRET.encode() in file.content]
    assert [file.name for file in holders] == ["inputs/0.yml", "inputs/1.yml", "waivers/0.csv"]
    assert {file.mode for file in holders} == {0o600}
    assert json.loads(holders[1].content) == {"token": SECRET, "n": 3}
    at = plan.argv.index("--input-file")
    assert plan.argv[at + 1 : at + 3] == ("/sys/firmware/job/inputs/0.yml", "/sys/firmware/job/inputs/1.yml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("-12", -12),
        ("1.50", 1.5),
        ("1.2.3", "1.2.3"),
        ("plain, text", "plain, text"),
        ("trailing,", "trailing"),
        ("[a, 2, true]", ["a", 2, True]),
        ('{"a": {"b": [1]}}', {"a": {"b": [1]}}),
        ("", ""),
    ],
)
def test_values_are_taken_as_inspec_takes_them(text: str, value: object) -> None:
    found = coerce("x", text)
    assert found == value
    assert type(found) is type(value)


def test_an_unreadable_structure_is_refused_without_its_text() -> None:
    with pytest.raises(CallError, match="'token'") as caught:
        coerce("token", f"{{{SECRET}: [}}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"a: 1\nb: *{SECRET}\n", "line 2, column 4"),
        (f"a: [{SECRET}\n", "line 2, column 1"),
        (f"a: 1\n\t{SECRET}: 2\n", "line 2"),
        (f"- {SECRET}\n", "line 1: not a mapping"),
        ("", "is empty"),
    ],
)
def test_errors_in_input_files_carry_the_place_and_no_value(
    text: str, said: str, profile: str, tmp_path: Path
) -> None:
    path = tmp_path / "inputs.yml"
    path.write_text(text)
    for options in (Options(input_files=(path,)), Options(waiver_files=(path,))):
        with pytest.raises(CallError, match=said) as caught:
            ENGINE.plan(profile, options)
        assert SECRET not in str(caught.value)
        assert "inputs.yml" in str(caught.value)


def test_ruby_tags_in_inputs_are_left_to_the_auditor(profile: str, tmp_path: Path) -> None:
    path = tmp_path / "inputs.yml"
    path.write_text("when: 2024-01-01\nwhat: !ruby/regexp /x/\n")
    sent = {file.name: file.content for file in ENGINE.plan(profile, Options(input_files=(path,))).files}
    assert sent["inputs/0.yml"] == path.read_bytes()


def test_missing_files_and_odd_words_are_bad_calls(profile: str, tmp_path: Path) -> None:
    for options in (
        Options(input_files=(tmp_path / "none.yml",)),
        Options(controls=("--version",)),
        Options(inputs=(("", "x"),)),
    ):
        with pytest.raises(CallError):
            ENGINE.plan(profile, options)
    with pytest.raises(CallError, match="there is no profile"):
        ENGINE.plan(str(tmp_path / "none.zip"), Options())


@pytest.mark.parametrize("status", [0, 100, 101])
def test_a_report_is_returned_with_the_target_as_id(status: int, tmp_path: Path) -> None:
    found = judge(result(tmp_path, status, report()))
    assert found["platform"]["target_id"] == "pid://1"
    assert found["profiles"][0]["controls"][0]["id"] == "one"


def test_an_id_of_the_targets_own_is_kept(tmp_path: Path) -> None:
    found = judge(result(tmp_path, 0, report(platform={"name": "x", "target_id": "1234"})))
    assert found["platform"]["target_id"] == "1234"


def test_sensitive_inputs_are_not_in_the_report(tmp_path: Path) -> None:
    attributes = [
        {"name": "a", "options": {"sensitive": True, "value": SECRET}},
        {"name": "b", "options": {"value": 5}},
    ]
    profiles = [report()["profiles"][0] | {"attributes": attributes}]
    found = judge(result(tmp_path, 0, report(profiles=profiles)))
    assert SECRET not in json.dumps(found)
    assert found["profiles"][0]["attributes"][1]["options"] == {"value": 5}


@pytest.mark.parametrize("status", ["passed", "failed", "skipped", "error"])
def test_a_control_that_asks_a_program_of_the_target_is_not_reviewed(status: str, tmp_path: Path) -> None:
    profile = report()["profiles"][0]
    profile["controls"][0]["results"][0]["status"] = status
    raw = result(
        tmp_path, 0, report(profiles=[profile]), refused='{"one": "/usr/bin/own\\u001b[2J", "two": "x"}'
    )
    found = hdf.summarise(judge(raw)).findings
    assert [each.status.value for each in found] == ["not_reviewed"]
    assert "/usr/bin/own\\x1b[2J" in found[0].messages[0]


@pytest.mark.parametrize("record", [None, "", "[]", "[" * 100_000, f'{{"one": {"[" * 900}{"]" * 900}}}'])
def test_no_pass_without_a_record_of_what_was_refused(record: str | None, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="record of what it could not run"):
        judge(result(tmp_path, 0, report(), refused=record))
    with pytest.raises(ScanError, match="record of what it could not run"):
        judge(result(tmp_path, 0, report(), absent=record))


BROKEN = {"status": "failed", "code_desc": "x", "message": "undefined method `a' for nil", "backtrace": []}
FINDING = {"status": "failed", "code_desc": "y", "message": "expected 1"}
PASS = {"status": "passed", "code_desc": "z"}


@pytest.mark.parametrize(
    ("results", "absent", "status"),
    [
        ([PASS, BROKEN], '{"one": ["systemctl"]}', "not_reviewed"),
        ([PASS, BROKEN], "{}", "profile_error"),
        ([FINDING, BROKEN], '{"one": ["systemctl"]}', "profile_error"),
        ([BROKEN | {"message": "uninitialized constant X"}], '{"one": ["systemctl"]}', "profile_error"),
        ([BROKEN], '{"one": "systemctl", "two": []}', "profile_error"),
        ([FINDING], '{"one": ["systemctl"]}', "failed"),
        ([PASS], '{"one": ["systemctl"]}', "passed"),
    ],
)
def test_only_what_broke_on_an_absent_program_is_withdrawn(
    results: list[dict[str, Any]], absent: str, status: str, tmp_path: Path
) -> None:
    profile = report()["profiles"][0]
    profile["controls"][0]["results"] = results
    found = hdf.summarise(judge(result(tmp_path, 0, report(profiles=[profile]), absent=absent))).findings
    assert [each.status.value for each in found] == [status]
    if status == "not_reviewed":
        assert "systemctl" in found[0].messages[0]
        assert "undefined method `a' for nil" in found[0].messages[0]


BACKTRACE = "profile_context.rb:1:in `x': /p/a.rb:3: syntax error, unexpected end (SyntaxError)\n\tfrom y:1\n"


@pytest.mark.parametrize(
    ("status", "stderr", "kind", "said"),
    [
        (1, "This profile requires Chef InSpec version >= 6. You are running 5", CallError, ">= 6"),
        (1, BACKTRACE, CallError, "syntax error"),
        (1, "[now] WARN: old\n" + BACKTRACE, CallError, "syntax error"),
        (1, "x.rb:1: Sorry, no platform (Train::PlatformDetectionFailed)", ScanError, "Sorry"),
        (102, "", CallError, "exit status 102"),
        (172, "not accepted", CallError, "licence"),
        (-9, "", ScanError, "signal 9"),
        (127, "the engine did not start", ScanError, "did not start"),
        (0, "", ScanError, "exit status 0"),
    ],
)
def test_a_run_without_answer_is_an_error(
    status: int, stderr: str, kind: type[BarescanError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said) as caught:
        judge(result(tmp_path, status, stderr=stderr))
    assert type(caught.value) is kind


def test_nothing_found_is_no_pass(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="not one control was run"):
        judge(result(tmp_path, 0, report(profiles=[])))
    skipped = [
        {"name": "demo", "status": "skipped", "status_message": "unsupported platform", "controls": []}
    ]
    with pytest.raises(ScanError, match="unsupported platform"):
        judge(result(tmp_path, 101, report(profiles=skipped)))


def test_a_profile_that_was_not_loaded_is_a_bad_call_even_among_results(tmp_path: Path) -> None:
    failed = {"name": "child", "status": "failed", "status_message": "cannot load such file", "controls": []}
    both = report(profiles=[report()["profiles"][0], failed])
    for status in (0, 100, 102):
        with pytest.raises(CallError, match="cannot load such file"):
            judge(result(tmp_path, status, both))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"profiles": 3}', '{"profiles": [{"name": 1}]}'])
def test_what_is_no_report_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="no report"):
        judge(result(tmp_path, 0, content))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('barescan-progress {"control":"SV-1","status":"passed"}', Progress("SV-1", "passed")),
        ('barescan-progress {"control":"a\\u001b[2J","status":"failed"}', Progress("a\\x1b[2J", "failed")),
        ('barescan-progress {"control":"SV-1","status":"great"}', None),
        ('barescan-progress {"control":1,"status":"passed"}', None),
        ("barescan-progress [1]", None),
        ("barescan-progress nonsense", None),
        ("hello", None),
    ],
)
def test_progress_is_read_strictly(line: str, expected: Progress | None) -> None:
    assert ENGINE.progress(line) == expected


def test_an_input_that_nothing_reads_is_told(profile: str, tmp_path: Path) -> None:
    (Path(profile) / "inspec.yml").write_text("name: demo\ninputs:\n- name: login_limit\n")
    (Path(profile) / "controls" / "two.rb").write_text("input('shell')\ninput(:users)\n")
    given = tmp_path / "inputs.yml"
    given.write_text("shell: a\nusers: b\nuser: hunter2\n")
    plan = ENGINE.plan(profile, Options(input_files=(given,), inputs=(("login_limti", SECRET),)))
    assert [text.split("'")[1] for text in plan.warnings] == ["user", "login_limti"]
    assert "there is login_limit" in plan.warnings[1]
    assert not any(secret in text for text in plan.warnings for secret in ("hunter2", SECRET))


def test_what_vendored_archives_mention_counts(profile: str) -> None:
    inside = tarfile_of({"dep/controls/x.rb": b"input('only_there')"})
    (Path(profile) / "vendor").mkdir()
    (Path(profile) / "vendor" / "dep.tar.gz").write_bytes(inside)
    assert not ENGINE.plan(profile, Options(inputs=(("only_there", "1"),))).warnings
    (Path(profile) / "vendor" / "dep.tar.gz").write_bytes(b"no archive")
    assert ENGINE.plan(profile, Options(inputs=(("only_there", "1"),))).warnings


def tarfile_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.yml", "one: {run: false}\nonne: {run: false}\n"),
        ("w.json", '{"one": {"run": false}, "onne": {"run": false}}'),
        ("w.csv", "control_id,justification\none,because\nonne,because\n"),
    ],
)
def test_a_waiver_that_names_no_control_is_told_after_the_run(
    profile: str, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    plan = ENGINE.plan(profile, Options(waiver_files=(tmp_path / name,)))
    (said,) = ENGINE.warnings(plan, report())
    assert "waiver for 'onne' has no effect" in said
    assert "there is one" in said


def test_a_control_asked_for_that_is_not_there_is_a_bad_call(profile: str, tmp_path: Path) -> None:
    plan = ENGINE.plan(profile, Options(controls=("onne",)))
    nothing = report(profiles=[{"name": "demo", "status": "loaded", "controls": [], "attributes": []}])
    with pytest.raises(CallError, match="has no control 'onne'") as caught:
        ENGINE.to_hdf(plan, result(tmp_path, 0, nothing), target="pid://1")
    assert "--controls; there is one" in caught.value.remedy
    with pytest.raises(CallError, match="has no control 'onne'"):
        ENGINE.to_hdf(plan, result(tmp_path, 0, report()), target="pid://1")
    pattern = ENGINE.plan(profile, Options(controls=("/^on/",)))
    assert ENGINE.to_hdf(pattern, result(tmp_path, 0, report()), target="pid://1")
    with pytest.raises(CallError, match=r"has no control '/\^on/'"):
        ENGINE.to_hdf(pattern, result(tmp_path, 0, nothing), target="pid://1")
