"""The agent against real processes and trees: what the engine may do there, and what is left afterwards."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from toolkit.errors import CallError, ScanError
from toolkit.runtimes.base import resolve
from toolkit.runtimes.session import Outcome, converse

pytestmark = [pytest.mark.root, pytest.mark.bundle]
BIN = "/sys/firmware/bin"


def run(bundle, uri: str, script: str, *, timeout: float = 30, outputs=()) -> tuple[list[str], Outcome]:
    """Run a shell script as the engine; return its lines and the outcome."""
    runtime, outcome = resolve(uri), Outcome()
    lines: list[str] = []
    job = {
        **runtime.job(),
        "bundle": str(bundle.path.resolve()),
        "argv": [f"{BIN}/env", "bash", "-c", script],  # any program of the bundle prepares the shell
        "env": {},
        "outputs": list(outputs),
        "timeout": timeout,
    }
    with tempfile.TemporaryDirectory() as folder, runtime.attach(bundle.path, timeout) as connection:
        converse(connection, job, (), Path(folder), lines.append, outcome)
    return lines, outcome


def test_the_engine_keeps_one_capability_and_gains_no_other(bundle, sleeper):
    lines, outcome = run(bundle, f"pid://{sleeper}", f"{BIN}/grep -E '^(Cap|NoNewPrivs)' /proc/self/status")
    values = dict(line.split(":\t") for line in lines)
    assert values == {
        "CapInh": "0000000000000000",
        "CapPrm": "0000000000000004",
        "CapEff": "0000000000000004",
        "CapBnd": "0000000000000004",
        "CapAmb": "0000000000000000",
        "NoNewPrivs": "1",
    }
    assert outcome.complete
    assert outcome.exit_status == 0


def test_no_process_of_ours_is_listed(bundle, sleeper):
    """Not the supervisor, the keeper and the init, nor the engine with its children and theirs."""
    script = f"(bash -c 'sleep 5.25 & wait' & {BIN}/ps -e -o args=; {BIN}/ls /proc; kill 0)"
    lines, _ = run(bundle, f"pid://{sleeper}", script)
    assert "/bin/sleep 60" in lines
    assert str(sleeper) in lines
    assert not [line for line in lines if "/firmware/" in line or "sleep 5.25" in line or "toolkit" in line]


def test_a_tree_is_shown_no_network_of_the_host(bundle, tmp_path):
    lines, _ = run(bundle, f"rootfs://{tmp_path}", f"{BIN}/ls /sys/class/net")
    assert lines == ["lo"]


def test_nothing_can_be_written_in_the_target(bundle, tmp_path):
    (tmp_path / "file").write_text("x")
    tmp_path.chmod(0o777)
    script = "echo no > /file; echo no > /new; mkdir /dir; rm /file; echo > $HOME/mine && echo ok"
    lines, outcome = run(bundle, f"rootfs://{tmp_path}", script)
    assert lines == ["ok"]
    assert outcome.stderr.count("Read-only file system") == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_program_of_the_target_can_not_be_run(bundle, tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho owned\n")
    program.chmod(0o755)
    native = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert native.stdout == "owned\n"
    lines, outcome = run(bundle, f"rootfs://{tmp_path}", "/program")
    assert lines == []
    assert outcome.exit_status == 126


def test_processes_of_the_target_are_seen_and_ours_are_not(bundle, sleeper):
    lines, _ = run(bundle, f"pid://{sleeper}", f"{BIN}/ps -eo pid,comm")
    listed = {int(pid): name for pid, name in (line.split() for line in lines[1:])}
    assert listed[sleeper] == "sleep"
    assert "ps" not in listed.values()


def test_the_mount_table_is_the_targets_own(bundle, sleeper):
    lines, _ = run(bundle, f"pid://{sleeper}", f"{BIN}/cat /proc/self/mounts; {BIN}/findmnt -no OPTIONS /")
    *table, options = lines
    assert table == Path(f"/proc/{sleeper}/mounts").read_text().splitlines()
    root = next(line.split() for line in table if line.split()[1] == "/")
    assert set(root[3].split(",")) == set(options.split(","))


def test_the_engine_can_signal_nothing_outside(bundle, sleeper):
    _, outcome = run(bundle, f"pid://{sleeper}", f"kill -9 {sleeper} || exit 5")
    assert outcome.exit_status == 5
    assert Path(f"/proc/{sleeper}").exists()


def test_secrets_of_other_processes_stay_unread(bundle, sleeper):
    lines, outcome = run(bundle, f"pid://{sleeper}", f"{BIN}/cat /proc/{sleeper}/environ || echo denied")
    assert lines == ["denied"]
    assert "Permission denied" in outcome.stderr


def test_nothing_is_left_on_the_host(bundle, sleeper, tmp_path):
    (tmp_path / "a").write_text("a")
    before = (Path("/proc/self/mountinfo").read_text(), _listing(tmp_path))
    run(bundle, f"pid://{sleeper}", "exit 0")
    run(bundle, f"rootfs://{tmp_path}", f"{BIN}/find / -xdev -type f -exec {BIN}/cat {{}} +")
    assert (Path("/proc/self/mountinfo").read_text(), _listing(tmp_path)) == before
    assert not _agents(bundle)


def test_a_child_that_is_left_behind_is_killed(bundle, sleeper):
    began = time.monotonic()
    _, outcome = run(bundle, f"pid://{sleeper}", f"{BIN}/setsid {BIN}/sleep 300 & exit 0")
    assert outcome.complete
    assert time.monotonic() - began < 15
    assert not _agents(bundle)


def test_the_deadline_ends_the_scan(bundle, sleeper):
    with pytest.raises(ScanError, match="did not finish in time"):
        run(bundle, f"pid://{sleeper}", f"{BIN}/sleep 300", timeout=2)
    assert not _agents(bundle)


def test_a_target_that_ends_ends_the_scan(bundle, sleeper):
    subprocess.Popen(["/bin/sh", "-c", f"sleep 1; kill -9 {sleeper}"])
    with pytest.raises(ScanError, match="target ended"):
        run(bundle, f"pid://{sleeper}", f"{BIN}/sleep 300")


def test_what_can_not_be_entered_is_named(bundle):
    with pytest.raises(ScanError, match="there is no process"):
        run(bundle, "pid://4194303", "exit 0")
    kernel_thread = next(
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (entry / "comm").read_text().startswith(("kworker", "kthreadd"))
    )
    with pytest.raises(ScanError, match="kernel thread"):
        run(bundle, f"pid://{kernel_thread}", "exit 0")


def test_a_live_process_without_a_place_for_the_bundle_is_refused(bundle, tmp_path):
    (tmp_path / "proc").mkdir()
    program = tmp_path / "busy"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    # The process keeps its own libraries mapped from the host and changes its root afterwards.
    code = f"import os, time; os.chroot({str(tmp_path)!r}); print('in', flush=True); time.sleep(60)"
    process = subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"in\n"
        with pytest.raises(ScanError, match="has no /sys/firmware"):
            run(bundle, f"pid://{process.pid}", "exit 0")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_malformed_job_is_a_bad_call(bundle, sleeper):
    with pytest.raises(CallError, match="plain file names"):
        run(bundle, f"pid://{sleeper}", "exit 0", outputs=["../../etc/shadow"])


def _agents(bundle) -> list[str]:
    """Return command lines of agents of this bundle, and of the programs that these tests leave behind."""
    time.sleep(0.2)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if bytes(bundle.path) in line or b"/sys/firmware/bin/sleep\0300" in line:
                found.append(line.decode(errors="replace"))
    return found


def _listing(root: Path) -> list[tuple[str, int, int, int]]:
    return sorted(
        (str(p), s.st_mode, s.st_mtime_ns, s.st_ctime_ns)
        for p in [root, *root.rglob("*")]
        for s in [p.lstat()]
    )
