"""What may happen in the middle: client, target or API server goes away; nothing half is called whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.containers import PROFILE
from tests.kubernetes import calls
from tests.kubernetes.clusters import Cluster, eventually
from tests.kubernetes.double.server import Faults, Options
from tests.kubernetes.scanning import AtFirstControl, Scanner
from toolkit import clusters
from toolkit.dockers import connect
from toolkit.errors import BarescanError, ScanError
from toolkit.runtimes.kubernetes import channels, runtime

pytestmark = [pytest.mark.bundle]
_OBEDIENT = {"command": ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"]}


def _status(cluster: Cluster, namespace: str, pod: str) -> Any:
    return cluster.api.read_namespaced_pod(pod, namespace).status


def _auditors_have_ended(cluster: Cluster, namespace: str, pod: str) -> bool:
    found = _status(cluster, namespace, pod).ephemeral_container_statuses or []
    return bool(found) and all(each.state.terminated for each in found)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_when_the_client_goes_the_auditor_goes_and_the_target_stays(
    cluster: Cluster,
    namespace: str,
    distroless: str,
    scanner: Scanner,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    pod = cluster.pod(namespace, distroless)
    before = _status(cluster, namespace, pod).container_statuses[0]
    command = [sys.executable, "-m", "toolkit", "scan", "--target", f"k8s-container://{namespace}/{pod}/app"]
    command += ["--profile", PROFILE, "--image", scanner.image, "--image-pull-policy", "Never"]
    command += ["--report-dir", str(tmp_path / "reports")]
    with subprocess.Popen(
        command,
        env=os.environ | {"KUBECONFIG": str(cluster.kubeconfig)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as client:
        assert client.stderr
        for line in client.stderr:
            if line.startswith("scan:"):
                break
        client.send_signal(number)
        said = client.stderr.read()
    if number == signal.SIGINT:
        assert client.returncode == 130, said
    eventually(lambda: _auditors_have_ended(cluster, namespace, pod), 20)
    after = _status(cluster, namespace, pod).container_statuses[0]
    assert (after.container_id, after.restart_count) == (before.container_id, 0)
    assert not list(tmp_path.glob("reports/*/*/report.hdf.json"))


@pytest.mark.parametrize("shared", [False, True], ids=["own pids", "shared pids"])
def test_a_target_that_restarts_in_the_middle_is_no_result(
    cluster: Cluster, namespace: str, shell: str, scanner: Scanner, shared: bool
) -> None:
    pod = cluster.pod(namespace, shell, container=_OBEDIENT, spec={"shareProcessNamespace": shared})
    main = "for each in /proc/[0-9]*; do grep -q '[t]rap' $each/cmdline && kill ${each#/proc/}; done"

    def end_it() -> None:
        calls.collect(calls.start(cluster, namespace, "sh", "-c", main, pod=pod))

    error = _refusal_of(scanner, f"{namespace}/{pod}/app", end_it)
    assert error.status == ScanError.status
    assert error.transient
    assert "restarted during the scan" in error.cause or "does not run" in error.cause
    assert not list(scanner.reports.glob("*/*/report.hdf.json"))


def _refusal_of(scanner: Scanner, target: str, action: Any) -> BarescanError:
    with pytest.raises(BarescanError) as raised:
        scanner(target, AtFirstControl(action))
    return raised.value


def test_an_api_server_that_restarts_in_the_middle_breaks_the_scan_off_and_the_next_one_is_whole(
    cluster: Cluster, namespace: str, distroless: str, scanner: Scanner
) -> None:
    pod = cluster.pod(namespace, distroless)
    error = _refusal_of(scanner, f"{namespace}/{pod}/app", cluster.restart_api)
    assert error.status == ScanError.status
    assert error.transient
    (record,) = scanner.reports.glob("*/*/scan.json")
    assert json.loads(record.read_text())["complete"] is False
    assert not list(scanner.reports.glob("*/*/report.hdf.json"))
    assert scanner(f"{namespace}/{pod}/app").summary.total > 20


def test_with_retries_a_scan_recovers_from_an_api_server_that_restarts(
    cluster: Cluster, namespace: str, distroless: str, scanner: Scanner
) -> None:
    pod = cluster.pod(namespace, distroless)
    watcher = AtFirstControl(cluster.restart_api)
    result, outcome = scanner.with_retries(f"{namespace}/{pod}/app", watcher, 2)
    assert result.summary.total > 20
    assert outcome.attempts > 1
    records = [json.loads(path.read_text()) for path in scanner.reports.glob("*/*/scan.json")]
    assert sorted(each["complete"] for each in records) == [*[False] * (outcome.attempts - 1), True]


def test_an_api_server_that_is_away_for_a_moment_before_is_waited_for(
    cluster: Cluster, namespace: str, distroless: str, scanner: Scanner
) -> None:
    pod = cluster.pod(namespace, distroless)
    scanner(f"{namespace}/{pod}/app", keep=60.0)  # the client knows the cluster by now
    restarting = threading.Thread(target=cluster.restart_api)
    restarting.start()
    time.sleep(0.2)
    assert scanner(f"{namespace}/{pod}/app").summary.total > 20
    restarting.join()


@pytest.mark.docker
def test_a_busy_api_server_is_asked_again(doubles: Any, base_image: str, scanners: Any) -> None:
    cluster = doubles(Options())
    scanner, namespace = scanners(cluster), cluster.namespace()
    pod = cluster.pod(namespace, base_image)
    scanner(f"{namespace}/{pod}/app")
    cluster.double.options.faults = Faults(too_many=3)
    assert scanner(f"{namespace}/{pod}/app").summary.total > 20
    assert cluster.double.options.faults.too_many == 0


@pytest.mark.docker
def test_a_request_that_is_never_answered_is_made_again(
    doubles: Any, base_image: str, scanners: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = doubles(Options())
    scanner, namespace = scanners(cluster), cluster.namespace()
    pod = cluster.pod(namespace, base_image)
    scanner(f"{namespace}/{pod}/app")
    monkeypatch.setattr(clusters, "_TIMEOUT", (5, 1))
    cluster.double.options.faults = Faults(hang=2, only=f"GET /api/v1/namespaces/{namespace}/pods")
    assert scanner(f"{namespace}/{pod}/app").summary.total > 20
    assert cluster.double.options.faults.hang == 0


@pytest.mark.docker
def test_an_auditor_that_ends_without_a_word_is_noticed(
    doubles: Any, base_image: str, scanners: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = doubles(Options())
    scanner, namespace = scanners(cluster), cluster.namespace()
    pod = cluster.pod(namespace, base_image)
    monkeypatch.setattr(channels._Carrier, "_hang_up", lambda _self: time.sleep(0.1))  # the end is not told
    monkeypatch.setattr(runtime, "_WATCH_SECONDS", 0.5)

    def kill() -> None:
        (auditor,) = _status(cluster, namespace, pod).ephemeral_container_statuses
        connect().containers.get(auditor.container_id.rpartition("://")[2]).kill()

    with pytest.raises(ScanError, match="broke off"):
        scanner(f"{namespace}/{pod}/app", AtFirstControl(kill))
