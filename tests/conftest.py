"""What tests of every kind share: marks that skip with their reason, and the list of skips at the end."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.errors import DockerException

from toolkit.bundle.build import Bundle, ensure_bundle
from toolkit.dockers import connect
from toolkit.dockers import reason as reason_of
from toolkit.errors import BarescanError
from toolkit.images import build

K3S_IMAGE = "rancher/k3s:v1.34.1-k3s1"
"""The cluster for tests where no other is named."""


def _why_not_root() -> str:
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "needs root on Linux"
    major, minor = (int(part) for part in platform.release().split(".")[:2])
    return "" if (major, minor) >= (5, 12) else "needs Linux 5.12 or newer"


def _why_no_auditor() -> str:
    gems = os.environ.get("BARESCAN_GEMS", "")
    if not gems:
        return "needs CINC Auditor's gems: BARESCAN_GEMS names no directory of them"
    return "" if Path(gems).is_dir() else f"BARESCAN_GEMS names no directory: {gems}"


def _why_no_bundle() -> str:
    if os.environ.get("BARESCAN_BUNDLE") or shutil.which("mmdebstrap"):
        return _why_not_root()
    return "needs mmdebstrap to build the bundle (apt-get install mmdebstrap), or BARESCAN_BUNDLE"


@functools.cache
def _why_no_docker() -> str:
    try:
        connect()
    except BarescanError as error:
        return f"needs a Docker Engine: {error.cause}"
    return _why_not_root()


@functools.cache
def _why_no_cluster() -> str:
    if given := os.environ.get("BARESCAN_KUBECONFIG"):
        return "" if Path(given).is_file() else f"BARESCAN_KUBECONFIG names no file: {given}"
    other = "BARESCAN_KUBECONFIG names no kubeconfig of a cluster for tests, and K3s"
    if reason := _why_no_docker():
        return f"{other} {reason}"
    client = connect()
    try:
        if not client.images.list(name=K3S_IMAGE):
            client.images.pull(K3S_IMAGE)
    except DockerException as error:
        return f"{other} can't be pulled: {reason_of(error)}"
    return ""


_REASONS: dict[str, Callable[[], str]] = {
    "root": _why_not_root,
    "auditor": _why_no_auditor,
    "bundle": _why_no_bundle,
    "docker": _why_no_docker,
    "cluster": _why_no_cluster,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine can't run, and say why."""
    for mark, why_not in _REASONS.items():
        if item.get_closest_marker(mark):
            reason = why_not()
            if reason:
                pytest.skip(reason)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The real bundle: from the cache, or built now."""
    gems = os.environ.get("BARESCAN_GEMS", "")
    return ensure_bundle(Path(gems) if gems else None, progress=print)


@pytest.fixture(scope="session")
def auditor_image(bundle: Bundle) -> Iterator[str]:
    """The auditor image, built from the bundle; its tag, which is this run's own."""
    tag, client = f"barescan-auditor-test:{os.getpid()}", connect()
    build.from_bundle(client, bundle, build.Options(tag), print)
    yield tag
    client.images.remove(tag, force=True)


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process of this host that does nothing for a minute; its pid."""
    process = subprocess.Popen(["/bin/sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()
