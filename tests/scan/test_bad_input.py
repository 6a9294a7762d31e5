"""What is wrong with a call or a target is said in one line with the next step, and has the right status."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
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


def test_no_profile(barescan):
    says(barescan("scan", "--target", "pid://1"), 1, "no profile was named", "--profile", "invoke profiles")


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (["bench", "--rounds=0"], "no number of rounds"),
        (["bench", "--rounds=x"], "no number of rounds"),
        (["bundle.export"], "no file was named"),
        (["bundle.export", "--file=x.zip"], "x.zip is not the name of a .tar.zst"),
        (["targets.up", "--name=a b/../c"], "is no name for a target"),
        (["scan", "--target=pid://", "--profile=x"], "is not a target"),
        (["scan", "--target=pid://1", "--profile=README.md"], "no profile that an engine knows"),
        (["scan", "--target=pid://1", "--profile=.", "--engine=openscap"], "profile for the engine cinc"),
        (
            ["scan", "--target=pid://1", "--profile=scap:x#y", "--engine=cinc"],
            "profile for the engine openscap",
        ),
        (["scan", "--target=pid://1", "--profile=.", "--report-dir=file/x"], "Not a directory"),
        (["profiles", "--profile=file"], "no profile that an engine knows"),
    ],
)
def test_a_bad_call_is_told_before_anything_is_built(barescan, call, word):
    (barescan.folder / "file").write_text("")
    place = str(barescan.folder / "cache")
    environment = {**os.environ, "XDG_CACHE_HOME": place, "BARESCAN_BUNDLE": "", "BARESCAN_GEMS": ""}
    says(barescan(*call, env=environment), 1, word)
    assert not list(Path(place).glob("barescan/bundle/*"))
    assert not list(Path(place).glob("barescan/demo/roots/*"))


@pytest.mark.parametrize(("call", "see"), [(["scan", "--targt=x"], "scan --help"), (["scn"], "--list")])
def test_a_call_that_can_not_be_read_says_where_help_is(barescan, call, see):
    result = subprocess.run(
        [sys.executable, "-m", "toolkit", *call], cwd=ROOT, capture_output=True, text=True, check=False
    )
    says(result, 1, "No idea what", f"see: barescan {see}")


def test_ctrl_c_while_modules_are_loaded(tmp_path):
    """The package that is loaded first stands for any: it interrupts its own import."""
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    for command in (["-m", "toolkit", "--list"], ["-m", "invoke", "--search-root", str(ROOT), "--list"]):
        result = subprocess.run(
            [sys.executable, *command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (130, "interrupted\n")


@pytest.mark.root
def test_what_is_not_there_is_told(barescan):
    result = barescan("targets.down", "--name", "nosuch")
    assert result.returncode == 0
    assert "no demo target nosuch is up" in result.stderr


def test_without_root_entering_is_named_before_a_bundle_is_built(barescan, tmp_path):
    tmp_path.chmod(0o777)
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from toolkit import scan\n"
        "import toolkit.engines.cinc, toolkit.engines.openscap, toolkit.runtimes.local\n"
        "from toolkit.errors import ScanError\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "request = scan.Request('pid://1', 'scap:debian12#standard', report_dir=scan.Path('/tmp/x'))\n"
        "try: scan.scan(request, lambda: sys.exit('a bundle was asked for'))\n"
        "except ScanError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(ROOT)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout.startswith("entering a target needs root → run the same command with sudo"), result


def test_help_names_every_flag(barescan):
    result = barescan("scan", "--help")
    assert result.returncode == 0
    for flag in ("--target", "--profile", "--input-file", "--input", "--controls", "--waiver-file"):
        assert flag in result.stdout
    for flag in ("--threshold", "--engine", "--report-dir", "--timeout"):
        assert flag in result.stdout


@pytest.fixture
def small_root(tmp_path):
    """A tree that is no system at all, so that a scan of it takes a second; its URI."""
    root = tmp_path / "root"
    for name in ("proc", "sys", "dev", "etc"):
        (root / name).mkdir(parents=True)
    return f"rootfs://{root}"


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
        _wait_for_oscap(scan)
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
        says(barescan(*arguments), 2, "did not finish in time", "--timeout", "reports/")

    def test_progress_is_told_where_nothing_is_drawn(self, barescan, small_root):
        result = barescan("scan", "--target", small_root, "--profile", "scap:debian12#standard")
        assert "profile scap:debian12#standard, by openscap 1." in result.stderr
        assert f"scan: {small_root}" in result.stderr
        assert "44 of 44 controls, 0 failed" in result.stderr

    def test_the_record_holds_the_hashes_of_bundle_and_content(self, barescan, small_root, bundle):
        barescan("scan", "--target", small_root, "--profile", "scap:debian12#standard")
        record = json.loads((barescan.scans()[0] / "scan.json").read_text())
        packed = bundle.path / bundle.manifest["content"]["debian12"]
        content = hashlib.sha256(gzip.decompress(packed.read_bytes())).hexdigest()
        assert record["profile"]["sha256"] == content
        assert record["bundle"]["sha256"] == bundle.manifest["sha256"]
        assert len(record["bundle"]["sha256"]) == 64

    def test_profiles_are_listed(self, barescan, bundle):
        result = barescan("profiles")
        assert result.returncode == 0
        assert "scap:ubuntu2204#stig " in result.stdout
        assert all(line.startswith("scap:") for line in result.stdout.splitlines())
        packed = bundle.path / bundle.manifest["content"]["ubuntu2204"]
        content = hashlib.sha256(gzip.decompress(packed.read_bytes())).hexdigest()
        (line,) = (line for line in result.stdout.splitlines() if content in line)
        assert line.split() == ["scap:ubuntu2204", "sha256", content]
        result = barescan("profiles", "--profile", str(ROOT / "profiles" / "distroless-baseline"))
        assert "Baseline for containers without a shell" in result.stdout

    def test_controls_that_are_not_of_the_profile(self, barescan, small_root):
        call = ("scan", "--target", small_root, "--profile", PROFILE, "--controls")
        says(barescan(*call, "nosuch"), 1, "has no rule 'nosuch'", "--controls")
        says(barescan(*call, "sshd_disable_root_login"), 1, "does not select sshd_disable_root_login")

    def test_a_misspelt_profile_is_answered_with_the_nearest(self, barescan, small_root):
        call = ("scan", "--target", small_root, "--profile")
        says(barescan(*call, "scap:debian12#anssi_bp28_minimla"), 1, "it has anssi_bp28_minimal, ")

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
        says(result, 2, "applies to this target: it has no os-release, the profile is for cpe:/o:canonical:")
        (root / "etc" / "os-release").write_text("ID=debian\nVERSION_ID=12\n")
        result = barescan("scan", "--target", f"rootfs://{root}", "--profile", "scap:ubuntu2204#stig")
        says(result, 2, "it is debian 12 by its os-release", "invoke profiles")

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
        engine = _wait_for_oscap(scan)
        scan.send_signal(signal.SIGINT)
        _, errors = scan.communicate(timeout=60)
        assert scan.returncode == 130, errors
        assert not [place for place in engine if place.exists()]
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
        engine = _wait_for_oscap(scan)
        scan.kill()
        scan.wait()
        deadline = time.monotonic() + 10
        while any(place.exists() for place in engine) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(place.exists() for place in engine)

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


def _oscaps(client: int) -> list[str]:
    """Return the engines that a client started, by their ids: others may be at work on the same machine."""
    parents, engines = dict[str, str](), list[str]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"/sys/firmware/bin/oscap" in (entry / "cmdline").read_bytes():
                    engines.append(entry.name)
                parents[entry.name] = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
    return [pid for pid in engines if str(client) in _ancestors(pid, parents)]


def _ancestors(pid: str, parents: dict[str, str]) -> set[str]:
    found = set[str]()
    while pid in parents and pid not in found:
        found.add(pid)
        pid = parents[pid]
    return found


def _wait_for_oscap(scan: subprocess.Popen[Any]) -> list[Path]:
    """Return the processes of the engine that a scan started, in /proc."""
    deadline = time.monotonic() + 60
    while not (found := _oscaps(scan.pid)):
        assert time.monotonic() < deadline, "the engine never started"
        time.sleep(0.02)
    return [Path("/proc", pid) for pid in found]
