"""Images that are broken or hostile are refused with status 2, a cause and a remedy; nothing is left."""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtimes.image_builders import (
    OCI,
    Layout,
    entry,
    hard_link,
    layer,
    layout,
    link,
    saved,
)
from toolkit.errors import BarescanError, CallError, ScanError
from toolkit.runtimes.base import resolve
from toolkit.runtimes.image import ImageRuntime
from toolkit.unpack import limits

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci (apt-get install umoci)"),
]
PLAIN = layer(entry("etc/"), entry("etc/hostname", b"x"))


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch) -> Iterator[Path]:
    """A TMPDIR of its own, which must be empty again afterwards; the victim beside it must be whole."""
    place, victim = tmp_path / "scratch", tmp_path / "victim"
    place.mkdir()
    victim.mkdir()
    (victim / "file").write_text("whole")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []
    assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("file", "whole")]
    assert (victim / "file").stat().st_nlink == 1


def refused(path: Path, *words: str, kind: type[BarescanError] = ScanError, selector: str = "") -> None:
    """Assert that the image is refused for this reason, in one line, with a next step."""
    runtime = resolve(f"image://{path}{selector}")
    assert isinstance(runtime, ImageRuntime)
    with pytest.raises(kind) as caught, runtime.unpacked([], 60):
        pass
    assert type(caught.value) is kind
    for word in words:
        assert word in caught.value.cause
    assert "\n" not in caught.value.cause
    assert len(caught.value.cause) < 400
    assert caught.value.remedy


VICTIM = "{victim}"
ESCAPES = {
    "absolute": ([entry("/etc/evil", b"x")], "absolute path"),
    "upwards": ([entry("etc/../../evil", b"x")], "leads upwards"),
    "upwards inside": ([entry("etc/../evil", b"x")], "leads upwards"),
    "through an absolute link": (
        [link("out", VICTIM), entry("out/file", b"x")],
        "symbolic link that leads out",
    ),
    "through an upward link": (
        [entry("a/"), link("a/out", "../../victim"), entry("a/out/file", b"x")],
        "symbolic link that leads out",
    ),
    "through two links": (
        [link("one", "two"), link("two", VICTIM), entry("one/file", b"x")],
        "symbolic link that leads out",
    ),
    "through a hard link to a link": (
        [link("one", VICTIM), hard_link("two", "one"), entry("two/file", b"x")],
        "symbolic link that leads out",
    ),
    "a directory through a link": ([link("out", VICTIM), entry("out/new/")], "symbolic link that leads out"),
    "hiding through a link": ([link("out", VICTIM), entry("out/.wh.file")], "symbolic link that leads out"),
    "opaque through a link": (
        [link("out", VICTIM), entry("out/.wh..wh..opq")],
        "symbolic link that leads out",
    ),
    "a link in a loop": (
        [link("a", "b"), link("b", "a"), entry("a/x", b"x")],
        "symbolic link that leads out",
    ),
    "hard link absolute": ([hard_link("mine", f"{VICTIM}/file")], "absolute path"),
    "hard link upwards": ([hard_link("mine", "../victim/file")], "leads upwards"),
    "hard link through a link": (
        [link("out", VICTIM), hard_link("mine", "out/file")],
        "symbolic link that leads out",
    ),
    "hard link to the root": ([hard_link("mine", "./")], "root directory"),
    "the root as a link": ([link(".", VICTIM), entry("file", b"x")], "root directory"),
    "the root as a file": ([entry("./", b"", type=tarfile.REGTYPE)], "root directory"),
    "hiding the parent": ([entry("etc/"), entry("etc/.wh...")], "hides a directory"),
    "hiding the root": ([entry(".wh..")], "hides a directory"),
    "hiding nothing": ([entry(".wh.")], "hides a directory"),
    "a name that is too long": ([entry("d/" * 2100 + "f")], "too long"),
    "a part that is too long": ([entry("x" * 256)], "too long"),
    "hidden from overlayfs": (
        [entry("x", pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "x"})],
        "overlayfs",
    ),
    "sparse": ([entry("s", b"x", pax_headers={"GNU.sparse.realsize": "9999999"})], "sparse"),
}


