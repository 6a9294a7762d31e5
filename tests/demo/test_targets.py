"""Targets as an OCI runtime would make them: found again, and gone without a trace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.demo import targets, trees
from toolkit.errors import CallError, ScanError

pytestmark = pytest.mark.root
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


@pytest.fixture(scope="module", params=["static", "base", "nothing"])
def target(request: pytest.FixtureRequest) -> Iterator[targets.RunningTarget]:
    name = f"test-{request.param}"
    targets.down(name)
    yield targets.up(name, request.param)
    targets.down(name)


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _mounts(pid: int) -> dict[str, tuple[str, set[str]]]:
    rows = [line.split(" ") for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
    return {row[1]: (row[2], set(row[3].split(","))) for row in rows}


def test_process_has_no_power(target: targets.RunningTarget) -> None:
    status = _status(target.pid)
    assert status["Uid"].split() == status["Gid"].split() == ["65532"] * 4
    assert status["Groups"] == ""
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"


def test_process_is_the_first_in_namespaces_of_its_own(target: targets.RunningTarget) -> None:
    assert _status(target.pid)["NSpid"].split()[1:] == ["1"]
    for name in NAMESPACES:
        assert Path(f"/proc/{target.pid}/ns/{name}").readlink() != Path(f"/proc/self/ns/{name}").readlink(), (
            name
        )


def test_host_root_is_out_of_reach(target: targets.RunningTarget) -> None:
    points = list(_mounts(target.pid))
    assert points.count("/") == 1
    assert not [line for line in points if ".cache" in line]


def test_mounts_are_those_of_a_runtime(target: targets.RunningTarget) -> None:
    mounts = _mounts(target.pid)
    assert mounts["/"][0] == "overlay"
    assert mounts["/proc"][0] == "proc"
    assert mounts["/sys"][0] == "sysfs"
    assert "ro" in mounts["/sys"][1]
    assert mounts["/sys/firmware"][0] == "tmpfs"
    assert {"ro", "nosuid", "nodev", "noexec"} <= mounts["/sys/firmware"][1]
    assert list((target.root / "sys/firmware").iterdir()) == []
    assert mounts["/dev"][0] == "tmpfs"
    assert mounts["/dev/pts"][0] == "devpts"
    assert mounts["/dev/mqueue"][0] == "mqueue"
    assert "noexec" in mounts["/dev/shm"][1]
    assert "ro" in mounts["/proc/sys"][1]
    assert {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} <= set(mounts)


def test_devices_are_the_runtime_ones(target: targets.RunningTarget) -> None:
    dev = target.root / "dev"
    assert {path.name for path in dev.iterdir() if path.is_char_device() and not path.is_symlink()} == {
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
    }
    assert (dev / "fd").readlink() == Path("/proc/self/fd")
    assert (dev / "ptmx").readlink() == Path("pts/ptmx")
    assert (dev / "null").stat().st_rdev == os.makedev(1, 3)
    assert (dev / "null").stat().st_mode & 0o777 == 0o666


def test_hostname_is_set(target: targets.RunningTarget) -> None:
    done = subprocess.run(
        ["nsenter", f"--target={target.pid}", "--uts", "hostname"], capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == target.name
    assert (target.root / "etc/hostname").read_text() == f"{target.name}\n"


def test_program_answers_in_its_own_network(target: targets.RunningTarget) -> None:
    ask = (
        "import socket; s = socket.create_connection(('127.0.0.1', 8080), 5);"
        "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(s.makefile().read())"
    )
    done = subprocess.run(
        ["nsenter", f"--target={target.pid}", "--net", sys.executable, "-c", ask],
        capture_output=True,
        check=True,
    )
    assert b"200 OK" in done.stdout


def test_program_holds_nothing_but_standard_streams_and_its_socket(target: targets.RunningTarget) -> None:
    held = {link.name: str(link.readlink()) for link in Path(f"/proc/{target.pid}/fd").iterdir()}
    assert {held[fd] for fd in "012"} == {"/dev/null"}
    others = [held[fd] for fd in held if fd not in "012"]
    assert [re.sub(r"\d+", "N", name) for name in others] == ["socket:[N]"]


def test_nothing_has_only_what_a_runtime_makes(started: list[str]) -> None:
    started.append("test-bare")
    target = targets.up("test-bare", "nothing")
    assert {path.name for path in target.root.iterdir()} == {"app", "dev", "etc", "proc", "sys"}
    assert {path.name for path in (target.root / "etc").iterdir()} == {"hosts", "hostname", "resolv.conf"}


def test_it_outlives_the_process_that_started_it_and_is_found_again(started: list[str]) -> None:
    started.append("test-left")
    code = "from toolkit.demo import targets; print(targets.up('test-left', 'nothing').pid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    (found,) = [each for each in targets.status() if each.name == "test-left"]
    assert found.pid == int(done.stdout)
    assert found.alive()
    assert found.uri == f"pid://{found.pid}"


def test_up_again_is_the_same_and_another_variant_is_refused(started: list[str]) -> None:
    started.append("test-again")
    first = targets.up("test-again", "nothing")
    assert targets.up("test-again", "nothing") == first
    with pytest.raises(CallError, match=r"test-again is up as nothing-bookworm → invoke targets.down"):
        targets.up("test-again", "static")


def test_down_leaves_nothing(elsewhere: Path) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    target = targets.up("test-gone", "nothing")
    assert targets.down("test-gone") == ["test-gone"]
    assert not target.alive()
    assert not target.root.exists()
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert list((elsewhere / "barescan/demo/targets").iterdir()) == []
    assert targets.down("test-gone") == []


def test_crashed_target_is_not_listed_and_can_be_started_anew(started: list[str]) -> None:
    started.append("test-crash")
    first = targets.up("test-crash", "nothing")
    os.kill(first.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while first.alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert first not in targets.status()
    second = targets.up("test-crash", "nothing")
    assert second.alive()


def test_another_process_of_the_same_number_is_never_killed(started: list[str]) -> None:
    started.append("test-reuse")
    target = targets.up("test-reuse", "nothing")
    with subprocess.Popen(["sleep", "60"]) as bystander:
        state = targets._place("test-reuse") / "state.json"
        state.write_text(state.read_text().replace(f'"pid": {target.pid}', f'"pid": {bystander.pid}'))
        targets.down("test-reuse")
        assert bystander.poll() is None
        bystander.kill()
    os.kill(target.pid, signal.SIGKILL)


def test_program_that_can_not_start_is_an_error_and_leaves_nothing(elsewhere: Path, tmp_path: Path) -> None:
    tree = tmp_path / "empty"
    tree.mkdir()
    with pytest.raises(ScanError, match=r"could not be started: .*No such file"):
        targets.run_inside(tree, "test-fails")
    assert list((elsewhere / "barescan/demo/targets").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "x" * 41])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(CallError, match="is no name for a target"):
        targets.up(name, "nothing")


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ScanError, match=r"needs root → run the same command with sudo"):
        targets.up("test-user", "nothing")


@pytest.mark.slow
def test_full_tree_runs_natively_and_stays_as_it_is(started: list[str]) -> None:
    tree = trees.tree("stable", ["procps"])
    started.append("test-tree")
    target = targets.run_inside(tree, "test-tree")
    shown = target.run(["ps", "-o", "pid=,args=", "-p", "1"]).stdout.decode()
    assert shown.split() == ["1", "/bin/sleep", "infinity"]
    assert b"sysfs on /sys type sysfs (ro" in target.run(["mount"]).stdout
    assert b" /sys sysfs ro," in target.run(["cat", "/etc/mtab"]).stdout
    (target.root / "etc/planted").write_text("x")
    assert target.run(["cat", "/etc/planted"]).stdout == b"x"
    assert not (tree / "etc/planted").exists()


@pytest.mark.slow
def test_ubuntu_like_tree_says_it_is_ubuntu(tmp_path: Path) -> None:
    tree = trees.tree("ubuntu2204", dest=tmp_path / "tree")
    assert "DISTRIB_CODENAME=jammy\n" in (tree / "etc/lsb-release").read_text()
    assert "ID=ubuntu\n" in (tree / "etc/os-release").read_text()
    assert (tree / "usr/bin/dpkg").is_file()


def test_unknown_tree_names_the_known_ones() -> None:
    with pytest.raises(CallError, match="stable, trixie, bookworm, ubuntu2204"):
        trees.tree("potato")
