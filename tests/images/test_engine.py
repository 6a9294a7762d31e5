"""The auditor image in a real engine: built twice, tested, carried, pushed, and by what messages it fails."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.models.images import Image

from tests.images.signing import Pair, SignedLayout, payload
from toolkit.agent.source import source_sha256
from toolkit.auditor import AGENT_LABEL, BUNDLE_LABEL
from toolkit.bundle.build import Bundle
from toolkit.bundle.tree import EPOCH, digest
from toolkit.dockers import connect
from toolkit.errors import CallError, ScanError
from toolkit.images import archive, build, content, figures, registry, selftest, verify

NAME = f"barescan-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    return connect()


@pytest.fixture(scope="module")
def image(client: docker.DockerClient, bundle: Bundle) -> Iterator[Image]:
    """An auditor image of this module's own, built without the engine's cache."""
    yield build.from_bundle(client, bundle, build.Options(f"{NAME}:1", fresh=True), print)
    client.images.remove(f"{NAME}:1", force=True)


def barescan(*arguments: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    run = f"{code}\nfrom toolkit.cli import program; program.run(['barescan', *{list(arguments)!r}])"
    return subprocess.run(
        [sys.executable, "-c", run],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "COLUMNS": "300", **environment},
    )


@pytest.mark.docker
@pytest.mark.bundle
class TestBuilt:
    def test_two_builds_give_the_same_layer(self, client, bundle, image):
        time.sleep(1.1)  # a time of the build in a layer would show
        again = build.from_bundle(client, bundle, build.Options(f"{NAME}:again", fresh=True), print)
        try:
            assert again.attrs["RootFS"]["Layers"] == image.attrs["RootFS"]["Layers"]
            assert len(again.attrs["RootFS"]["Layers"]) == 1
        finally:
            client.images.remove(f"{NAME}:again")

    def test_it_holds_nothing_but_barescan_and_no_time_of_the_build(self, image, tmp_path):
        with (tmp_path / "image.tar").open("wb") as file:
            for chunk in image.save():
                file.write(chunk)
        with tarfile.open(tmp_path / "image.tar") as saved:
            layer = json.load(saved.extractfile("manifest.json"))[0]["Layers"][0]  # type: ignore[arg-type]
            with tarfile.open(fileobj=saved.extractfile(layer)) as files:
                members = files.getmembers()
        assert {member.name.split("/")[0] for member in members} == {"barescan"}
        assert {member.mtime for member in members} == {EPOCH}
        assert {(member.uid, member.gid) for member in members} == {(0, 0)}
        assert {member.mode & 0o7777 for member in members if not member.issym()} == {0o755, 0o644}
        assert "bin" in {member.name.split("/")[1] for member in members if "/" in member.name}

    def test_its_labels_are_true(self, image, bundle, tmp_path):
        assert image.labels[BUNDLE_LABEL] == digest(bundle.path)
        assert image.labels[AGENT_LABEL] == source_sha256()
        standard = {name.rpartition(".")[2] for name in image.labels if name.startswith("org.opencontainers")}
        assert {"title", "description", "version", "licenses"} <= standard
        assert image.attrs["Config"]["Entrypoint"] == content.START
        assert image.attrs["Config"]["User"] == "0:0"

    def test_it_is_as_small_as_was_aimed_at(self, client, image, bundle):
        assert figures.unpacked(image) <= figures.GOAL_UNPACKED
        assert figures.as_gzip(client, image) <= 1.1 * figures.GOAL_COMPRESSED

    def test_its_agent_ends_by_itself_when_nobody_speaks_to_it(self, client, image):
        container = client.containers.create(image.id, network_mode="none", read_only=True)
        try:
            container.start()
            assert container.wait(timeout=20)["StatusCode"] == 1
            assert b"the other side has closed the stream" in container.logs()
        finally:
            container.remove(force=True)

    def test_building_anew_does_not_pile_up_images(self, client, bundle):
        tag = f"{NAME}:pile"
        first = build.from_bundle(client, bundle, build.Options(tag, fresh=True), print)
        second = build.from_bundle(client, bundle, build.Options(tag, fresh=True), print)
        try:
            known = {each.id for each in client.images.list(all=True)}
            assert second.id in known
            assert first.id == second.id or first.id not in known
        finally:
            client.images.remove(tag)


@pytest.mark.docker
@pytest.mark.bundle
@pytest.mark.slow
class TestSelfTest:
    def test_every_program_starts_beside_an_empty_container(self, client, image, bundle):
        found = selftest.selftest(client, image, print)
        assert {name: complaint for name, complaint in found.items() if complaint} == {}
        programs = {path.name for path in (bundle.path / "bin").iterdir()}
        assert set(found) == programs | {f"engine {name}" for name in bundle.manifest["engines"]}
        mine = [each for each in client.containers.list(all=True) if each.attrs["Image"] == image.id]
        assert mine == []

    def test_a_broken_program_is_named(self, client, bundle, tmp_path):
        shutil.copytree(bundle.path, tmp_path / "bundle", symlinks=True)
        (tmp_path / "bundle/bin/stat").write_bytes(b"\x7fELF")
        (tmp_path / "bundle/lib/libproc2.so.0").unlink(missing_ok=True)
        broken = build.from_bundle(
            client, Bundle(tmp_path / "bundle", bundle.manifest), build.Options(f"{NAME}:broken"), print
        )
        try:
            found = selftest.selftest(client, broken, print)
            assert "did not start" in found["stat"]
            assert "shared libraries" in found["ps"]
            assert not found["ls"]
        finally:
            client.images.remove(f"{NAME}:broken")

    def test_an_image_that_is_no_auditor_is_refused(self, client):
        client.api.import_image_from_data(_empty_archive(), repository=NAME, tag="empty")
        try:
            with pytest.raises(ScanError):
                selftest.selftest(client, client.images.get(f"{NAME}:empty"), print)
        finally:
            client.images.remove(f"{NAME}:empty")


def _empty_archive() -> bytes:
    import io  # noqa: PLC0415

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive_file:
        archive_file.addfile(tarfile.TarInfo("nothing"))
    return packed.getvalue()


@pytest.mark.docker
@pytest.mark.bundle
@pytest.mark.slow
def test_an_image_is_the_same_after_it_was_carried(client, image, tmp_path):
    client.images.get(image.id).tag(NAME, "carried")
    digest_there = archive.save(client, [f"{NAME}:carried"], [], tmp_path / "a.tar.gz", print)
    client.images.remove(f"{NAME}:carried", noprune=True)
    loaded = archive.load(client, tmp_path / "a.tar.gz", print, digest_there)
    try:
        assert loaded.images == (f"{NAME}:carried",)
        assert client.images.get(f"{NAME}:carried").id == image.id
    finally:
        client.images.remove(f"{NAME}:carried", noprune=True)


# --- registries --------------------------------------------------------


@pytest.fixture(scope="module")
def local_registry(tmp_path_factory) -> Iterator[str]:
    """Debian's registry program on a free port of this host; its address."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("needs docker-registry (apt-get install docker-registry)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    place = tmp_path_factory.mktemp("registry")
    (place / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {place}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{address.rpartition(':')[2]}'}}\n"
    )
    with (place / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", str(place / "config.yml")], stdout=log, stderr=log)
    try:
        _until_it_answers(f"http://{address}/v2/")
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _until_it_answers(url: str) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


@pytest.mark.docker
@pytest.mark.bundle
class TestRegistry:
    def test_what_is_pushed_can_be_pulled_by_the_digest_that_is_told(self, client, image, local_registry):
        where = f"{local_registry}/security/auditor"
        by_digest = registry.push(client, f"{NAME}:1", f"{where}:v1", print)
        assert by_digest.startswith(f"{where}@sha256:")
        request = urllib.request.Request(
            f"http://{local_registry}/v2/security/auditor/manifests/v1",
            headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.headers["Docker-Content-Digest"] == by_digest.partition("@")[2]
        client.images.remove(f"{where}:v1", noprune=True)
        name, _, digest_told = by_digest.partition("@")
        pulled = client.images.pull(name, digest_told)
        try:
            assert pulled.id == image.id
            listed = [each for each in registry.auditors(client) if each.identity == image.id]
            assert by_digest in listed[0].names
            assert listed[0].usable is (image.labels[AGENT_LABEL] == source_sha256())
        finally:
            client.images.remove(by_digest, noprune=True)

    def test_a_registry_that_is_not_there_leaves_no_name_behind(self, client, image):
        with pytest.raises(ScanError, match="can't be reached"):
            registry.push(client, f"{NAME}:1", "localhost:1/auditor:v1", print)
        assert "localhost:1/auditor:v1" not in client.images.get(image.id).tags

    def test_an_image_that_is_not_there_is_named(self, client):
        with pytest.raises(ScanError, match="has no image nonesuch:1"):
            registry.push(client, "nonesuch:1", "localhost:1/auditor:v1", print)


def copied(address: str, name: str, digest: str, layout: SignedLayout) -> None:
    """Copy an image out of a registry, manifest and blobs as they are, as `cosign save` does."""

    def fetched(kind: str, what: str, media_type: str) -> bytes:
        asked = urllib.request.Request(
            f"http://{address}/v2/{name}/{kind}/{what}", headers={"Accept": media_type}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return bytes(answer.read())

    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = fetched("manifests", digest, kind)
    parts = json.loads(manifest)
    for each in (parts["config"], *parts["layers"]):
        layout.blob(fetched("blobs", each["digest"], "*/*"), each["mediaType"])
    layout.listed(layout.blob(manifest, kind), "image")


@pytest.mark.docker
@pytest.mark.bundle
@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to sign with")
class TestSigned:
    """A signature made outside of barescan leads to the very image that the engine has."""

    def test_from_the_registry_s_digest_to_an_image_known_by_its_id_only(
        self, client, image, local_registry, tmp_path
    ):
        name, pair = "team/auditor", Pair(tmp_path / "keys")
        where = f"{local_registry}/{name}"
        signed = registry.push(client, f"{NAME}:1", f"{where}:v1", print).partition("@")[2]
        content = payload(signed, where)
        (tmp_path / "a.json").write_bytes(content)
        (tmp_path / "a.sig").write_text(pair.sign(content))
        files = verify.Wanted(pair.public, tmp_path / "a.sig", tmp_path / "a.json")
        layout = SignedLayout(tmp_path / "layout")
        copied(local_registry, name, signed, layout)
        layout.sign(pair, signed)
        beside = verify.Wanted(pair.public, layout.path)
        try:
            pushed = client.images.get(f"{where}:v1")
            assert "by this digest" in verify.image_signature(pushed, files, print)[1]
            assert "by this digest" in verify.image_signature(pushed, beside, print)[1]
            assert "3 blobs" in verify.check(layout.path, beside, print)[1]
        finally:
            client.images.remove(f"{where}:v1", noprune=True)
        local = client.images.get(f"{NAME}:1")
        assert not local.attrs["RepoDigests"]
        with pytest.raises(ScanError, match="by its id only"):
            verify.image_signature(local, files, print)
        assert "its id is the configuration" in verify.image_signature(local, beside, print)[1]

    def test_images_verify_starts_nothing_of_an_image_that_is_not_signed(self, client, image, tmp_path):
        pair = Pair(tmp_path / "keys")
        layout = SignedLayout(tmp_path / "layout")
        layout.sign(pair, layout.image())
        done = barescan(
            *("images.verify", "--tag", f"{NAME}:1", "--key", str(pair.public)),
            *("--signature", str(layout.path)),
        )
        assert done.returncode == 2
        assert "the signature is of another image" in done.stderr
        assert "starts" not in done.stdout

    def test_images_verify_without_a_key_holds_the_image_against_its_papers(self, client, image):
        found = verify.image_papers(client, image, print)
        assert image.labels[BUNDLE_LABEL] in found[0]
        assert "provenance.intoto.json" in found[2]


@pytest.mark.parametrize("name", ["", "a@sha256:00", "registry/", "Registry/Upper:1", ":tag"])
def test_what_is_no_name_to_push_to_is_refused(name):
    with pytest.raises(CallError):
        registry.push(None, "x", name, print)  # type: ignore[arg-type]


# --- what the user reads -----------------------------------------------

TASKS = [
    ("images.build",),
    ("images.build", "--with-network"),
    ("images.build", "--kind", "cli"),
    ("images.save", "--file", "a.tar"),
    ("images.load", "--file", "a.tar"),
    ("images.verify",),
    ("images.list",),
    ("images.push", "--to", "localhost:1/x:1"),
]


@pytest.mark.parametrize("task", TASKS, ids=" ".join)
def test_without_an_engine_every_task_says_so(task, tmp_path):
    done = barescan(*task, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 2
    assert f"no docker engine answers at unix://{tmp_path}/none.sock" in done.stderr
    assert "start it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.docker
def test_without_the_right_to_use_the_engine_it_is_said_so():
    modules = "os, rich._emoji_codes, toolkit.cli, toolkit.images.registry, toolkit.dockers"
    drop = f"import {modules}; os.setgroups([]); os.setuid(65534)"
    done = barescan("images.list", code=drop, HOME="/nonexistent")
    assert done.returncode == 2
    assert "no permission to use the docker engine" in done.stderr
    assert "sudo" in done.stderr


class _OldEngine(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"ApiVersion": "1.38", "Version": "18.06", "Os": "linux"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        return "socket"


def test_an_old_engine_is_refused_with_the_version_that_is_needed(tmp_path):
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "old.sock"), _OldEngine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = barescan("images.list", DOCKER_HOST=f"unix://{tmp_path}/old.sock")
        server.shutdown()
    assert done.returncode == 2
    assert "1.38" in done.stderr
    assert "1.40" in done.stderr


@pytest.mark.docker
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("images.build", "--kind", "other"), 1, "there is no image 'other'"),
        (("images.build", "--engine", "lxc"), 1, "there is no engine 'lxc'"),
        (("images.build", "--network", "host"), 1, "are for --with-network"),
        (("images.build", "--with-network", "--gems", "/nowhere"), 1, "/nowhere is no directory of gems"),
        (("images.save",), 1, "no file was named"),
        (("images.save", "--file", "a.tar", "--tag", "nonesuch:1"), 2, "has no image nonesuch:1"),
        (("images.load", "--file", "/nowhere.tar"), 1, "there is no file /nowhere.tar"),
        (("images.verify", "--tag", "nonesuch:1"), 2, "has no image nonesuch:1"),
        (("images.push",), 1, "no name to push to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_call_that_can_not_work_is_answered_with_a_sentence(arguments, status, said, tmp_path):
    done = barescan(*arguments)
    assert said in done.stderr
    assert done.returncode == status
    assert "Traceback" not in done.stderr


@pytest.mark.docker
def test_a_base_image_that_can_not_be_had_is_named(client):
    options = build.Options(f"{NAME}:none", base="localhost:1/nowhere:1")
    with pytest.raises(ScanError, match="no base image localhost:1/nowhere:1") as caught:
        build.with_network(client, None, options, print)
    assert "without --with-network" in caught.value.remedy
