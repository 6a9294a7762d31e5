"""Containers of a real Docker Engine: what the auditor may do and finds, and that nothing of it is left."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import multiprocessing
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from tests.containers import PROFILE, distroless_image, running
from toolkit.auditor import CAPABILITIES, SCAN_LABEL, Auditing
from toolkit.dockers import connect
from toolkit.engines.base import Progress
from toolkit.errors import BarescanError, ScanError
from toolkit.runtimes.base import resolve
from toolkit.runtimes.docker import remove_leftovers
from toolkit.scan import Request, Result, Watcher, scan

pytestmark = [pytest.mark.docker, pytest.mark.bundle]


@pytest.fixture(scope="module")
def image() -> str:
    return distroless_image()


@pytest.fixture
def target(image):
    with running(image) as container:
        yield container


def _auditors(target: Container | None = None) -> list[Any]:
    """Return the auditors there are, or those beside one target."""
    found = connect().containers.list(all=True, filters={"label": SCAN_LABEL}, ignore_removed=True)
    beside = f"container:{target.id}" if target else ""
    return [each for each in found if not target or each.attrs["HostConfig"]["PidMode"] == beside]


def _none_left(target: Container, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while _auditors(target) and time.monotonic() < until:
        time.sleep(0.1)
    return not _auditors(target)


def _scan(uri: str, image: str, reports: Path, bundle, watcher: Watcher | None = None) -> Result:
    request = Request(uri, PROFILE, report_dir=reports, auditing=Auditing(image))
    return scan(request, lambda: bundle, watcher)


def _results(result: Result) -> dict[str, list[str]]:
    controls = result.report["profiles"][0]["controls"]
    return {control["id"]: [each["status"] for each in control["results"]] for control in controls}


class _AtFirstControl(Watcher):
    """Does something once, in the middle of a scan."""

    def __init__(self, action) -> None:
        self._action = action

    def control(self, progress: Progress) -> None:
        action, self._action = self._action, None
        if action:
            action()


def test_a_container_is_scanned_with_the_least_rights_and_nothing_is_left(
    target, auditor_image, tmp_path, bundle
):
    seen: list[dict[str, Any]] = []
    watcher = _AtFirstControl(lambda: seen.extend(each.attrs for each in _auditors(target)))
    result = _scan(f"docker://{target.name}", auditor_image, tmp_path, bundle, watcher)
    assert result.summary.total > 20
    (auditor,) = seen
    host = auditor["HostConfig"]
    assert sorted(host["CapAdd"]) == sorted(CAPABILITIES)
    assert host["CapDrop"] == ["ALL"]
    assert host["Privileged"] is False
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["PidMode"] == f"container:{target.id}"
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert not auditor["Mounts"]
    assert not host["Binds"]
    assert _none_left(target)
    assert connect().api.diff(target.id) is None
    facts = json.loads((result.folder / "scan.json").read_text())["target"]
    assert facts["container"]["id"] == target.id
    assert facts["image_id"] == target.image.id
    assert facts["uri"] == f"docker://{target.name}"


def test_every_control_has_the_same_result_as_from_the_host(target, auditor_image, tmp_path, bundle):
    beside = _results(_scan(f"docker://{target.name}", auditor_image, tmp_path, bundle))
    pid = connect().api.inspect_container(target.id)["State"]["Pid"]
    from_host = _results(_scan(f"pid://{pid}", auditor_image, tmp_path, bundle))
    assert beside == from_host


@pytest.mark.parametrize("shared", ["host", "container"])
def test_a_target_in_another_pid_namespace_is_still_the_one_that_is_scanned(
    shared, image, target, auditor_image, tmp_path, bundle
):
    mode = "host" if shared == "host" else f"container:{target.id}"
    with running(image, pid_mode=mode, user="1234:1234") as other:
        result = _scan(f"docker://{other.name}", auditor_image, tmp_path, bundle)
    facts = json.loads((result.folder / "scan.json").read_text())["target"]
    assert facts["container"]["id"] == other.id
    assert facts["target"]["uid"] == 1234


def _start_client(target: Container, auditor_image: str, reports: Path) -> subprocess.Popen[bytes]:
    run = "from toolkit.cli import program; program.run()"
    options = ["--profile", PROFILE, "--report-dir", str(reports), "--image", auditor_image]
    client = subprocess.Popen(
        [sys.executable, "-c", run, "scan", "--target", f"docker://{target.name}", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not any(each.status == "running" for each in _auditors(target)) and time.monotonic() < until:
        time.sleep(0.02)
    assert client.poll() is None, "the scan ended before it could be interrupted"
    return client


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_client_is_stopped(number, target, auditor_image, tmp_path):
    client = _start_client(target, auditor_image, tmp_path)
    client.send_signal(number)
    client.wait(30)
    assert _none_left(target)
    target.reload()
    assert target.status == "running"
    assert connect().api.diff(target.id) is None


def _stop(container: Container) -> None:
    container.kill()
    container.wait()


def _restart(container: Container) -> None:
    container.restart(timeout=0)


@pytest.mark.parametrize(("action", "words"), [(_stop, "stopped during"), (_restart, "restarted during")])
def test_a_container_that_stops_or_restarts_meanwhile_is_no_result(
    action, words, target, auditor_image, tmp_path, bundle
):
    with pytest.raises(ScanError, match=words):
        _scan(
            f"docker://{target.name}",
            auditor_image,
            tmp_path,
            bundle,
            _AtFirstControl(lambda: action(target)),
        )
    assert _none_left(target)


def test_only_what_runs_can_be_scanned(target, auditor_image, tmp_path, bundle):
    uri = f"docker://{target.name}"
    target.pause()
    with pytest.raises(ScanError, match=r"is paused.*image://"):
        _scan(uri, auditor_image, tmp_path, bundle)
    target.unpause()
    _stop(target)
    with pytest.raises(ScanError, match=r"is not running.*image://"):
        _scan(uri, auditor_image, tmp_path, bundle)
    with pytest.raises(ScanError, match=r"has no container 'nobody'"):
        _scan("docker://nobody", auditor_image, tmp_path, bundle)


def test_the_auditor_image_must_be_there_and_of_this_version(target, image, tmp_path, bundle):
    uri = f"docker://{target.name}"
    with pytest.raises(ScanError, match=r"has no image no-such:1.*images\.build.*images\.load"):
        _scan(uri, "no-such:1", tmp_path, bundle)
    with pytest.raises(ScanError, match="no auditor"):
        _scan(uri, image, tmp_path, bundle)


def test_leftovers_of_clients_that_died_are_removed(image):
    client = connect()
    passed = client.containers.create(image, labels={SCAN_LABEL: str(int(time.time()) - 1)})
    future = client.containers.create(image, labels={SCAN_LABEL: str(int(time.time()) + 3600)})
    try:
        assert passed.id in remove_leftovers(client)
        assert future.id in {each.id for each in _auditors()}
    finally:
        future.remove(force=True)


def test_no_engine_is_said_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(ScanError, match=r"no docker engine answers.*No such file.*DOCKER_HOST"):
        resolve("docker://x").job()
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(ScanError, match=r"no podman engine answers.*podman\.socket"):
        resolve("podman://x").job()


def test_no_permission_is_said_with_what_to_do():
    connect()  # so that everything is imported which another user might not be allowed to read
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as other:
        said = other.submit(_as_nobody).result()
    assert "no permission to use the docker engine" in said
    assert "sudo" in said


def _as_nobody() -> str:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    try:
        connect()
    except ScanError as error:
        return str(error)
    return "the engine answered"


class _OldEngine(http.server.BaseHTTPRequestHandler):
    """Not an engine: answers every question as one from 2018 would answer for its version."""

    def do_GET(self) -> None:
        body = json.dumps({"ApiVersion": "1.38", "MinAPIVersion": "1.12", "Os": "linux"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def test_an_engine_that_is_too_old_is_refused(monkeypatch):
    with http.server.HTTPServer(("127.0.0.1", 0), _OldEngine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        with pytest.raises(BarescanError, match=r"speaks version 1\.38.*1\.40"):
            connect()
        server.shutdown()


class _ToEngine(socketserver.BaseRequestHandler):
    """Carries one connection on to the engine's socket, as a tunnel from another host would."""

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect("/var/run/docker.sock")
            self.server.carried += [engine, self.request]  # type: ignore[attr-defined]
            back = threading.Thread(target=self._carry, args=(engine, self.request), daemon=True)
            back.start()
            self._carry(self.request, engine)
            back.join()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


