"""What is wrong with a call or a target is said in one line with the next step, and has the right status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROFILE = "scap:debian12#anssi_bp28_minimal"


def says(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    text = " ".join(result.stderr.split())
    assert "error:" in text
    for word in words:
        assert word in text


def test_no_target(barescan):
    says(barescan("scan"), 1, "no target was named", "pid://PID")


def test_help_names_every_flag(barescan):
    result = barescan("scan", "--help")
    assert result.returncode == 0
    for flag in ("--target", "--profile", "--input-file", "--input", "--controls", "--waiver-file"):
        assert flag in result.stdout
    for flag in ("--threshold", "--engine", "--report-dir", "--timeout"):
        assert flag in result.stdout


@pytest.mark.bundle
class TestWithBundle:
    """Calls that get as far as needing the bundle."""

    @pytest.fixture(autouse=True)
    def _built(self, bundle):
        assert bundle.path.is_dir()

    def test_no_such_process(self, barescan):
        says(barescan("scan", "--target", "pid://4194303", "--profile", PROFILE), 2, "no process 4194303")

    def test_a_process_that_has_exited_but_was_not_reaped(self, barescan):
        process = subprocess.Popen(["/bin/true"])
        time.sleep(0.2)
        says(barescan("scan", "--target", f"pid://{process.pid}", "--profile", PROFILE), 2, "has exited")
        process.wait()

    def test_a_process_that_exits_during_the_scan(self, barescan):
        process = subprocess.Popen(["/bin/sleep", "1000"])
        scan = subprocess.Popen(
            barescan.command("scan", "--target", f"pid://{process.pid}", "--profile", PROFILE),
            cwd=barescan.folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        _wait_for_oscap()
        process.kill()
        process.wait()
        _, errors = scan.communicate(timeout=60)
        assert scan.returncode == 2
        assert "target ended" in errors
        assert json.loads((barescan.scans()[0] / "scan.json").read_text())["complete"] is False

    @pytest.mark.parametrize("word", ["abc", "-5", "0"])
    def test_a_bad_timeout(self, barescan, word):
        says(barescan("scan", "--target", "pid://1", "--profile", PROFILE, f"--timeout={word}"), 1)

    def test_the_time_is_up(self, barescan, sleeper):
        arguments = ("scan", "--target", f"pid://{sleeper}", "--profile", PROFILE, "--timeout=0.4")
        says(barescan(*arguments), 2, "did not finish in time", "--timeout")

    def test_an_unknown_profile(self, barescan, sleeper):
        target = f"pid://{sleeper}"
        says(barescan("scan", "--target", target, "--profile", "scap:debian12#nope"), 1, "profile")
        says(barescan("scan", "--target", target, "--profile", "scap:plan9#nope"), 1, "scap:debian12")
        says(barescan("scan", "--target", target, "--profile", "scap:debian12"), 1, "names no profile")
        says(barescan("scan", "--target", target, "--profile", "nowhere"), 1, "no profile")

    def test_content_that_is_empty_or_not_xml(self, barescan, sleeper, tmp_path):
        (tmp_path / "empty.xml").write_text("")
        (tmp_path / "text.xml").write_text("<not finished")
        target = f"pid://{sleeper}"
        says(barescan("scan", "--target", target, "--profile", "empty.xml#x"), 1, "empty or not XML")
        says(barescan("scan", "--target", target, "--profile", "text.xml#x"), 1)
        says(barescan("scan", "--target", target, "--profile", "missing.xml#x"), 1, "No such file")

    def test_a_threshold_with_an_unknown_key(self, barescan, sleeper, tmp_path):
        (tmp_path / "gate.yml").write_text("compliance:\n  mini: 80\n")
        arguments = ("scan", "--target", f"pid://{sleeper}", "--profile", PROFILE, "--threshold", "gate.yml")
        says(barescan(*arguments), 1, "mini", "2")

    def test_a_profile_for_another_system_is_not_a_pass(self, barescan, tmp_path):
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True)
        result = barescan("scan", "--target", f"rootfs://{root}", "--profile", "scap:ubuntu2204#stig")
        says(result, 2, "applies to this target")

    def test_ctrl_c_leaves_a_record_and_no_process(self, barescan, sleeper):
        scan = subprocess.Popen(
            barescan.command(
                "scan", "--target", f"pid://{sleeper}", "--profile", "scap:debian12#anssi_bp28_high"
            ),
            cwd=barescan.folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        _wait_for_oscap()
        scan.send_signal(signal.SIGINT)
        _, errors = scan.communicate(timeout=60)
        assert scan.returncode == 130, errors
        assert not _oscaps()
        record = json.loads((barescan.scans()[0] / "scan.json").read_text())
        assert (record["complete"], record["status"]) == (False, 130)
        assert not list(barescan.folder.glob("reports/*/*/report.hdf.json"))

    def test_a_killed_client_takes_everything_with_it(self, barescan, sleeper):
        scan = subprocess.Popen(
            barescan.command(
                "scan", "--target", f"pid://{sleeper}", "--profile", "scap:debian12#anssi_bp28_high"
            ),
            cwd=barescan.folder,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        _wait_for_oscap()
        scan.kill()
        scan.wait()
        deadline = time.monotonic() + 10
        while _oscaps() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not _oscaps()

    def test_a_full_disk(self, barescan, sleeper, tmp_path):
        small = tmp_path / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], check=True)
        try:
            (small / "filler").write_bytes(b"x" * 12_000)
            arguments = ("--target", f"pid://{sleeper}", "--profile", PROFILE, "--report-dir", str(small))
            says(barescan("scan", *arguments), 2, "No space left", "report")
        finally:
            subprocess.run(["umount", str(small)], check=True)

    def test_not_root(self, sleeper):
        code = (
            "import os, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
            "from toolkit.runtimes.base import resolve; from toolkit.errors import ScanError\n"
            "runtime = resolve(sys.argv[2]); os.setgid(65534); os.setuid(65534)\n"
            "try: runtime.attach(Path('/'), 1)\n"
            "except ScanError as error: print(error.status, error.remedy)"
        )
        command = [sys.executable, "-c", code, str(Path(__file__).parents[2]), f"pid://{sleeper}"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.stdout.startswith("2 run the same command with sudo"), result.stderr


def _oscaps() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if b"/sys/firmware/bin/oscap" in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


def _wait_for_oscap() -> None:
    deadline = time.monotonic() + 60
    while not _oscaps():
        assert time.monotonic() < deadline, "the engine never started"
        time.sleep(0.02)