def _aimed(entries, victim: Path):
    """Return copies of the entries whose links lead to `victim`."""
    copies = [(copy.copy(about), content) for about, content in entries]
    for about, _ in copies:
        about.linkname = about.linkname.replace(VICTIM, str(victim))
    return copies


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("split", [False, True])
def test_an_entry_that_leads_out_of_the_image(name, split, tmp_path):
    """Once in one layer, once with every entry in a layer of its own."""
    entries, words = ESCAPES[name]
    placed = _aimed(entries, tmp_path / "victim")
    layers = [layer(each) for each in placed] if split else [layer(*placed)]
    refused(saved(tmp_path / "a.tar", *layers), words)


def test_links_that_stay_inside_are_followed(tmp_path):
    below = layer(entry("usr/lib/"), link("lib", "usr/lib"), entry("a/"), link("a/up", "../usr"))
    above = layer(
        entry("lib/one", b"1"), entry("a/up/lib/two", b"2"), link("abs", "/usr"), entry("abs", b"3")
    )
    runtime = resolve(f"image://{saved(tmp_path / 'a.tar', below, above)}")
    assert isinstance(runtime, ImageRuntime)
    with runtime.unpacked([], 60) as root:
        assert sorted(path.name for path in (root / "usr/lib").iterdir()) == ["one", "two"]
        assert (root / "abs").read_bytes() == b"3"


def test_a_link_that_was_hidden_or_replaced_leads_nowhere(tmp_path):
    layers = [
        layer(link("a", "/out"), link("b", "/out"), entry("c/"), link("c/d", "/out")),
        layer(entry(".wh.a"), entry("b/"), entry("c/.wh..wh..opq")),
        layer(entry("a/x", b"x"), entry("b/x", b"x"), entry("c/d/x", b"x")),
    ]
    runtime = resolve(f"image://{saved(tmp_path / 'a.tar', *layers)}")
    assert isinstance(runtime, ImageRuntime)
    with runtime.unpacked([], 60) as root:
        assert all((root / name).read_bytes() == b"x" for name in ("a/x", "b/x", "c/d/x"))


class TestTooMuch:
    """Bombs."""

    def test_bytes(self, tmp_path, monkeypatch):
        monkeypatch.setenv(limits.BYTES_VARIABLE, "20M")
        bomb = layer(entry("zeros", bytes(30 << 20)))
        path = layout(tmp_path / "oci", bomb, pack=gzip.compress, kind=OCI.format("layer.v1.tar+gzip"))
        assert sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) < 100_000
        refused(path, "more than 20 MiB")

    def test_bytes_in_an_archive_that_is_compressed(self, tmp_path, monkeypatch):
        monkeypatch.setenv(limits.BYTES_VARIABLE, "20M")
        archive = saved(tmp_path / "a.tar", layer(entry("zeros", bytes(30 << 20))))
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(archive.read_bytes()))
        refused(tmp_path / "a.tar.gz", "more than 20 MiB")

    def test_entries(self, tmp_path, monkeypatch):
        monkeypatch.setattr(limits, "MAX_ENTRIES", 100)
        refused(saved(tmp_path / "a.tar", layer(*(entry(f"f{n}") for n in range(101)))), "more than 100")

    def test_links(self, tmp_path, monkeypatch):
        monkeypatch.setattr("toolkit.unpack.entries.MAX_LINK_COST", 10_000)
        refused(saved(tmp_path / "a.tar", layer(*(link(f"l{n}", "x") for n in range(100)))), "symbolic links")

    def test_the_limit_is_a_size(self, tmp_path, monkeypatch):
        monkeypatch.setenv(limits.BYTES_VARIABLE, "lots")
        refused(saved(tmp_path / "a.tar", PLAIN), "not a size", kind=CallError)


def _cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


