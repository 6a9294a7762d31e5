"""Images that are not running: what is in their layers is what the scan sees, whatever they come in."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtimes.image_builders import (
    OCI,
    Layout,
    device,
    digest,
    entry,
    gzipped,
    hard_link,
    layer,
    layout,
    link,
    saved,
)
from toolkit.demo import distroless
from toolkit.errors import CallError, ScanError
from toolkit.reports import hdf
from toolkit.runtimes.base import resolve
from toolkit.runtimes.image import ImageRuntime
from toolkit.scan import Request, scan
from toolkit.unpack import tree
from toolkit.unpack.images import host_architecture

needs_umoci = pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci (apt-get install umoci)")
CAPABILITY = b"\x01\0\0\2\0\x20\0\0" + b"\0" * 12  # cap_net_raw=ep

BELOW = layer(
    entry("./", mode=0o750),
    entry("etc/", mode=0o700, uid=5, gid=6),
    entry("etc/kept", b"kept", mode=0o4755, uid=1000, gid=1001),
    entry("etc/hidden", b"x"),
    hard_link("etc/other", "etc/kept"),
    link("etc/away", "/does/not/exist"),
    entry("old/"),
    entry("old/file", b"x"),
    entry("lib/"),
    entry("lib/" + "long" * 40, b"a name for an extended header"),
    entry("cap", pax_headers={"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}),
    device("dev/null"),
)
ABOVE = layer(
    entry("etc/.wh.hidden"),
    entry("old/.wh..wh..opq"),
    entry("old/new", b"n", mode=0o2640),
    entry("lib/.wh.nothing"),
    link("lib64", "lib"),
    entry("lib64/through", b"t"),
)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch) -> Iterator[Path]:
    """A TMPDIR of its own, which must be empty again afterwards."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


@contextlib.contextmanager
def unpacked(uri: str) -> Iterator[tuple[Path, ImageRuntime]]:
    runtime = resolve(uri)
    assert isinstance(runtime, ImageRuntime)
    with runtime.unpacked([], 60) as place:
        yield place, runtime


