"""Many pods at once: what can't be scanned stops none of the others, and every target has its own outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.containers import PROFILE
from tests.kubernetes.clusters import Cluster, eventually
from tests.kubernetes.scanning import Scanner

pytestmark = [pytest.mark.bundle, pytest.mark.slow]
_GOOD = 27
_LABELS = {"app": "many"}


def _scan(cluster: Cluster, image: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toolkit", "scan", "--profile", PROFILE, "--image", image]
    command += ["--image-pull-policy", "Never", "--report-dir", str(folder / "reports"), *more]
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _run(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("reports/*/run.json")
    said: dict[str, Any] = json.loads(path.read_text())
    return said


@pytest.fixture
def pods(cluster: Cluster, namespace: str, distroless: str, shell: str) -> list[str]:
    """Twenty-seven pods that run, and three that are broken in different ways."""
    for number in range(_GOOD):
        cluster.pod(namespace, distroless, name=f"good-{number:02}", labels=_LABELS, wait=False)
    cluster.pod(
        namespace,
        shell,
        name="bad-pending",
        labels=_LABELS,
        spec={"nodeSelector": {"no": "such"}},
        wait=False,
    )
    failing = {"command": ["false"]}
    cluster.pod(namespace, shell, name="bad-looping", labels=_LABELS, container=failing, wait=False)
    static = {"kubernetes.io/config.mirror": "0"}
    cluster.pod(
        namespace,
        shell,
        name="bad-static",
        labels=_LABELS,
        annotations=static,
        spec={"nodeName": "nowhere"},
        wait=False,
    )

    def all_run() -> bool:
        found = cluster.api.list_namespaced_pod(namespace, label_selector="app=many").items
        good = [each for each in found if str(each.metadata.name).startswith("good")]
        return len(good) == _GOOD and all(each.status.phase == "Running" for each in good)

    eventually(all_run, 180)
    return [each.metadata.name for each in cluster.api.list_namespaced_pod(namespace).items]


def test_thirty_pods_with_three_broken(
    cluster: Cluster, namespace: str, pods: list[str], scanner: Scanner, tmp_path: Path
) -> None:
    done = _scan(
        cluster, scanner.image, tmp_path, "--selector", "app=many", "--namespace", namespace, "--jobs", "8"
    )
    said = _run(tmp_path)
    outcomes = {each["uri"].split("/")[3]: each for each in said["targets"]}
    assert sorted(outcomes) == sorted(pods)
    assert done.returncode == 2, done.stderr
    good = [each for name, each in outcomes.items() if name.startswith("good")]
    assert {each["status"] for each in good} <= {0, 100, 101}
    reports = [path.parent.name for path in tmp_path.glob("reports/*/*/report.hdf.json")]
    assert sorted(reports) == sorted(each["folder"] for each in good)
    assert len(reports) == _GOOD
    causes = {name: each["cause"] for name, each in outcomes.items() if name.startswith("bad")}
    assert "is on no node yet" in causes["bad-pending"]
    assert "does not run" in causes["bad-looping"]
    assert "is a static pod" in causes["bad-static"]
    assert "30 targets in " in done.stdout
    assert "one after another they would have taken" in done.stdout
    assert "3 could not be scanned" in done.stdout
    assert done.stderr.count("Kubernetes keeps the entries of ephemeral containers") == 1
    left = cluster.api.list_namespaced_pod(namespace).items
    assert not [
        container
        for pod in left
        for container in pod.status.container_statuses or []
        if pod.metadata.name.startswith("good") and container.restart_count
    ]


def test_shards_share_the_pods_and_a_pod_alone_means_all_its_containers(
    cluster: Cluster, namespace: str, distroless: str, shell: str, scanner: Scanner, tmp_path: Path
) -> None:
    containers = [
        {"name": "app", "image": distroless, "imagePullPolicy": "Never"},
        {"name": "more", "image": shell, "imagePullPolicy": "Never", "command": ["sleep", "3600"]},
    ]
    manifest = {"metadata": {"name": "two"}, "spec": {"containers": containers}}
    pod = cluster.pod(namespace, manifest=manifest)
    target = f"k8s-container://{namespace}/{pod}"
    seen = []
    for index in range(2):
        _scan(cluster, scanner.image, tmp_path / str(index), "--target", target, "--shard", f"{index}/2")
        seen += [path.parent.name for path in (tmp_path / str(index)).glob("reports/*/*/report.hdf.json")]
    assert sorted(seen) == [f"k8s-container-{namespace}-{pod}-{name}" for name in ("app", "more")]
