"""The clusters that tests run against: the double, and a real one where there is one.

The real one is that of BARESCAN_KUBECONFIG; BARESCAN_CLUSTER_LOAD is a command that loads the image archive
named by its last argument into it, BARESCAN_CLUSTER_RESTART one that restarts its API server. Else it is K3s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testcontainers.community.k3s import K3SContainer

from tests.conftest import K3S_IMAGE
from tests.containers import distroless_image
from tests.kubernetes.clusters import Cluster, DoubleCluster, K3sCluster, RealCluster
from tests.kubernetes.double import Double, Options
from tests.kubernetes.scanning import Scanner
from toolkit.bundle.build import Bundle
from toolkit.demo import containers

_KINDS = [
    pytest.param("double", marks=pytest.mark.docker),
    pytest.param("real", marks=pytest.mark.cluster),
]


@pytest.fixture(scope="session", params=_KINDS)
def cluster_of_session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    if request.param == "double":
        with Double() as double:
            yield DoubleCluster(double)
    elif given := os.environ.get("BARESCAN_KUBECONFIG"):
        commands = [os.environ.get(f"BARESCAN_CLUSTER_{each}", "") for each in ("LOAD", "RESTART")]
        yield RealCluster(Path(given), *commands)
    else:
        with K3SContainer(K3S_IMAGE) as k3s:
            path = tmp_path_factory.mktemp("k3s") / "kubeconfig"
            path.write_text(k3s.config_yaml())
            yield K3sCluster(path, k3s.get_wrapped_container())


@pytest.fixture
def cluster(cluster_of_session: Cluster) -> Iterator[Cluster]:
    """A cluster, the double or a real one: what a test made in it is gone afterwards."""
    yield cluster_of_session
    cluster_of_session.clean()


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A new namespace that allows everything."""
    return cluster.namespace()


@pytest.fixture
def doubles() -> Iterator[Callable[[Options], DoubleCluster]]:
    """Make doubles that differ from the usual; mark tests that use it with `docker`."""
    started: list[Double] = []

    def make(options: Options) -> DoubleCluster:
        double = Double(options).__enter__()
        started.append(double)
        return DoubleCluster(double)

    yield make
    for double in started:
        double.stop()


@pytest.fixture(scope="session")
def base_image() -> str:
    return distroless_image()


@pytest.fixture(scope="session")
def shell_image() -> str:
    return containers.build(["shell"])["shell"]


@pytest.fixture
def distroless(cluster: Cluster, base_image: str) -> str:
    """The image of a distroless server without a shell, known to the cluster."""
    cluster.load(base_image)
    return base_image


@pytest.fixture
def shell(cluster: Cluster, shell_image: str) -> str:
    """The image of a whole Debian, known to the cluster."""
    cluster.load(shell_image)
    return shell_image


@pytest.fixture
def scanners(auditor_image: str, bundle: Bundle, tmp_path: Path) -> Callable[[Cluster], Scanner]:
    """Make what scans in a cluster, which has the auditor's image then."""

    def make(cluster: Cluster) -> Scanner:
        cluster.load(auditor_image)
        return Scanner(cluster, auditor_image, bundle, tmp_path)

    return make


@pytest.fixture
def scanner(cluster: Cluster, scanners: Callable[[Cluster], Scanner]) -> Scanner:
    """Scan in the cluster."""
    return scanners(cluster)