class _Tunnel(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ToEngine)
        self.carried: list[socket.socket] = []
        self.address = f"tcp://127.0.0.1:{self.server_address[1]}"

    def collapse(self) -> None:
        """Take no more connections and break those there are."""
        self.shutdown()
        self.server_close()
        for end in self.carried:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tunnel() -> Iterator[_Tunnel]:
    with _Tunnel() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_an_engine_of_another_host_does_it_all_over_its_api(
    tunnel, target, auditor_image, tmp_path, bundle, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", tunnel.address)
    result = _scan(f"docker://{target.name}", auditor_image, tmp_path, bundle)
    assert result.summary.total > 20
    assert _none_left(target)


def test_an_engine_that_goes_away_meanwhile_is_no_result(
    tunnel, target, auditor_image, tmp_path, bundle, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", tunnel.address)
    with pytest.raises(ScanError, match="engine went away during the scan"):
        _scan(f"docker://{target.name}", auditor_image, tmp_path, bundle, _AtFirstControl(tunnel.collapse))
    monkeypatch.delenv("DOCKER_HOST")
    assert _none_left(target)


def test_the_current_docker_context_is_used(tunnel, target, tmp_path, monkeypatch):
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"elsewhere").hexdigest()
    meta.mkdir(parents=True)
    (tmp_path / "config.json").write_text('{"currentContext": "elsewhere"}')
    endpoint = {"docker": {"Host": tunnel.address, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": "elsewhere", "Metadata": {}, "Endpoints": endpoint}))
    ask = "from toolkit.dockers import connect; print(connect().api.base_url)"
    environment = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env=environment | {"DOCKER_CONFIG": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == tunnel.address.replace("tcp", "http"), done.stderr
    broken = environment | {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", ask], env=broken, capture_output=True, text=True, check=False
    )
    assert "nowhere" in done.stderr
