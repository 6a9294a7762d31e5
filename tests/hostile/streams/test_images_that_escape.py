"""A layer of an image writes outside of its directory, as CVE-2018-15664 and "zip slip"."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.runtimes.image_builders import device, entry, hard_link, layer, link, saved
from toolkit.errors import ScanError
from toolkit.runtimes.base import resolve
from toolkit.runtimes.image import ImageRuntime

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci (apt-get install umoci)"),
]
OWNED = b"owned"


def _ways(victim: Path) -> dict[str, bytes]:
    """Return layers that write `OWNED` into the victim's file for who unpacks them as they come."""
    file = victim / "file"
    return {
        "upwards": layer(entry(f"{'../' * 12}{str(file).lstrip('/')}", OWNED)),
        "absolute": layer(entry(str(file), OWNED)),
        "through a link": layer(link("out", str(victim)), entry("out/file", OWNED)),
        "through a hard link": layer(hard_link("mine", str(file)), entry("mine", OWNED)),
    }


def _naively(archive: bytes, place: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for each in tar:  # as `tar xPf` and Python before 3.14 do
            each.name = each.name if each.name.startswith("/") else str(place / each.name)
            if each.isreg() and Path(each.name).exists():
                Path(each.name).write_bytes(OWNED)
            else:
                tar.extract(each, "/", filter="fully_trusted")


@pytest.mark.parametrize("way", _ways(Path("/")))
def test_it_is_refused_and_nothing_is_written(works, tmp_path, monkeypatch, way):
    for name in ("scratch", "place", "theirs", "victim"):
        (tmp_path / name).mkdir()
    for name in ("theirs", "victim"):
        (tmp_path / name / "file").write_bytes(b"whole")
    _naively(_ways(tmp_path / "theirs")[way], tmp_path / "place")
    works(
        (tmp_path / "theirs/file").read_bytes() == OWNED, "who unpacks the layer as it comes writes elsewhere"
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    runtime = resolve(f"image://{saved(tmp_path / 'a.tar', _ways(tmp_path / 'victim')[way])}")
    assert isinstance(runtime, ImageRuntime)
    with (
        pytest.raises(ScanError, match=r"absolute path|leads upwards|leads out of the image"),
        runtime.unpacked([], 60),
    ):
        pass
    assert (tmp_path / "victim/file").read_bytes() == b"whole"
    assert (tmp_path / "victim/file").stat().st_nlink == 1
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.bundle
def test_a_device_of_the_host_is_none_in_the_scan(tmp_path, monkeypatch, scan):
    """It is unpacked as it is, for it is true of the image; nobody opens it."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    image = saved(
        tmp_path / "a.tar", layer(entry("proc/"), entry("sys/"), entry("dev/"), device("zero", 1, 5))
    )
    runtime = resolve(f"image://{image}")
    assert isinstance(runtime, ImageRuntime)
    with runtime.unpacked([], 60) as root:
        attempt = scan(f"rootfs://{root}", "/sys/firmware/bin/head -c 4 /zero; echo $?")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["1"]
