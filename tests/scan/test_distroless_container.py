"""The command for those who come from shell scripts says what `scan` says, and nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kubernetes import client

from tests import clusters
from tests.kubernetes.clusters import eventually
from toolkit import auditor
from toolkit.clusters import Cluster, RefusedError
from toolkit.demo import cluster as demo
from toolkit.distroless_container import NAME, scan_arguments
from toolkit.runtimes.kubernetes.rights import security_context

COMMAND = str(Path(sys.executable).with_name(NAME))
PROFILE = str(Path(__file__).parents[2] / "profiles" / "distroless-baseline")
FOUR = ("shop", "web-0", "app", PROFILE)
NOWHERE = {"KUBECONFIG": "/nowhere/kubeconfig"}


@pytest.fixture
def command(tmp_path):
    """Return a function that runs the command in a directory of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_what_it_stands_for():
    target = "--target=k8s-container://shop/web-0/app"
    assert scan_arguments(FOUR) == ["scan", target, f"--profile={PROFILE}"]
    assert scan_arguments([*FOUR, "gate.yml"]) == [
        "scan",
        target,
        f"--profile={PROFILE}",
        "--threshold=gate.yml",
    ]


def test_help_teaches(command):
    done = command("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("NAMESPACE", "POD", "CONTAINER", "PROFILE", "[THRESHOLD]", "barescan scan --target"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "got 0 of 4; write NAMESPACE POD CONTAINER PROFILE"),
        (FOUR[:3], "got 3 of 4: shop web-0 app; write NAMESPACE POD CONTAINER PROFILE"),
        (("shop", "web-0", "scap:a#b"), "got 3 of 4: shop web-0 'scap:a#b'; write"),
        (("a b", "\x1b[2J"), "got 2 of 4: 'a b' '?[2J'"),
        ((*FOUR, "gate.yml", "more"), "unrecognized arguments: more"),
        (("shop", "web-0", "", PROFILE), "'' is no CONTAINER"),
        (("shop", "web-0/app", "app", PROFILE), "'web-0/app' is no POD"),
        ((*FOUR, "--thresh", "gate.yml"), "--thresh"),
    ],
)
def test_bad_calls_teach_too(command, arguments, words):
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("usage: ")
    assert lines[-1].startswith("error: ")
    assert words in lines[-1]
    assert len(lines) < 8
    assert f"{NAME} --help" in done.stderr
    assert "barescan scan" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (FOUR, 2),
        (("shop", "web-0", "app", "none.txt"), 1),
        (("shop", "web-0", "app", ""), 1),
        (("shop", "Web_0", "app", PROFILE), 1),
        ((*FOUR, "none.yml"), 1),
    ],
)
def test_errors_are_those_of_scan(command, barescan, arguments, status):
    done = command(*arguments, **NOWHERE)
    same = barescan(*scan_arguments(arguments), env=os.environ | NOWHERE)
    assert (done.returncode, done.stdout, done.stderr) == (same.returncode, same.stdout, same.stderr)
    assert done.returncode == status
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_interrupted_at_any_time(tmp_path, number):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "config").write_text(
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": {"server": address}}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                    "users": [{"name": "c", "user": {}}],
                    "current-context": "c",
                }
            )
        )
        for connected in (False, True):
            process = subprocess.Popen(
                [COMMAND, *FOUR],
                cwd=tmp_path,
                env=os.environ | {"KUBECONFIG": str(tmp_path / "config")},
                stderr=subprocess.PIPE,
                text=True,
            )
            if connected:
                waiting, _ = silent.accept()  # and never answered
            else:
                _await_handlers(process.pid)
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 130, errors
            told = ["error: the scan was interrupted", "       it had not begun: there is no record"]
            assert errors.splitlines() == (told if connected else ["interrupted"])
        waiting.close()


def _await_handlers(pid: int) -> None:
    """Return once SIGTERM is caught, which Python itself leaves alone; nothing else was imported by then."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
        if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.005)
    pytest.fail("SIGTERM is not caught")


@pytest.mark.bundle
@pytest.mark.docker
@pytest.mark.cluster
@pytest.mark.slow
def test_a_scan_is_the_same_scan(command, barescan, tmp_path, auditor_image):
    environment = {"KUBECONFIG": clusters.kubeconfig()}
    (tmp_path / "gate.yml").write_text("failed:\n  critical: {max: 0}\n")
    cluster, image = clusters.reached(), clusters.load(auditor_image)
    with clusters.own_namespace(cluster) as namespace:
        _start(cluster, namespace, image)
        arguments = [namespace, "web", "app", "scap:debian12#anssi_bp28_minimal"]
        done = [command(*arguments, **environment), command(*arguments, "gate.yml", **environment)]
        same = barescan(*scan_arguments(arguments), env=os.environ | environment)
    assert [each.returncode for each in (*done, same)] == [100, 0, 100], done[0].stderr
    reports = [json.loads((path / "report.hdf.json").read_text()) for path in barescan.scans()]
    assert len(reports) == 3
    assert len({_statuses(report) for report in reports}) == 1
    assert "Compliance" in done[0].stdout


def _start(cluster: Cluster, namespace: str, image: str) -> None:
    """Run a pod with the auditor of this very version as a sidecar, for the command takes no --image."""
    pod = demo._pod("web", demo.STATIC)
    sidecar = client.V1Container(
        name=auditor.SIDECAR,
        image=image,
        args=auditor.wait_arguments(None),
        security_context=security_context(),
    )
    assert pod.spec is not None
    pod.spec.containers.append(sidecar)
    pod.spec.share_process_namespace = True
    eventually(lambda: _made(cluster, namespace, pod))
    eventually(lambda: _runs(cluster, namespace))


def _made(cluster: Cluster, namespace: str, pod: client.V1Pod) -> bool:
    try:
        cluster.call(cluster.core.create_namespaced_pod, namespace, pod)
    except RefusedError as refusal:
        if "serviceaccount" in refusal.message:  # which a new namespace has a moment later
            return False
        raise
    return True


def _runs(cluster: Cluster, namespace: str) -> bool:
    states = cluster.call(cluster.core.read_namespaced_pod, "web", namespace).status.container_statuses
    return bool(states) and all(each.state.running for each in states)


def _statuses(report):
    return tuple(
        (control["id"], tuple(result["status"] for result in control["results"]))
        for profile in report["profiles"]
        for control in profile["controls"]
    )
