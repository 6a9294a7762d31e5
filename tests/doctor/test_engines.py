"""Docker engines: none, one, and auditor images that are none or of another version."""

from __future__ import annotations

import io
import socket
import threading
import time

import pytest

from tests.containers import distroless_image
from tests.doctor.conftest import NOWHERE
from toolkit.auditor import AGENT_LABEL
from toolkit.dockers import connect
from toolkit.doctor.engines import docker_engine
from toolkit.doctor.records import NotSetUpError

DOCKER = "docker://"


@pytest.fixture
def no_cluster(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", NOWHERE["KUBECONFIG"])


def test_an_engine_that_is_not_there(doctor):
    said = doctor(**NOWHERE)
    assert said.state(DOCKER, "engine") == "no"
    assert "unix:///nowhere/docker.sock" in said.words(DOCKER, "engine")
    assert "systemctl start docker" in said.words(DOCKER, "engine")
    assert said.ways[DOCKER] == "can't be used: engine"
    assert said.state("image://", "images by name") == "no"
    assert "image:///path" in said.words("image://", "images by name")


@pytest.mark.slow
def test_an_engine_that_never_answers_is_given_up(doctor, no_cluster):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        said = doctor(DOCKER_HOST=f"tcp://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - began < 20
    assert said.state(DOCKER, "answer") == "no"
    assert said.ways[DOCKER] == "can't be used: answer"


def test_an_engine_of_which_nothing_is_known_is_not_set_up(tmp_path, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("toolkit.doctor.engines._DOCKER_SOCKET", tmp_path / "docker.sock")
    with pytest.raises(NotSetUpError, match="DOCKER_HOST"):
        docker_engine("x")
    (tmp_path / "docker.sock").touch()  # something is, or was, there
    assert next(docker_engine("x")).name == "engine"


def test_podman_is_looked_for_where_its_socket_is(doctor, tmp_path, no_cluster):
    said = doctor(XDG_RUNTIME_DIR=str(tmp_path), CONTAINER_HOST="", DOCKER_HOST=NOWHERE["DOCKER_HOST"])
    assert said.ways["podman://"].startswith("not set up: there is no socket of Podman")
    said = doctor(CONTAINER_HOST="unix:///nowhere/podman.sock", DOCKER_HOST=NOWHERE["DOCKER_HOST"])
    assert said.state("podman://", "engine") == "no"
    assert "podman.socket" in said.words("podman://", "engine")


@pytest.mark.docker
@pytest.mark.bundle
def test_an_engine_with_the_auditor_image(doctor, auditor_image, no_cluster):
    said = doctor("--image", auditor_image)
    assert [state for state, _ in said.checks[DOCKER].values()] == ["ok"] * 3
    assert connect().version()["Version"] in said.words(DOCKER, "engine")
    assert said.ways[DOCKER] == "can be used"
    assert said.state("image://", "images by name") == "ok"
    assert said.status == 0


@pytest.mark.docker
def test_images_that_are_no_auditor_of_this_version(doctor, no_cluster):
    said = doctor("--image", "barescan-none:1")
    assert said.state(DOCKER, "auditor image") == "no"
    assert "invoke images.build" in said.words(DOCKER, "auditor image")
    assert said.ways[DOCKER] == "can't be used: auditor image"

    assert "is no auditor image" in doctor("--image", distroless_image()).words(DOCKER, "auditor image")

    client, tag = connect(), "barescan-test-old:1"
    client.images.build(
        fileobj=io.BytesIO(f"FROM {distroless_image()}\nLABEL {AGENT_LABEL}=other\n".encode()), tag=tag
    )
    try:
        said = doctor("--image", tag)
    finally:
        client.images.remove(tag, force=True)
    assert "of another version" in said.words(DOCKER, "auditor image")
    assert said.ways[DOCKER] == "can't be used: auditor image"


def test_an_engine_that_says_nonsense(doctor, no_cluster):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_talk_nonsense, args=(server,), daemon=True).start()
        said = doctor(DOCKER_HOST=f"tcp://127.0.0.1:{server.getsockname()[1]}")
    assert said.state(DOCKER, "engine") == "no"


def _talk_nonsense(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[1, 2,]")
