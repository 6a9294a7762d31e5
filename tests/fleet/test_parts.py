"""What a run of many decides and writes down, without scanning anything."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.fleet.conftest import begin, run_of
from toolkit import cli_scan, fleet, runs
from toolkit.auditor import Auditing, Entering
from toolkit.engines.base import Options
from toolkit.errors import CallError, ScanError
from toolkit.fleet import Outcome
from toolkit.progress import LiveFleet
from toolkit.runtimes.base import Selection, expand
from toolkit.runtimes.kubernetes import select

NOPE = ["rootfs:///nope/1", "rootfs:///nope/2", "rootfs:///nope/3"]


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 101], 101),
        ([101, 100, 0], 100),
        ([100, 2, 101], 2),
        ([2, 1, 100], 1),
        ([1, 130, 2], 130),
        ([0, None], 130),
    ],
)
def test_the_worst_that_occurred_is_the_status(statuses, worst):
    assert fleet.exit_status(Outcome(str(number), each) for number, each in enumerate(statuses)) == worst


@given(st.lists(st.text(), unique=True), st.integers(1, 9))
def test_shards_are_a_partition(uris, count):
    parts = [fleet.shard(uris, index, count) for index in range(count)]
    assert sorted(uri for part in parts for uri in part) == sorted(uris)
    assert [fleet.shard(uris[::-1], index, count)[::-1] for index in range(count)] == parts


def test_shards_stay_what_they_are():
    """Workers of different versions and machines must agree."""
    uris = [f"k8s-container://shop/web-{number}/app" for number in range(8)]
    assert [uris.index(uri) for uri in fleet.shard(uris, 0, 2)] == [0, 2, 3, 5, 6, 7]


def test_what_is_meant_twice_is_scanned_once():
    selection = Selection(("pid://2", "pid://1", "pid://2"))
    assert expand(selection, Auditing()).uris == ("pid://2", "pid://1")
    with pytest.raises(CallError, match="is not a target"):
        expand(Selection(("pid://1", "nonsense")), Auditing())


def test_each_target_has_its_own_failure_and_the_record_says_so(request_):
    failed = {NOPE[2]: ScanError("there is no such pod")}
    run = begin(NOPE, request_)
    outcomes = fleet.scan_all(NOPE, request_, _no_bundle, run=run, failed=failed)
    assert [each.status for each in outcomes] == [1, 1, 2]
    folder, said = run_of(request_.report_dir)
    assert stat.S_IMODE((folder / "run.json").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    assert [each["uri"] for each in said["targets"]] == NOPE
    assert said["targets"][2]["cause"] == "there is no such pod"
    assert said["status"] == 1
    assert said["ended"]


def _no_bundle():
    raise AssertionError("no target needs the bundle")


def test_values_of_inputs_are_not_written(request_, tmp_path):
    (tmp_path / "inputs.yml").write_text("other: hunter3\n")
    given = Options(inputs=(("password", "hunter2"),), input_files=(tmp_path / "inputs.yml",))
    request = replace(request_, options=given)
    begin(NOPE, request).write()
    folder, said = run_of(request.report_dir)
    assert said["options"]["inputs"] == ["password"]
    assert "hunter" not in (folder / "run.json").read_text()


def test_a_bad_call_is_told_before_anything_begins(request_):
    for request in (replace(request_, profile="README.txt"), replace(request_, timeout=float("nan"))):
        run = begin(NOPE, request)
        with pytest.raises(CallError):
            fleet.scan_all(NOPE, request, _no_bundle, run=run)
        assert not list(run.folder.iterdir())


@pytest.mark.root
@pytest.mark.parametrize("jobs", [1, 3])
def test_an_error_of_our_own_is_the_failure_of_its_target(request_, jobs, sleeper):
    asked = []

    def broken():
        asked.append(1)
        raise RuntimeError("hunter2")

    uris = [f"pid://{sleeper}", "rootfs:///", "rootfs:///nope"]
    outcomes = fleet.scan_all(uris, request_, broken, run=begin(uris, request_), jobs=jobs)
    assert [each.status for each in outcomes] == [2, 2, 1]
    assert len(asked) == 1
    for each in outcomes[:2]:
        assert each.folder
        assert "hunter2" in (each.folder / "engine.log").read_text()
        assert each.cause == "an error of barescan itself (RuntimeError)"
        assert str(each.folder / "engine.log") in each.remedy
    folder, _ = run_of(request_.report_dir)
    assert "hunter2" not in (folder / "run.json").read_text()


@pytest.mark.root
def test_a_bundle_that_is_not_waited_for_interrupts_all(request_, sleeper):
    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    uris = [f"pid://{sleeper}", "rootfs:///", "rootfs:///nope"]
    run = begin(uris, request_)
    before = signal.getsignal(signal.SIGINT)
    outcomes = fleet.scan_all(uris, request_, interrupted, run=run, jobs=2)
    assert [each.status for each in outcomes] == [130, 130, None]
    assert fleet.exit_status(outcomes) == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_folders_of_targets_with_the_same_name_are_told_apart(tmp_path):
    run = runs.new_run(tmp_path)
    names = [runs.new_folder(run, uri).name for uri in ("docker://a/b", "docker://a-b", "docker://a.b")]
    assert names == ["docker-a-b", "docker-a-b-2", "docker-a.b"]


def test_only_a_run_can_be_resumed(request_, tmp_path):
    with pytest.raises(CallError, match=r"is no run: it has no run\.json"):
        fleet.resume(tmp_path, request_, {})
    for content in ("{", "[]", '{"targets": [1], "profile": ""}', '{"targets": [], "profile": "x"}'):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(CallError, match="not the record of a run"):
            fleet.resume(tmp_path, request_, {})


def test_a_run_is_resumed_with_what_it_was_made_with_only(request_, tmp_path):
    gate = tmp_path / "gate.yml"
    options = Options(inputs=(("a", "1"),), waiver_files=(tmp_path / "waivers.yml",), controls=("x", "y"))
    whole = replace(request_, threshold=gate, options=options)
    begin(NOPE, whole).write()
    folder, _ = run_of(request_.report_dir)
    refused = [
        (replace(whole, profile="scap:other#x"), "with the profile scap:debian12"),
        (replace(whole, threshold=None), "--threshold"),
        (replace(whole, options=replace(options, inputs=())), "--input"),
        (replace(whole, options=replace(options, waiver_files=())), "--waiver-file"),
        (replace(whole, options=replace(options, controls=("z",))), "--controls"),
    ]
    for request, words in refused:
        with pytest.raises(CallError, match=words):
            fleet.resume(folder, request, {})
    run, request = fleet.resume(folder, replace(whole, profile="", options=replace(options, controls=())), {})
    assert list(run.outcomes) == NOPE
    assert (request.profile, request.options.controls) == (request_.profile, ("x", "y"))


@pytest.mark.parametrize(
    ("asked", "is_kept"),
    [({}, (1, 3)), ({"jobs": 7}, (7, 3)), ({"retries": 0}, (1, 0))],
)
def test_a_run_is_resumed_with_its_own_jobs_and_retries(request_, asked, is_kept):
    made = fleet.begin(NOPE, request_, fleet.describe(request_, jobs=1, retries=3, shard="0/2"))
    made.write()
    about = fleet.describe(request_, **{"jobs": None, "retries": None} | asked)
    run, _ = fleet.resume(made.folder, request_, about)
    assert (run.about["jobs"], run.about["retries"]) == is_kept
    assert run.about["shard"] == "0/2"


def test_a_run_is_resumed_with_its_own_confinement_and_no_other(request_):
    held = replace(request_, entering=Entering(require_confinement="full"))
    made = begin(["pid://1"], held)
    made.write()
    _, request = fleet.resume(made.folder, request_, {})
    assert request.entering == held.entering
    for other in (Entering(allow_network=True), Entering(allow_network=True, require_confinement="full")):
        with pytest.raises(CallError, match="was made with other flags for what the auditor may do"):
            fleet.resume(made.folder, replace(request_, entering=other), {})


def test_a_run_is_resumed_with_its_own_formats_unless_others_are_asked_for(request_):
    made = begin(["docker://a"], replace(request_, formats=("csv", "html")))
    made.write()
    _, request = fleet.resume(made.folder, request_, {})
    assert request.formats == ("csv", "html")
    _, request = fleet.resume(made.folder, replace(request_, formats=("junit",)), {})
    assert request.formats == ("junit",)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "7", '{"complete": true, "target": 5}', "9" * 9999])
def test_a_record_of_a_scan_that_is_none_is_passed_over(request_, text):
    made = begin(["docker://a"], request_)
    made.write()
    folder = made.folder / "a"
    folder.mkdir()
    (folder / "scan.json").write_text(text)
    run, _ = fleet.resume(made.folder, request_, {})
    assert not run.outcomes["docker://a"].scanned
    (made.folder / "run.json").write_text(text)
    with pytest.raises(CallError, match="not the record of a run"):
        fleet.resume(made.folder, request_, {})


def test_numbers_of_a_record_that_can_not_be_are_the_usual_ones(request_):
    made = fleet.begin(NOPE, request_, {**fleet.describe(request_), "jobs": 10**9, "retries": "all"})
    made.write()
    run, _ = fleet.resume(made.folder, request_, {})
    assert (run.about["jobs"], run.about["retries"]) == (fleet.DEFAULT_JOBS, fleet.DEFAULT_RETRIES)


def test_the_command_line_goes_on_with_the_jobs_of_the_run(barescan):
    call = ["scan", "--profile", "scap:debian12#x", "--target", NOPE[0], "--target", NOPE[1], "--jobs", "1"]
    barescan(*call)
    folder, said = run_of(barescan.folder / "reports")
    assert said["jobs"] == 1
    barescan("scan", "--resume", str(folder))
    assert run_of(barescan.folder / "reports")[1]["jobs"] == 1
    barescan("scan", "--resume", str(folder), "--jobs", "2")
    assert run_of(barescan.folder / "reports")[1]["jobs"] == 2


def test_the_next_step_is_told_last_and_whole(barescan):
    done = barescan("scan", "--profile", "scap:debian12#x", "--target", NOPE[0], "--target", NOPE[1])
    folder, said = run_of(barescan.folder / "reports")
    last = f"scan those that failed again with --resume {folder.relative_to(barescan.folder)}"
    assert done.stdout.splitlines()[-1] == last
    assert "--resume" not in done.stderr
    assert [each["remedy"] for each in said["targets"]] == [
        "name the top directory of a root file system"
    ] * 2


@pytest.mark.parametrize("status", [None, 130])
def test_what_was_not_begun_or_was_interrupted_is_the_rest(status, request_, capsys):
    run = begin(NOPE, request_)
    run.outcomes |= {NOPE[0]: Outcome(NOPE[0], 2, cause="broken"), NOPE[1]: Outcome(NOPE[1], status)}
    cli_scan._show(run)
    assert capsys.readouterr().out.splitlines()[-1].startswith("scan the rest with --resume ")


def test_a_next_step_is_never_cut_in_the_line_of_its_target(request_):
    said = io.StringIO()
    remedy = "do this, " * 100 + "and then that"
    failed = {NOPE[0]: ScanError("broken", remedy), NOPE[1]: ScanError("broken")}
    failed[NOPE[1]].kept = "what was seen is there"
    with LiveFleet(Console(file=said, width=80), 0, 2) as watcher:
        fleet.scan_all(
            NOPE[:2], request_, _no_bundle, run=begin(NOPE[:2], request_), watcher=watcher, failed=failed
        )
    text = said.getvalue()
    assert f"{NOPE[0]}: error: broken → {remedy}\n" in text
    assert f"{NOPE[1]}: error: broken; what was seen is there\n" in text


def test_what_a_selection_comes_to_is_said_before_it_is_scanned(monkeypatch):
    found = ["k8s-container://shop/web-1/app", "k8s-container://shop/web-1/more"]
    monkeypatch.setattr(
        select, "find", lambda *_, **__: (list(found), ["1 pods have ended and are left out"])
    )
    notes = expand(Selection(selector="app=web"), Auditing()).notes
    assert notes == ("2 containers of 1 pod in the namespace shop", "1 pods have ended and are left out")
    found.append("k8s-container://audit/web-1/app")
    notes = expand(Selection(all_namespaces=True), Auditing()).notes
    assert notes[0] == "3 containers of 2 pods in 2 namespaces"


def test_nothing_is_looked_for_where_flags_would_widen_each_other(monkeypatch):
    monkeypatch.setattr(select, "find", lambda *_, **__: pytest.fail("looked"))
    for selection in (
        Selection(namespace="shop", all_namespaces=True),
        Selection(("k8s-container://shop/web",), selector="app=web"),
        Selection(("pid://1",), all_namespaces=True),
    ):
        with pytest.raises(CallError, match="exclude"):
            expand(selection, Auditing())


def test_entries_that_stay_are_told_of_once_in_a_process(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(cli_scan, "say", said.append)
    monkeypatch.setattr(fleet, "added_auditors", lambda outcomes: bool(list(outcomes)))
    cli_scan._tell_of_entries_once.cache_clear()
    cli_scan._tell_of_entries([])
    for _ in range(2):
        cli_scan._tell_of_entries([Outcome("k8s-container://a/b/c", 0)])
    assert len(said) == 1
    assert said[0].endswith("until these are deleted; they end by themselves")


def test_a_run_at_work_is_not_resumed(request_):
    run = begin(NOPE, request_)
    with runs.held(run.folder), pytest.raises(CallError, match="still at work"):
        fleet.scan_all(NOPE, request_, _no_bundle, run=run)


def test_calls_that_can_not_be_right(barescan):
    scan = ("scan", "--profile", "scap:debian12#x", "--target", "rootfs:///nope")
    for call, words in [
        ((*scan, "--shard", "2/2"), "'2/2' is no shard: parts count from 0, and the last is 1/2"),
        ((*scan, "--shard", "1"), "'1' is no shard"),
        ((*scan, "--jobs", "0"), "--jobs must be a number from 1 to 100, and is '0'"),
        ((*scan, "--namespace", "shop"), "--target excludes --namespace"),
        (
            (*scan, "--selector", "a=b", "--all-namespaces"),
            "--target excludes --selector and --all-namespaces",
        ),
        ((*scan[:3], "--namespace", "shop", "--all-namespaces"), "--namespace shop alone is the lesser part"),
        ((*scan, "--image-pull-policy", "never"), "no --image-pull-policy 'never'"),
        ((*scan, "--resume", "x"), "has its targets already"),
        (("scan", "--resume", "x"), "is no run"),
    ]:
        done = barescan(*call)
        assert done.returncode == 1, done.stderr
        assert words in " ".join(done.stderr.split())


def test_an_empty_shard_is_no_failure(barescan):
    uri = "rootfs:///nope"
    other = 1 - (0 if fleet.shard([uri], 0, 2) else 1)
    done = barescan("scan", "--profile", "scap:debian12#x", "--target", uri, "--shard", f"{other}/2")
    assert done.returncode == 0
    assert f"shard {other}/2 has none of 1 target" in done.stderr
    assert not list(Path(barescan.folder).glob("reports/*"))


def test_a_bad_call_with_a_single_target_leaves_no_run(barescan):
    done = barescan("scan", "--profile", "scap:debian12#x", "--target", "rootfs:///nope")
    assert done.returncode == 1
    assert "Outcome" not in done.stdout
    assert not list(barescan.folder.glob("reports/*"))


def test_the_record_of_thousands_costs_little_and_is_whole_at_the_end(request_, monkeypatch):
    written = []

    def slow(folder, content) -> None:
        time.sleep(0.02)  # what a disk takes
        written.append(content)

    monkeypatch.setattr(runs, "write_run", slow)
    uris = [f"rootfs:///nope/{number}" for number in range(300)]
    run = begin(uris, request_)
    began = time.monotonic()
    for uri in uris:
        run.take(Outcome(uri, 2))
    assert time.monotonic() - began < 300 * 0.02 / 2
    run.end()
    assert [each["status"] for each in written[-1]["targets"]] == [2] * 300


def test_what_warns_of_the_call_is_said_once_and_each_target_is_told_of(request_):
    said = io.StringIO()

    class Warned(LiveFleet):
        @contextlib.contextmanager
        def target(self, uri):
            with super().target(uri) as line:
                line.warning("the waiver names no control")
                line.warning(f"{uri} is odd\x1b[2J")
                yield line

    with Warned(Console(file=said, width=300), 0, len(NOPE)) as watcher:
        fleet.scan_all(
            NOPE,
            request_,
            lambda: pytest.fail("not needed"),
            run=begin(NOPE, request_),
            jobs=2,
            watcher=watcher,
        )
    text = said.getvalue()
    assert text.count("the waiver names no control") == 1
    for uri in NOPE:
        assert text.count(f"/3] {uri}: begins") == 1
        assert text.count(f"/3] {uri}: error: ") == 1
        assert text.count(f"{uri} is odd\\x1b[2J") == 1
    assert "\x1b" not in text
