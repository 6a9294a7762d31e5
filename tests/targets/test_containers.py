"""Building, starting and removing the demo containers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.targets.conftest import Targets
from tests.targets.expected import TARGETS
from toolkit.demo import containers, distroless
from toolkit.demo.recipes import NAMES, RECIPES
from toolkit.dockers import connect
from toolkit.errors import CallError, ScanError

pytestmark = [pytest.mark.root, pytest.mark.docker, pytest.mark.slow]
LEAST = sorted(set(TARGETS) - {"shell"})


@pytest.fixture
def name() -> Iterator[str]:
    """A container's name; it is removed afterwards."""
    yield f"barescan-test-one-{os.getpid()}"
    containers.remove(f"barescan-test-one-{os.getpid()}")


def test_every_target_is_expected_to_be_something() -> None:
    assert set(TARGETS) == set(NAMES)


@pytest.mark.parametrize("target", NAMES)
def test_dockerfile_builds_on_a_public_image_that_can_be_exchanged(target: str) -> None:
    lines = (containers.PLACE / target / "Dockerfile").read_text().splitlines()
    first = [line for line in lines if line and not line.startswith("#")][:2]
    if target == "scratch":
        assert first[0] == "FROM scratch"
    else:
        public = r"gcr\.io/distroless/|debian:|registry\.access\.redhat\.com/|cgr\.dev/chainguard/"
        assert re.match(rf"ARG BASE=({public})", first[0])
        assert first[1] == "FROM ${BASE}"


def test_what_was_built_before_is_taken_from_the_cache() -> None:
    client = connect()
    ids = [client.images.get(tag).id for tag in containers.build(["static", "ubi-micro"]).values()]
    said: list[str] = []
    again = containers.build(["static", "ubi-micro"], said.append)
    assert [client.images.get(tag).id for tag in again.values()] == ids
    assert not [line for line in said if "importing" in line]


@pytest.mark.parametrize("target", TARGETS)
def test_container_runs_as_the_user_it_should(targets: Targets, target: str) -> None:
    running = targets.running(target)
    rows = Path(f"/proc/{running.pid}/status").read_text().splitlines()
    uids = next(row.split()[1:] for row in rows if row.startswith("Uid:"))
    assert uids == [str(TARGETS[target].uid)] * 4
    assert running.container.labels[containers.LABEL] == target


@pytest.mark.parametrize("target", LEAST)
def test_container_has_the_least_rights(targets: Targets, target: str) -> None:
    host: dict[str, Any] = targets.running(target).container.attrs["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == "none"
    assert host["Privileged"] is False


def test_tmpfs_and_volume_are_where_they_should_be(targets: Targets) -> None:
    assert set(targets.running("nonroot-readonly").container.attrs["HostConfig"]["Tmpfs"]) == {"/tmp"}
    (mount,) = targets.running("python").container.attrs["Mounts"]
    assert (mount["Type"], mount["Destination"], mount["RW"]) == ("volume", "/data", True)
    assert targets.file("python", "/data/started").strip().isdigit()


def test_import_keeps_every_owner_mode_and_link(targets: Targets) -> None:
    root, exported = distroless.image("static"), targets.exported("static")
    assert _listing(root).items() <= _listing(exported).items()


def _listing(root: Path) -> dict[str, tuple[int, int, int, str]]:
    """Path → mode, owner, group and where a link leads; not the runtime's own files."""
    found = {}
    for path in root.rglob("*"):
        name, about = str(path.relative_to(root)), path.lstat()
        if path.relative_to(root).parts[0] not in {"dev", "proc", "sys"}:
            link = str(path.readlink()) if path.is_symlink() else ""
            found[name] = (about.st_mode, about.st_uid, about.st_gid, link)
    return found


def test_removed_is_gone_with_its_volume(name: str) -> None:
    containers.run("python", name)
    assert name in [each.name for each in containers.status()]
    assert containers.remove(name) == [name]
    client = connect()
    assert not client.containers.list(all=True, filters={"name": name})
    assert not client.volumes.list(filters={"name": name})
    assert containers.remove(name) == []


def test_running_one_is_taken_as_it_is_and_a_stopped_one_is_replaced(name: str) -> None:
    first = containers.run("static", name)
    assert containers.run("static", name).container.id == first.container.id
    first.container.stop(timeout=1)
    assert containers.run("static", name).container.id != first.container.id


def test_name_of_another_container_is_refused(name: str) -> None:
    containers.run("static", name)
    with pytest.raises(CallError, match="there is a container"):
        containers.run("scratch", name)


def test_unknown_target_and_unusable_name_are_refused() -> None:
    with pytest.raises(CallError, match="ubi-micro"):
        containers.build(["fat"])
    with pytest.raises(CallError, match="is no name"):
        containers.run("static", "No Name")


def test_no_engine_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(ScanError, match="no docker engine answers"):
        containers.status()


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        (["/nothing"], "can't be started"),
        (["/usr/bin/python3", "-c", "raise SystemExit('no data')"], "ended at once: no data"),
        (["/usr/bin/python3", "-c", "input()"], "ended at once"),
    ],
)
def test_program_that_does_not_run_is_said(
    name: str, entrypoint: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES["python"].rights, "entrypoint", entrypoint)
    with pytest.raises(ScanError, match=said):
        containers.run("python", name)
