"""What a single scan that is stopped says: where its record is, and what it leaves for a while."""

from __future__ import annotations

import signal
import subprocess
from typing import NoReturn

import pytest

from tests.containers import PROFILE
from toolkit import scan as scanning
from toolkit.bundle.build import Bundle
from toolkit.errors import InterruptedScanError
from toolkit.runtimes.local import PidRuntime
from toolkit.scan import Request, Watcher, scan


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("left", ["", "the auditor ends by itself"])
def test_a_scan_that_had_not_begun_says_so(left, tmp_path, monkeypatch, sleeper):
    monkeypatch.setattr(PidRuntime, "left_behind", lambda _: left)
    with pytest.raises(InterruptedScanError) as caught:
        scan(Request(f"pid://{sleeper}", PROFILE, report_dir=tmp_path / "reports"), _interrupt)
    assert caught.value.kept == "it had not begun: there is no record" + (f"; {left}" if left else "")
    assert not (tmp_path / "reports").exists()


@pytest.mark.root
@pytest.mark.bundle
def test_what_was_recorded_and_what_is_left_are_both_told(bundle: Bundle, tmp_path, monkeypatch, sleeper):
    class AtOnce(Watcher):
        def chosen(self, profile: str, engine: str) -> None:
            _interrupt()

    monkeypatch.setattr(PidRuntime, "left_behind", lambda _: "the auditor ends by itself")
    request = Request(f"pid://{sleeper}", PROFILE, report_dir=tmp_path / "reports")
    with pytest.raises(InterruptedScanError) as caught:
        scan(request, lambda: bundle, AtOnce())
    (record,) = tmp_path.glob("reports/*/*/scan.json")
    told = f"no control had finished; the record of the scan is {record}; the auditor ends by itself"
    assert caught.value.kept == told


@pytest.mark.root
@pytest.mark.bundle
def test_a_second_interruption_while_it_is_recorded_still_says_where(bundle, tmp_path, monkeypatch, sleeper):
    class AtOnce(Watcher):
        def chosen(self, profile: str, engine: str) -> None:
            _interrupt()

    monkeypatch.setattr(scanning._Scan, "_record_failure", _interrupt)
    request = Request(f"pid://{sleeper}", PROFILE, report_dir=tmp_path / "reports")
    with pytest.raises(InterruptedScanError) as caught:
        scan(request, lambda: bundle, AtOnce())
    (folder,) = tmp_path.glob("reports/*/*/")
    assert caught.value.kept == f"what there is of it is in {folder}"


@pytest.mark.root
@pytest.mark.bundle
def test_the_command_says_where_the_record_is(bundle, barescan, sleeper):
    client = subprocess.Popen(
        barescan.command("scan", "--target", f"pid://{sleeper}", "--profile", PROFILE),
        cwd=barescan.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert client.stderr is not None
    for line in client.stderr:
        if line.startswith("profile "):
            client.send_signal(signal.SIGINT)
            break
    said = client.stderr.read()
    assert client.wait(timeout=30) == 130
    (record,) = barescan.folder.glob("reports/*/*/scan.json")
    assert str(record.relative_to(barescan.folder)) in said or "marked as partial in" in said
