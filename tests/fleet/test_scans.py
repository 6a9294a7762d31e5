"""Runs of several real targets: to their end, killed and gone on with, interrupted, tried again."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.containers import PROFILE
from tests.fleet.conftest import auditors_beside, begin, run_of
from toolkit import fleet
from toolkit.auditor import Auditing
from toolkit.dockers import connect
from toolkit.errors import CallError
from toolkit.fleet import FleetWatcher
from toolkit.scan import Request, Watcher
from toolkit.stop import Stop

pytestmark = [pytest.mark.docker, pytest.mark.bundle, pytest.mark.slow]


def _call(targets: list[str], image: str, *more: str) -> list[str]:
    named = [argument for target in targets for argument in ("--target", target)]
    return ["scan", *named, "--profile", PROFILE, "--image", image, *more]


def _uris(containers: list[Any]) -> list[str]:
    return [f"docker://{each.name}" for each in containers]


def _started(barescan, call: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        barescan.command(*call),
        cwd=barescan.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait(condition, scan: subprocess.Popen[str], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came so far"
        assert scan.poll() is None, scan.communicate()[1]
        time.sleep(0.02)


def _none_left(containers: list[Any], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while auditors_beside(containers) and time.monotonic() < until:
        time.sleep(0.1)
    return not auditors_beside(containers)


def test_broken_targets_stop_no_others(containers, auditor_image, barescan):
    pid = f"pid://{connect().api.inspect_container(containers[2].id)['State']['Pid']}"
    targets = [*_uris(containers[:2]), "docker://no-such", pid, "pid://4194303"]
    done = barescan(*_call(targets, auditor_image, "--jobs", "3"))
    assert done.returncode == 2, done.stderr
    folder, said = run_of(barescan.folder / "reports")
    assert [each["uri"] for each in said["targets"]] == targets
    assert [each["status"] in {100, 101} for each in said["targets"]] == [True, True, False, True, False]
    assert [each["attempts"] for each in said["targets"]] == [1] * 5
    for each in said["targets"]:
        if each["status"] != 2:
            record = json.loads((folder / each["folder"] / "scan.json").read_text())
            assert record["complete"] is True
            assert record["target"]["uri"] == each["uri"]
    assert said["status"] == 2
    assert said["seconds"] > 0
    assert "no process 4194303" in said["targets"][4]["cause"]
    out, err = " ".join(done.stdout.split()), " ".join(done.stderr.split())
    assert "5 targets in " in out
    assert "one after another they would have taken" in out
    assert "2 could not be scanned" in out
    assert "/5] docker://no-such: error: the docker engine has no container 'no-such' → see:" in err
    assert f"/5] {pid}: " in err
    again = f"scan those that failed again with --resume {folder.relative_to(barescan.folder)}"
    assert done.stdout.splitlines()[-1] == again
    assert "Traceback" not in err
    assert _none_left(containers)


def test_one_target_is_shown_as_ever_and_has_a_record_of_its_run(containers, auditor_image, barescan):
    (target,) = _uris(containers[:1])
    done = barescan(*_call([target], auditor_image))
    assert done.returncode == 100, done.stderr
    assert "Compliance" in done.stdout
    assert "Outcome" not in done.stdout
    _, said = run_of(barescan.folder / "reports")
    assert [(each["uri"], each["status"]) for each in said["targets"]] == [(target, 100)]
    assert said["status"] == 100


def test_a_run_that_was_killed_is_gone_on_with(containers, auditor_image, barescan):
    targets = _uris(containers)
    reports = barescan.folder / "reports"
    client = _started(barescan, _call(targets, auditor_image, "--jobs", "1"))
    _wait(
        lambda: (
            list(reports.glob("*/run.json"))
            and run_of(reports)[1]["targets"][1]["folder"] is None
            and run_of(reports)[1]["targets"][0]["status"] is not None
            and any(each.status == "running" for each in auditors_beside(containers[1:2]))
        ),
        client,
    )
    client.kill()
    client.communicate()
    folder, said = run_of(reports)
    assert [each["status"] for each in said["targets"]] == [100, None, None]
    first = (folder / said["targets"][0]["folder"] / "scan.json").read_bytes()
    done = barescan("scan", "--resume", str(folder))
    assert done.returncode == 100, done.stderr
    assert "2 targets of 3 left to scan" in done.stderr
    assert "1 had been scanned before" in " ".join(done.stdout.split())
    again, said = run_of(reports)
    assert again == folder
    assert [each["uri"] for each in said["targets"]] == targets
    assert [each["status"] for each in said["targets"]] == [100, 100, 100]
    folders = [each["folder"] for each in said["targets"]]
    assert len(set(folders)) == 3
    assert (folder / folders[0] / "scan.json").read_bytes() == first
    records = [json.loads((folder / each / "scan.json").read_text()) for each in folders]
    assert [(each["complete"], each["target"]["uri"]) for each in records] == [(True, uri) for uri in targets]
    done = barescan("scan", "--resume", str(folder))
    assert done.returncode == 100
    assert "nothing to do" in done.stderr
    assert _none_left(containers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_all_and_says_what_was_not_begun(number, containers, auditor_image, barescan):
    client = _started(barescan, _call(_uris(containers), auditor_image, "--jobs", "2"))
    _wait(lambda: sum(each.status == "running" for each in auditors_beside(containers)) == 2, client)
    time.sleep(0.3)
    began = time.monotonic()
    for _ in range(3):  # as somebody does who can't wait, and as timeout(1) does
        client.send_signal(number)
        time.sleep(0.01)
    output, errors = client.communicate(timeout=30)
    assert time.monotonic() - began < 8
    assert client.returncode == 130, errors
    assert "Traceback" not in errors
    assert not auditors_beside(containers)
    folder, said = run_of(barescan.folder / "reports")
    assert [each["status"] for each in said["targets"]] == [130, 130, None]
    assert said["status"] == 130
    for each in said["targets"][:2]:
        record = json.loads((folder / each["folder"] / "scan.json").read_text())
        assert (record["complete"], record["status"]) == (False, 130)
        assert record["error"]["cause"] == "the scan was interrupted"
    words = " ".join(output.split())
    assert "not begun" in words
    assert "1 were not begun" in words
    for each in containers:
        each.reload()
        assert each.status == "running"


class _Restarting(FleetWatcher):
    """Restarts a container at the first control of the first attempt, and says what it was told."""

    def __init__(self, container) -> None:
        self.container = container
        self.warnings: list[str] = []

    @contextlib.contextmanager
    def target(self, uri):
        fleet_watcher = self

        class Line(Watcher):
            def control(self, progress) -> None:
                container, fleet_watcher.container = fleet_watcher.container, None
                if container:
                    container.restart(timeout=0)

            def warning(self, text: str) -> None:
                fleet_watcher.warnings.append(text)

        yield Line()


@pytest.mark.parametrize("retries", [0, 2])
def test_a_target_that_restarts_meanwhile_is_tried_again(
    retries, containers, auditor_image, request_, bundle
):
    (uri,) = _uris(containers[:1])
    request: Request = replace(request_, auditing=Auditing(auditor_image))
    watcher = _Restarting(containers[0])
    run = begin([uri], request)
    (outcome,) = fleet.scan_all([uri], request, lambda: bundle, run=run, retries=retries, watcher=watcher)
    folders = sorted(path.parent.name for path in run.folder.glob("*/scan.json"))
    records = [json.loads((run.folder / each / "scan.json").read_text()) for each in folders]
    assert records[0]["complete"] is False
    if retries:
        assert (outcome.status, outcome.attempts) == (100, 2)
        assert [each["complete"] for each in records] == [False, True]
        assert "tried again in 1 s" in " ".join(watcher.warnings)
    else:
        assert (outcome.status, outcome.attempts, len(records)) == (2, 1, 1)
        assert "was restarted during the scan" in outcome.cause
    assert _none_left(containers)


def test_a_profile_that_the_bundle_has_not_is_told_once_and_leaves_nothing(bundle, tmp_path, sleeper):
    request = Request("", "scap:debian12#nosuch", report_dir=tmp_path / "reports")
    uris = [f"pid://{sleeper}", "rootfs:///", *(f"rootfs:///nope{number}" for number in range(3))]
    with pytest.raises(CallError, match="no profile 'nosuch'"):
        fleet.scan_all(uris, request, lambda: bundle, run=begin(uris, request), jobs=2)
    assert not list(request.report_dir.iterdir())


class _Away(_Restarting):
    """Stops the container in mid-scan, and starts it once it was missed twice."""

    @contextlib.contextmanager
    def target(self, uri):
        container = self.container

        class Line(Watcher):
            def control(line, progress) -> None:  # noqa: N805
                if self.container:
                    self.container = None
                    container.stop(timeout=0)

            def warning(line, text: str) -> None:  # noqa: N805
                self.warnings.append(text)
                if len(self.warnings) == 2:
                    container.start()

        yield Line()


def test_a_target_that_is_away_for_a_while_is_still_tried_again(containers, auditor_image, request_, bundle):
    (uri,) = _uris(containers[:1])
    request: Request = replace(request_, auditing=Auditing(auditor_image))
    watcher, run = _Away(containers[0]), begin([uri], request)
    (outcome,) = fleet.scan_all([uri], request, lambda: bundle, run=run, retries=2, watcher=watcher)
    assert "stopped during the scan" in watcher.warnings[0]
    assert "is not running" in watcher.warnings[1]
    assert (outcome.status, outcome.attempts) == (100, 3)


def test_an_interruption_from_within_reaches_processes_of_this_host(request_, bundle, sleeper):
    """Another thread asks: a scan by an agent of this host ends as promptly, in the main thread too."""
    stop = Stop()

    class AtOnce(FleetWatcher):
        @contextlib.contextmanager
        def target(self, uri):
            class Line(Watcher):
                def control(self, progress) -> None:
                    stop.ask()

            yield Line()

    uris = [f"pid://{sleeper}", "rootfs:///"]
    run = begin(uris, request_)
    outcomes = fleet.scan_all(uris, request_, lambda: bundle, run=run, jobs=1, watcher=AtOnce(), stop=stop)
    assert [each.status for each in outcomes] == [130, None]
    assert outcomes[0].folder
    record = json.loads((outcomes[0].folder / "scan.json").read_text())
    assert (record["status"], record["complete"]) == (130, False)
    assert (outcomes[0].folder / "report.partial.json").is_file()