def check(root: Path) -> None:
    """Assert that `root` is what BELOW and ABOVE make."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert names == sorted(
        f"cap dev dev/null etc etc/away etc/kept etc/other lib lib/{'long' * 40} "
        "lib/through lib64 old old/new".split()
    )
    kept = (root / "etc/kept").stat()
    assert (stat.S_IMODE(kept.st_mode), kept.st_uid, kept.st_gid) == (0o4755, 1000, 1001)
    assert (root / "etc/other").samefile(root / "etc/kept")
    assert (root / "etc/away").readlink() == Path("/does/not/exist")
    directory = (root / "etc").stat()
    assert (stat.S_IMODE(directory.st_mode), directory.st_uid, directory.st_gid) == (0o700, 5, 6)
    assert stat.S_IMODE((root / "old/new").stat().st_mode) == 0o2640
    assert stat.S_IMODE(root.stat().st_mode) == 0o750
    assert (root / "lib/through").read_bytes() == b"t"
    assert os.getxattr(root / "cap", "security.capability") == CAPABILITY


@pytest.mark.root
@needs_umoci
class TestUnpacked:
    """The tree is the one that the layers make, in whatever they come."""

    def test_an_archive_of_docker_save(self, tmp_path, scratch):
        with unpacked(f"image://{saved(tmp_path / 'a.tar', BELOW, ABOVE)}") as (root, runtime):
            check(root)
            assert stat.S_IMODE(root.parent.stat().st_mode) == 0o700
            assert root.parent.stat().st_uid == 0
        facts = runtime.facts()["image"]
        assert facts["layers"] == [digest(BELOW), digest(ABOVE)]
        assert facts["names"] == ["made:by-hand"]
        assert facts["created"] == "2026-01-02T03:04:05Z"
        assert facts["reference"] == str(tmp_path / "a.tar")

    def test_the_same_compressed(self, tmp_path):
        plain = saved(tmp_path / "a.tar", BELOW, ABOVE)
        packed = tmp_path / "a.tar.gz"
        packed.write_bytes(gzipped(plain.read_bytes()))
        with unpacked(f"image://{packed}") as (root, _):
            check(root)

    def test_layers_that_are_links_to_others(self, tmp_path):
        archive = saved(tmp_path / "a.tar", BELOW, ABOVE)
        again = tmp_path / "b.tar"
        with tarfile.open(archive) as old, tarfile.open(again, "w") as new:
            for member in old:
                if member.name == "1/layer.tar":
                    moved = tarfile.TarInfo("shared/layer.tar")
                    moved.size = member.size
                    new.addfile(moved, old.extractfile(member))
                    member.type, member.linkname, member.size = tarfile.SYMTYPE, "../shared/layer.tar", 0
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        with unpacked(f"image://{again}") as (root, _):
            check(root)

    @pytest.mark.parametrize("suffix", ["", ".gzip"])
    def test_a_layout(self, tmp_path, suffix):
        kind = OCI.format("layer.v1.tar") + suffix.replace(".", "+")
        path = layout(tmp_path / "oci", BELOW, ABOVE, pack=gzipped if suffix else bytes, kind=kind)
        with unpacked(f"image://{path}") as (root, runtime):
            check(root)
        manifest = json.loads((path / "index.json").read_text())["manifests"][0]
        assert runtime.facts()["image"]["manifest_digest"] == manifest["digest"]

    @pytest.mark.skipif(not shutil.which("zstd"), reason="needs zstd (apt-get install zstd)")
    def test_a_layout_with_zstd_layers(self, tmp_path):
        def pack(content: bytes) -> bytes:
            return subprocess.run(["zstd", "-c"], input=content, capture_output=True, check=True).stdout

        path = layout(tmp_path / "oci", BELOW, ABOVE, pack=pack, kind=OCI.format("layer.v1.tar+zstd"))
        with unpacked(f"image://{path}") as (root, _):
            check(root)

    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_a_layout_in_an_archive(self, tmp_path, mode):
        made = Layout(tmp_path / "oci")
        made.add(made.image(BELOW, ABOVE), "x")
        with unpacked(f"image://{made.tar(tmp_path / 'oci.tar', mode)}") as (root, _):
            check(root)

    def test_docker_media_types_in_a_layout(self, tmp_path):
        made = Layout(tmp_path / "oci")
        docker = "application/vnd.docker.{}"
        descriptor = made.image(BELOW, ABOVE, pack=gzipped, kind=docker.format("image.rootfs.diff.tar.gzip"))
        blob = made.path / "blobs" / "sha256" / descriptor["digest"][7:]
        manifest = json.loads(blob.read_bytes()) | {
            "mediaType": docker.format("distribution.manifest.v2+json")
        }
        made.add(made.put(manifest, manifest["mediaType"]))
        with unpacked(f"image://{made.path}") as (root, _):
            check(root)

    def test_the_platform_of_this_host_is_taken_from_an_index(self, tmp_path):
        made = Layout(tmp_path / "oci")
        here = {"platform": {"os": "linux", "architecture": host_architecture()}}
        there = {"platform": {"os": "linux", "architecture": "s390x"}}
        proof = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
        manifests = [
            made.image(layer(entry("there"))) | there,
            made.image(layer(entry("here"))) | here,
            made.image(layer(entry("proof"))) | proof,
        ]
        index = {"schemaVersion": 2, "mediaType": OCI.format("index.v1+json"), "manifests": manifests}
        made.add(made.put(index, OCI.format("index.v1+json")), "app:1")
        with unpacked(f"image://{made.path}") as (root, _):
            assert [path.name for path in root.iterdir()] == ["here"]

    def test_another_architecture_is_read_and_recorded(self, tmp_path):
        with unpacked(f"image://{layout(tmp_path / 'oci', BELOW, architecture='s390x')}") as (_, runtime):
            facts = runtime.facts()["image"]
        assert facts["architecture"] == "s390x"
        assert facts["not_for_this_host"] == host_architecture()

    def test_one_of_several_images_is_chosen_by_name(self, tmp_path):
        made = Layout(tmp_path / "oci")
        made.add(made.image(layer(entry("one"))), "app:1").add(made.image(layer(entry("two"))), "app:2")
        with unpacked(f"image://{made.path}#app:2") as (root, _):
            assert [path.name for path in root.iterdir()] == ["two"]
        with (
            pytest.raises(CallError, match="more than one image") as caught,
            unpacked(f"image://{made.path}"),
        ):
            pass
        assert "app:1, app:2" in caught.value.remedy
        with pytest.raises(CallError, match="no image 'app:3'"), unpacked(f"image://{made.path}#app:3"):
            pass

    def test_device_nodes_are_recorded_and_out_of_reach(self, tmp_path):
        archive = saved(tmp_path / "a.tar", layer(device("dev/zero", 1, 5), device("tmp/disk", 8, 0)))
        with unpacked(f"image://{archive}") as (root, runtime):
            assert stat.S_ISCHR((root / "tmp/disk").stat().st_mode)
            assert stat.S_IMODE(root.parent.stat().st_mode) == 0o700
        assert runtime.facts()["image"]["devices_outside_dev"] == ["tmp/disk"]


@pytest.mark.root
@needs_umoci
class TestCleaning:
    """What a run makes in TMPDIR goes away, also when that run did not end by itself."""

    def test_what_a_killed_run_left_is_removed_by_the_next(self, tmp_path, scratch):
        deep = scratch / "barescan-image-0000"
        deep.mkdir()
        (deep / "lock").touch()
        for _ in range(1500):  # deeper than a recursive function can go
            os.mkdir(deep / "d")  # noqa: PTH102 the path is relative from here on
            os.chdir(deep)
            deep = Path("d")
        os.chdir("/")
        young = scratch / "barescan-image-1111"
        young.mkdir()
        with (
            tree.private(scratch / "barescan-image-2222", []),
            unpacked(f"image://{saved(tmp_path / 'a.tar', BELOW)}"),
        ):
            names = {path.name for path in scratch.iterdir()}
            assert {"barescan-image-1111", "barescan-image-2222"} < names
            assert "barescan-image-0000" not in names
        os.utime(young, (time.time() - 100,) * 2)
        tree.remove_leftovers(scratch, [])

    def test_a_full_disk_is_named(self, tmp_path, monkeypatch):
        small = tmp_path / "small"
        small.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(small))
        content = layer(entry("big", os.urandom(1_500_000)))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small], check=True)
        try:
            for size in (900_000, 3_000_000):  # full while unpacking, full while reading
                content = layer(entry("big", os.urandom(size)), entry("more", os.urandom(size // 3)))
                archive = saved(tmp_path / f"{size}.tar", content)
                with pytest.raises(ScanError, match="no room left") as caught, unpacked(f"image://{archive}"):
                    pass
                assert "TMPDIR" in caught.value.remedy
                assert list(small.iterdir()) == []
        finally:
            subprocess.run(["umount", small], check=True)

    def test_the_time_is_up(self, tmp_path):
        runtime = resolve(f"image://{saved(tmp_path / 'a.tar', BELOW)}")
        assert isinstance(runtime, ImageRuntime)
        with pytest.raises(ScanError, match="not unpacked in time"), runtime.unpacked([], 0):
            pass


class TestCalls:
    """What is wrong with the call is said before anything is made."""

    @pytest.mark.parametrize(
        "name", ["/no/such/file", "a b", "-v", "http://x/y", "name:", "x" * 500, "../a", "a\nb", "#x"]
    )
    def test_what_names_no_image_is_a_bad_call(self, name):
        with pytest.raises(CallError):
            resolve(f"image://{name}")

    def test_a_path_without_its_slash_is_explained(self, tmp_path, monkeypatch):
        saved(tmp_path / "a.tar", BELOW)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(CallError, match="does not begin with a slash") as caught:
            resolve("image://a.tar")
        assert f"image://{tmp_path}/a.tar" in caught.value.remedy

    @pytest.mark.parametrize("name", ["nginx", "registry:5000/a/b:1.2", "a@sha256:00ff", "sha256:00ff"])
    def test_references_are_taken(self, name):
        assert resolve(f"image://{name}").job()["rootfs"].startswith("/")

    def test_umoci_that_is_missing_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr("shutil.which", lambda name: None if name == "umoci" else name)
        with (
            pytest.raises(ScanError, match="needs umoci") as caught,
            unpacked(f"image://{saved(tmp_path / 'a.tar', BELOW)}"),
        ):
            pass
        assert "apt-get install umoci" in caught.value.remedy


PROFILE = "scap:debian12#anssi_bp28_high"


def statuses(report) -> dict[str, hdf.Status]:
    return {control["id"]: hdf.control_status(control) for control in report["profiles"][0]["controls"]}


@pytest.fixture(scope="module")
def root() -> Path:
    """A distroless root of Debian 12."""
    return distroless.assemble("base")


@pytest.fixture(scope="module")
def base(root, tmp_path_factory) -> Path:
    """The same as an archive."""
    packed = subprocess.run(["tar", "-C", root, "-c", "."], check=True, capture_output=True).stdout
    return saved(tmp_path_factory.mktemp("base") / "base.tar", packed)


@pytest.mark.root
@pytest.mark.bundle
@needs_umoci
class TestScans:
    """A scan of an image says what a scan of the same tree says."""

    def test_the_results_are_those_of_the_tree(self, root, base, bundle, tmp_path):
        results = [
            scan(Request(uri, PROFILE, report_dir=tmp_path / "reports"), lambda: bundle)
            for uri in (f"rootfs://{root}", f"image://{base}")
        ]
        tree_says, image_says = (statuses(each.report) for each in results)
        assert image_says == tree_says
        assert sum(each is hdf.Status.PASSED for each in image_says.values()) > 20
        recorded = json.loads((results[1].folder / "scan.json").read_text())["target"]["image"]
        assert recorded["config_digest"].startswith("sha256:")
        assert recorded["architecture"] == "amd64"

    def test_a_broken_image_is_recorded_and_leaves_nothing(self, base, bundle, tmp_path):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(base.read_bytes()[:5_000_000])
        with pytest.raises(ScanError, match="cut off"):
            scan(Request(f"image://{cut}", PROFILE, report_dir=tmp_path / "reports"), lambda: bundle)
        (record,) = (tmp_path / "reports").glob("*/*/scan.json")
        assert json.loads(record.read_text())["complete"] is False

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_a_scan_that_is_interrupted_leaves_nothing(self, bundle, tmp_path, scratch, number):
        archive = saved(tmp_path / "a.tar", layer(entry("large", bytes(200 << 20))))
        code = "from toolkit.cli import program; program.run()"
        command = [sys.executable, "-c", code, "scan", "--target", f"image://{archive}"]
        process = subprocess.Popen(
            [*command, "--profile", PROFILE, "--report-dir", str(tmp_path / "reports")],
            env={**os.environ, "TMPDIR": str(scratch), "BARESCAN_BUNDLE": str(bundle.path)},
            cwd=Path(__file__).parents[2],
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not any(scratch.glob("*/layout")):
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) == (-9 if number == signal.SIGKILL else 130)
        if number == signal.SIGKILL:
            assert any(scratch.iterdir())
            tree.remove_leftovers(scratch, [])  # as the next run does

    @pytest.mark.docker
    def test_an_image_of_the_engine(self, base, bundle, tmp_path):
        name = "barescan-test-image:1"
        with base.open("rb") as archive:
            loaded = subprocess.run(["docker", "load"], stdin=archive, check=True, capture_output=True).stdout
        subprocess.run(["docker", "tag", "made:by-hand", name], check=True)
        try:
            result = scan(Request(f"image://{name}", PROFILE, report_dir=tmp_path / "r"), lambda: bundle)
            recorded = json.loads((result.folder / "scan.json").read_text())["target"]["image"]
            assert recorded["reference"] == name
            assert recorded["engine_id"] == recorded["config_digest"]
            assert name in recorded["names"]
        finally:
            subprocess.run(["docker", "rmi", name, "made:by-hand"], check=True, capture_output=True)
        assert loaded

    @pytest.mark.docker
    def test_an_image_that_the_engine_has_not(self, bundle, tmp_path):
        request = Request("image://no-such-image:1", PROFILE, report_dir=tmp_path / "r")
        with pytest.raises(CallError, match="no image no-such-image:1") as caught:
            scan(request, lambda: bundle)
        assert "docker pull" in caught.value.remedy
