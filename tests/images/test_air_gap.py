"""Everything that docs/air-gap.md tells, on a machine without any network: an engine of its own in a network
namespace without interfaces, an empty cache, and the one file.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.containers import PROFILE, distroless_image
from tests.images.signing import Pair
from toolkit.dockers import connect
from toolkit.images import archive, build

pytestmark = [pytest.mark.docker, pytest.mark.bundle, pytest.mark.slow]
BASELINE = Path(__file__).parents[2] / "profiles" / "distroless-baseline"
TAG = "barescan-test-airgap:1"
_TRY = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"


@dataclass
class Machine:
    """What stands for the machine without network."""

    place: Path
    pid: int
    client: docker.DockerClient

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in its network namespace, with none of this machine's caches and settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BARESCAN_")}
        own = {
            "DOCKER_HOST": f"unix://{self.place}/docker.sock",
            "XDG_CACHE_HOME": f"{self.place}/cache",
            "COLUMNS": "300",
        }
        return subprocess.run(
            ["nsenter", "--net", "--target", str(self.pid), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env=kept | own | environment,
            cwd=self.place,
        )

    def barescan(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a task there."""
        code = f"from toolkit.cli import program; program.run(['barescan', *{list(arguments)!r}])"
        path = str(Path(__file__).parents[2])
        return self.run(sys.executable, "-c", code, PYTHONPATH=path, **environment)


@pytest.fixture(scope="module")
def file(bundle, tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """The file that is carried there, and its hash: the auditor, the profiles, and an image to be scanned."""
    client = connect()
    target = distroless_image()
    build.from_bundle(client, bundle, build.Options(TAG), print)
    path = tmp_path_factory.mktemp("carried") / "barescan.tar.gz"
    yield path, archive.save(client, [TAG, target], [BASELINE], path, print)
    client.images.remove(TAG, noprune=True)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if not shutil.which("dockerd"):
        pytest.skip("needs dockerd to start a second engine (apt-get install docker.io)")
    place = Path(tempfile.mkdtemp(prefix="bs-"))  # short: sockets below it have at most 107 characters
    command = ["unshare", "--net", "--mount", "--propagation", "private", "dockerd"]
    command += [f"--data-root={place}/data", f"--exec-root={place}/exec", f"--pidfile={place}/pid"]
    command += [
        "--containerd-namespace=barescan-test",
        "--containerd-plugins-namespace=barescan-test-plugins",
    ]
    command += [
        f"--host=unix://{place}/docker.sock",
        "--iptables=false",
        "--bridge=none",
        "--ip-forward=false",
    ]
    with (place / "log").open("w") as log:
        engine = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield Machine(place, engine.pid, _client(place, engine))
    finally:
        engine.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            engine.wait(30)
        engine.kill()
        engine.wait()
        shutil.rmtree(place, ignore_errors=True)


def _client(place: Path, engine: subprocess.Popen[bytes]) -> docker.DockerClient:
    for _ in range(300):
        with contextlib.suppress(docker.errors.DockerException):
            return docker.DockerClient(base_url=f"unix://{place}/docker.sock", version="auto")
        if engine.poll() is not None:
            break
        time.sleep(0.1)
    pytest.skip(f"no second engine starts here: {(place / 'log').read_text().strip()[-300:]}")


@pytest.fixture(scope="module")
def loaded(machine: Machine, file: tuple[Path, str]) -> str:
    """Load the file there; what was said."""
    path, digest = file
    given = []
    if shutil.which("openssl"):  # signed where it was made, and only the public key is trusted here
        pair = Pair(path.parent / "keys")
        (path.parent / "signature").write_text(pair.sign(path.read_bytes()))
        given = ["--signature", str(path.parent / "signature"), "--key", str(pair.public)]
    done = machine.barescan("images.load", "--file", str(path), "--sha256", digest, "--profiles", ".", *given)
    assert done.returncode == 0, done.stderr
    assert "signed by sha256:" in done.stdout or not given
    return done.stdout


@pytest.fixture(scope="module")
def target(machine: Machine, loaded: str) -> Iterator[Container]:
    container = machine.client.containers.run(
        distroless_image(), detach=True, network_mode="none", read_only=True, cap_drop=["ALL"]
    )
    yield container
    container.remove(force=True)


def _report(machine: Machine, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode in {100, 101}, done.stdout + done.stderr
    where = done.stdout.rpartition("report: ")[2].strip()
    report: dict[str, Any] = json.loads((machine.place / where).read_text())
    return report


def test_there_really_is_no_network(machine):
    done = machine.run(sys.executable, "-c", _TRY)
    assert "Network is unreachable" in done.stderr
    links = machine.run("ip", "-o", "link").stdout.splitlines()
    assert len(links) == 1, links
    assert "state DOWN" in links[0]


def test_the_file_brings_image_and_profiles(machine, loaded):
    assert f"image {TAG}" in loaded
    assert (machine.place / "distroless-baseline" / "inspec.yml").exists()
    assert TAG in machine.barescan("images.list").stdout


def test_the_image_passes_its_test_there(machine, loaded):
    done = machine.barescan("images.verify", "--tag", TAG)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profile", [PROFILE, "distroless-baseline"])
def test_a_container_is_scanned_there(profile, machine, target, bundle):
    if profile != PROFILE and "cinc" not in bundle.manifest["engines"]:
        pytest.skip("the bundle was built without CINC Auditor's gems")
    done = machine.barescan(
        "scan", "--target", f"docker://{target.name}", "--profile", profile, "--image", TAG
    )
    assert len(_report(machine, done)["profiles"][0]["controls"]) > 20


def test_a_process_is_scanned_there_with_the_bundle_taken_out_of_the_image(machine, target):
    image = machine.client.containers.create(TAG)
    try:
        chunks, _ = image.get_archive("/barescan")
        with (machine.place / "barescan.tar").open("wb") as packed:
            packed.writelines(chunks)
    finally:
        image.remove()
    with tarfile.open(machine.place / "barescan.tar") as packed:
        packed.extractall(machine.place / "taken", filter="tar")
    target.reload()
    done = machine.barescan(
        *("scan", "--target", f"pid://{target.attrs['State']['Pid']}", "--profile", PROFILE),
        BARESCAN_BUNDLE=str(machine.place / "taken" / "barescan"),
    )
    assert len(_report(machine, done)["profiles"][0]["controls"]) > 20


def test_nothing_was_asked_of_the_network(machine, target):
    """What is not there is said to be missing at once, not after a time-out."""
    begun = time.monotonic()
    done = machine.barescan("images.push", "--tag", TAG, "--to", "registry.invalid/auditor:1")
    assert done.returncode == 2
    assert "can't be reached" in done.stderr
    done = machine.barescan("images.build", "--with-network", "--base", "registry.invalid/debian:1")
    assert done.returncode == 2
    assert "without --with-network" in done.stderr
    assert time.monotonic() - begun < 60