class TestBroken:
    """What is not what it says, or not whole."""

    @pytest.mark.parametrize(
        "content", [b"", b"garbage" * 1000, b"\x1f\x8bgarbage", b"\0" * 10240, b"\x1f\x8b"]
    )
    def test_a_file_that_is_no_archive(self, tmp_path, content):
        (tmp_path / "a.tar").write_bytes(content)
        refused(tmp_path / "a.tar")

    def test_an_archive_that_is_no_image(self, tmp_path):
        (tmp_path / "a.tar").write_bytes(PLAIN)
        refused(tmp_path / "a.tar", "neither manifest.json nor")

    def test_a_directory_that_is_no_layout(self, tmp_path):
        refused(tmp_path / "victim", "neither manifest.json nor")

    @pytest.mark.parametrize("part", [0.3, 0.9])
    def test_an_archive_that_is_cut_off(self, tmp_path, part):
        archive = saved(tmp_path / "a.tar", layer(entry("f", os.urandom(100_000))))
        refused(_cut(archive, int(archive.stat().st_size * part) - 7), "cut off")

    def test_a_compressed_archive_that_is_cut_off(self, tmp_path):
        archive = saved(tmp_path / "a.tar", layer(entry("f", os.urandom(100_000))))
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(archive.read_bytes())[:50_000])
        refused(tmp_path / "a.tar.gz", "cut off")

    def test_a_compressed_layer_that_is_cut_off(self, tmp_path):
        whole = layer(entry("f", os.urandom(100_000)))
        refused(
            layout(
                tmp_path / "oci",
                whole,
                pack=lambda data: gzip.compress(data)[:50_000],
                kind=OCI.format("layer.v1.tar+gzip"),
            ),
            "layer 1 of 1 is cut off",
        )

    def test_a_layer_that_is_cut_off_and_says_so_itself(self, tmp_path):
        refused(saved(tmp_path / "a.tar", layer(entry("f", b"x" * 2000))[:1024]), "cut off")

    def test_a_layer_with_a_broken_header(self, tmp_path):
        broken = bytearray(layer(entry("one"), entry("two"), entry("three")))
        broken[520] ^= 1
        refused(saved(tmp_path / "a.tar", bytes(broken)), "wrong checksum")

    def test_a_layer_that_is_not_what_its_digest_says(self, tmp_path):
        made = Layout(tmp_path / "oci")
        made.add(made.image(PLAIN))
        (blob,) = (path for path in made.path.rglob("*") if path.is_file() and path.read_bytes() == PLAIN)
        blob.write_bytes(PLAIN.replace(b"hostname", b"hostnams").replace(b"x", b"x"))
        refused(made.path)
        blob.write_bytes(PLAIN + bytes(512))
        refused(made.path, "bytes, not")
        data = bytearray(PLAIN)
        data[-1] = 1
        blob.write_bytes(data)
        refused(made.path, "is not what its digest says")

    def test_a_layer_that_is_not_what_the_configuration_says(self, tmp_path):
        rootfs: dict[str, Any] = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
        refused(saved(tmp_path / "a.tar", PLAIN, **rootfs), "configuration says")

    def test_a_configuration_that_is_not_what_its_name_says(self, tmp_path):
        archive = saved(tmp_path / "a.tar", PLAIN)
        with tarfile.open(archive) as tar:
            (name,) = (n for n in tar.getnames() if n.endswith(".json") and n != "manifest.json")
        refused(saved(archive, PLAIN, members={name: b'{"rootfs": {"diff_ids": []}}'}), "not what its name")

    def test_a_manifest_that_is_not_what_its_digest_says(self, tmp_path):
        made = Layout(tmp_path / "oci")
        descriptor = made.image(PLAIN)
        made.add(descriptor)
        blob = made.path / "blobs/sha256" / descriptor["digest"][7:]
        blob.write_bytes(blob.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion": 3'))
        refused(made.path, "not what its digest says")

    @pytest.mark.parametrize("which", ["config", "layer", "manifest"])
    def test_a_blob_that_is_missing(self, tmp_path, which):
        made = Layout(tmp_path / "oci")
        descriptor = made.image(PLAIN)
        manifest = json.loads((made.path / "blobs/sha256" / descriptor["digest"][7:]).read_bytes())
        wanted = {"config": manifest["config"], "layer": manifest["layers"][0], "manifest": descriptor}[which]
        made.add(descriptor)
        (made.path / "blobs/sha256" / wanted["digest"][7:]).unlink()
        refused(made.path, "lacks 'blobs/sha256/")
        refused(made.tar(tmp_path / "oci.tar"), "lacks 'blobs/sha256/")

    def test_a_blob_that_would_block(self, tmp_path):
        made = Layout(tmp_path / "oci")
        descriptor = made.image(PLAIN)
        made.add(descriptor)
        blob = made.path / "blobs/sha256" / descriptor["digest"][7:]
        blob.unlink()
        os.mkfifo(blob)
        refused(made.path, "lacks 'blobs/sha256/")

    def test_an_archive_that_would_block(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "no file", kind=CallError)

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"[1]", b"{}", b"null", b"[" * 100_000, b'[{"Config": 5, "Layers": "x"}]'],
    )
    def test_a_manifest_of_docker_save_that_is_none(self, tmp_path, content):
        refused(saved(tmp_path / "a.tar", PLAIN, members={"manifest.json": content}))

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"null", b"{}", b'{"manifests": 5}', b'{"manifests": [{"digest": "../../x"}]}'],
    )
    def test_an_index_that_is_none(self, tmp_path, content):
        made = Layout(tmp_path / "oci")
        made.add(made.image(PLAIN))
        (made.path / "index.json").write_bytes(content)
        refused(made.path)

    def test_an_index_that_leads_to_itself_in_depth(self, tmp_path):
        made = Layout(tmp_path / "oci")
        descriptor = made.image(PLAIN)
        for _ in range(20):
            index = {"mediaType": OCI.format("index.v1+json"), "manifests": [descriptor]}
            descriptor = made.put(index, OCI.format("index.v1+json"))
        refused(made.add(descriptor).path, "ever more indexes")

    def test_a_type_of_layer_that_is_unknown(self, tmp_path):
        kind = OCI.format("layer.v1.tar+encrypted")
        refused(layout(tmp_path / "oci", PLAIN, kind=kind), "unknown type", "encrypted")

    def test_no_image_for_this_host(self, tmp_path):
        made = Layout(tmp_path / "oci")
        for architecture in ("s390x", "riscv64"):
            named = {"platform": {"os": "linux", "architecture": architecture}}
            made.add(made.image(layer(entry(architecture))) | named)
        refused(made.path, "linux/riscv64, linux/s390x")

    def test_an_image_for_another_system(self, tmp_path):
        refused(saved(tmp_path / "a.tar", PLAIN, os="windows"), "windows")

    def test_an_image_without_layers(self, tmp_path):
        refused(saved(tmp_path / "a.tar"), "no layer")

    def test_a_manifest_that_names_fewer_layers_than_the_configuration(self, tmp_path):
        both: dict[str, Any] = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * 2}}
        refused(saved(tmp_path / "a.tar", PLAIN, **both), "different layers")

    def test_a_member_that_is_there_twice(self, tmp_path):
        archive = saved(tmp_path / "a.tar", PLAIN)
        with tarfile.open(archive, "a") as tar:
            again = tarfile.TarInfo("manifest.json")
            again.size = 2
            tar.addfile(again, io.BytesIO(b"[]"))
        refused(archive, "twice")

    def test_what_says_something_hostile_is_shortened(self, tmp_path):
        made = Layout(tmp_path / "oci")
        made.add({"mediaType": "x", "digest": "sha256:\x1b[31m\n" + "9" * 5000, "size": 5})
        runtime = resolve(f"image://{made.path}")
        assert isinstance(runtime, ImageRuntime)
        with pytest.raises(ScanError) as caught, runtime.unpacked([], 60):
            pass
        assert len(caught.value.cause) < 300


@pytest.mark.parametrize("name", [name for name in ESCAPES if name != "sparse"])
def test_the_second_wall(name, tmp_path, scratch, monkeypatch):
    """What unpacks stays inside by itself, should the first look at an entry ever miss something."""
    monkeypatch.setattr("toolkit.unpack.entries.Entries.take", lambda *_: None)
    placed = _aimed(ESCAPES[name][0], tmp_path / "victim")
    runtime = resolve(f"image://{saved(tmp_path / 'a.tar', *(layer(each) for each in placed))}")
    assert isinstance(runtime, ImageRuntime)
    with contextlib.suppress(ScanError), runtime.unpacked([], 60):
        pass
    assert not (tmp_path / "evil").exists()
    assert not Path("/etc/evil").exists()
