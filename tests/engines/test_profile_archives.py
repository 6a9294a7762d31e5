"""Profiles made to do harm to the machine that sends them, or to say one thing and be another.

Each attack is first shown to work against the naive way of reading the same bytes, then refused in words.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import tarfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from toolkit.engines import inspec_profile
from toolkit.engines.inspec_profile import read_profile
from toolkit.errors import CallError

Member = tuple[str, bytes, Mapping[str, Any]]
PROFILE: list[Member] = [
    ("inspec.yml", b"name: demo\nversion: 1.0.0\n", {}),
    ("controls/one.rb", b"control 'one' do\nend\n", {}),
]
SECRET = b"root:$6$not-for-anybody:20000::::::\n"


def tarball(path: Path, *members: Member) -> Path:
    """Write a profile with these members besides, as they are said, whatever tarfile thinks of them."""
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        for name, content, fields in (*PROFILE, *members):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            for field, value in fields.items():
                setattr(about, field, value)
            archive.addfile(about, io.BytesIO(content))
    return path


def zipped(path: Path, *members: Member) -> Path:
    """Write a profile as a zip archive; `mode` gives the bits that Info-ZIP stores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicates
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content, fields in (*PROFILE, *members):
                about = zipfile.ZipInfo("x")
                about.filename = about.orig_filename = name
                about.external_attr = fields.get("mode", 0o100644) << 16
                archive.writestr(about, content, zipfile.ZIP_DEFLATED)
    return path


def naive_tar(path: Path, into: Path, *options: str) -> Path:
    """What a shell script would do."""
    into.mkdir()
    command = ["tar", "--absolute-names", "-xpf", str(path), "-C", str(into), *options]
    subprocess.run(command, check=True, capture_output=True)
    return into


def naive_zip(path: Path, into: Path) -> Path:
    """What a loop over the names would do."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            target = into / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(entry))
    return into


def refused(path: Path, said: str) -> None:
    with pytest.raises(CallError, match=said) as caught:
        read_profile(path)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that no profile may reach."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(SECRET)
    return place


def test_a_member_with_dots_lands_beside_the_profile(tmp_path: Path) -> None:
    path = tarball(tmp_path / "p.tar.gz", ("../escaped", b"x", {}))
    naive_tar(path, tmp_path / "there")
    assert (tmp_path / "escaped").exists()
    refused(path, "outside of it")


def test_a_zip_entry_with_dots_lands_beside_the_profile(tmp_path: Path) -> None:
    path = zipped(tmp_path / "p.zip", ("../escaped", b"x", {}))
    naive_zip(path, tmp_path / "there")
    assert (tmp_path / "escaped").exists()
    refused(path, "outside of it")


@pytest.mark.parametrize("make", [tarball, zipped])
def test_an_absolute_name_lands_where_it_says(
    make: Callable[..., Path], outside: Path, tmp_path: Path
) -> None:
    name = str(outside / "planted")
    path = make(tmp_path / ("p.zip" if make is zipped else "p.tar.gz"), (name, b"x", {}))
    (naive_zip if make is zipped else naive_tar)(path, tmp_path / "there")
    assert Path(name).exists()
    refused(path, "outside of it")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_brings_a_file_of_this_machine_into_the_profile(
    kind: bytes, outside: Path, tmp_path: Path
) -> None:
    link = {"type": kind, "linkname": str(outside / "secret")}
    path = tarball(tmp_path / "p.tar.gz", ("libraries/x.rb", b"", link))
    there = naive_tar(path, tmp_path / "there")
    assert (there / "libraries/x.rb").read_bytes() == SECRET
    refused(path, "no regular file")


def test_a_link_in_a_zip_brings_a_file_of_this_machine(outside: Path, tmp_path: Path) -> None:
    target = str(outside / "secret").encode()
    path = zipped(tmp_path / "p.zip", ("libraries/x.rb", target, {"mode": stat.S_IFLNK | 0o777}))
    with zipfile.ZipFile(path) as archive:  # the naive way heeds the mode, as unzip(1) does
        about = archive.getinfo("libraries/x.rb")
        assert stat.S_ISLNK(about.external_attr >> 16)
        (tmp_path / "x.rb").symlink_to(archive.read(about).decode())
    assert (tmp_path / "x.rb").read_bytes() == SECRET
    refused(path, "no regular file")


def test_a_file_goes_through_a_link_to_a_directory(outside: Path, tmp_path: Path) -> None:
    link = {"type": tarfile.SYMTYPE, "linkname": str(outside)}
    path = tarball(tmp_path / "p.tar.gz", ("files", b"", link), ("files/planted", b"x", {}))
    naive_tar(path, tmp_path / "there")
    assert (outside / "planted").read_bytes() == b"x"
    refused(path, "no regular file")


@pytest.mark.root
def test_a_device_is_made(tmp_path: Path) -> None:
    device = {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}
    path = tarball(tmp_path / "p.tar.gz", ("files/zero", b"", device))
    there = naive_tar(path, tmp_path / "there")
    assert stat.S_ISCHR((there / "files/zero").stat().st_mode)
    refused(path, "no regular file")


@pytest.mark.root
def test_a_program_becomes_setuid(tmp_path: Path) -> None:
    path = tarball(tmp_path / "p.tar.gz", ("files/sh", b"#!", {"mode": 0o4755}))
    there = naive_tar(path, tmp_path / "there")
    assert (there / "files/sh").stat().st_mode & stat.S_ISUID
    refused(path, "setuid or setgid")
    refused(zipped(tmp_path / "p.zip", ("files/sh", b"#!", {"mode": 0o104755})), "setuid or setgid")


@pytest.mark.parametrize("make", [tarball, zipped])
def test_of_two_files_with_one_name_readers_take_different_ones(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    twin: Member = ("controls/one.rb", b"control 'other' do\nend\n", {})
    path = make(tmp_path / ("p.zip" if make is zipped else "p.tar.gz"), twin)
    if make is zipped:
        with zipfile.ZipFile(path) as archive:
            (first, second) = (each for each in archive.infolist() if each.filename == twin[0])
            assert archive.read(first) != archive.read(second)
    else:
        command = ["tar", "-xOf", str(path), "--occurrence=1", twin[0]]
        shown = subprocess.run(command, check=True, capture_output=True)
        there = naive_tar(path, tmp_path / "there")
        assert (there / twin[0]).read_bytes() == twin[1] != shown.stdout
    refused(path, "twice")
    refused(make(path, ("./controls//one.rb", b"", {})), "twice")


def test_a_small_zip_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "p.zip", *((f"files/{number}", bytes(8 << 20), {}) for number in range(8)))
    assert path.stat().st_size < 100_000
    with zipfile.ZipFile(path) as archive:
        assert sum(len(archive.read(name)) for name in archive.namelist()) > 64 << 20
    monkeypatch.setattr(inspec_profile, "MAX_BYTES", 16 << 20)
    refused(path, "holds more than")


def test_a_sparse_file_unpacks_to_more_than_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holes are made by the reader: what limits the bytes of the archive does not see them."""
    (tmp_path / "in/controls").mkdir(parents=True)
    for name, content, _fields in PROFILE:
        (tmp_path / "in" / name).write_bytes(content)
    with (tmp_path / "in/hole").open("wb") as file:
        file.truncate(64 << 20)
    path = tmp_path / "p.tar.gz"
    command = ["tar", "--sparse", "-czf", str(path), "-C", str(tmp_path / "in"), "."]
    subprocess.run(command, check=True)
    with gzip.open(path) as plain:
        assert len(plain.read()) < 1 << 20
    with tarfile.open(path) as archive:
        assert len(archive.extractfile("./hole").read()) == 64 << 20  # type: ignore[union-attr]
    monkeypatch.setattr(inspec_profile, "MAX_BYTES", 4 << 20)
    tracemalloc.start()
    try:
        refused(path, "no regular file")
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_a_hundred_thousand_members(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "p.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as packed:
        for number in range(100_000):
            about = tarfile.TarInfo(f"files/{number}")
            about.type = kind
            packed.write(about.tobuf(tarfile.USTAR_FORMAT))
        packed.write(bytes(1024))
    with tarfile.open(path) as archive:
        assert len(archive.getmembers()) == 100_000
    refused(path, "holds more than")


def test_a_hundred_thousand_zip_entries(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100_000):
            archive.writestr(f"files/{number}/", b"")
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == 100_000
    refused(path, "holds more than")


def test_a_backslash_is_a_directory_elsewhere(tmp_path: Path) -> None:
    name = "..\\..\\escaped"
    path = zipped(tmp_path / "p.zip", (name, b"x", {}))
    with zipfile.ZipFile(path) as archive:
        (stored,) = (each for each in archive.namelist() if "escaped" in each)
    assert stored.replace("\\", "/").startswith("../")  # as unzip on Windows takes it
    refused(path, "outside of it")


def test_a_name_with_a_nul_byte_is_cut_there(tmp_path: Path) -> None:
    path = zipped(tmp_path / "p.zip", ("controls/two.rb\0.txt", b"control 'two' do\nend\n", {}))
    with zipfile.ZipFile(path) as archive:
        assert "controls/two.rb" in archive.namelist()
    refused(path, "outside of it")


@pytest.mark.parametrize("make", [tarball, zipped])
def test_a_name_with_a_newline_forges_a_line_of_a_list(make: Callable[..., Path], tmp_path: Path) -> None:
    name = "files/a\ncontrols/forged.rb"
    path = make(tmp_path / ("p.zip" if make is zipped else "p.tar.gz"), (name, b"", {}))
    with tarfile.open(path) if make is tarball else zipfile.ZipFile(path) as archive:
        names = archive.getnames() if isinstance(archive, tarfile.TarFile) else archive.namelist()
    assert "controls/forged.rb" in "\n".join(names).splitlines()
    refused(path, "control characters")


def test_a_name_that_is_not_utf_8_can_not_be_written_as_text(tmp_path: Path) -> None:
    path = tarball(tmp_path / "p.tar.gz", (os.fsdecode(b"files/\xff\xfe"), b"", {}))
    with tarfile.open(path) as archive:
        (name,) = (each for each in archive.getnames() if each.startswith("files/"))
    with pytest.raises(UnicodeEncodeError):
        name.encode()
    refused(path, "not UTF-8")


def test_a_name_can_not_be_a_file_and_a_directory(tmp_path: Path) -> None:
    path = tarball(tmp_path / "p.tar.gz", ("files", b"x", {}), ("files/y", b"", {}))
    with pytest.raises(subprocess.CalledProcessError):
        naive_tar(path, tmp_path / "there", "--keep-old-files")
    refused(path, "as file and directory")


def test_a_name_longer_than_a_file_s_may_be(tmp_path: Path) -> None:
    path = zipped(tmp_path / "p.zip", (f"files/{'ä' * 128}", b"", {}))
    with pytest.raises(OSError, match="too long"):
        naive_zip(path, tmp_path / "there")
    refused(path, "too long")


def directory(tmp_path: Path) -> Path:
    root = tmp_path / "profile"
    for name, content, _fields in PROFILE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "libraries").mkdir()
    return root


def everything(root: Path) -> Iterator[bytes]:
    """What the naive way would send of a directory: `tar --dereference` does it so."""
    for folder, _folders, names in os.walk(root, followlinks=True):
        yield from ((Path(folder) / name).read_bytes() for name in names)


@pytest.mark.parametrize("how", ["file", "directory", "relative", "twice"])
def test_a_link_in_a_directory_sends_a_secret_of_this_machine(
    how: str, outside: Path, tmp_path: Path
) -> None:
    root = directory(tmp_path)
    if how == "file":
        (root / "libraries/x").symlink_to(outside / "secret")
    elif how == "directory":
        (root / "libraries/x").symlink_to(outside)
    elif how == "relative":
        (root / "libraries/x").symlink_to("../../outside/secret")
    else:  # through another link, each of which looks as if it stayed inside
        (root / "files").symlink_to(outside)
        (root / "libraries/x").symlink_to("../files/secret")
    assert SECRET in set(everything(root))
    refused(root, "leaves the profile")


def test_a_link_that_is_put_there_between_look_and_read(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who may write in the profile changes it while root reads it."""
    root = directory(tmp_path)
    (root / "libraries/x").write_bytes(b"harmless")
    assert SECRET not in set(everything(root))
    really_open = os.open

    def swap_and_open(path: Path, flags: int, *rest: Any) -> int:
        if path == root / "libraries/x":
            path.unlink()
            path.symlink_to(outside / "secret")
            assert path.read_bytes() == SECRET
        return really_open(path, flags, *rest)

    monkeypatch.setattr(os, "open", swap_and_open)
    refused(root, "was changed while it was read")


def test_a_profile_may_itself_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(directory(tmp_path))
    assert set(read_profile(tmp_path / "link").files) == {"inspec.yml", "controls/one.rb"}


@pytest.mark.root
def test_a_device_in_a_directory_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = directory(tmp_path)
    os.mknod(root / "libraries/x", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    with (root / "libraries/x").open("rb") as zero:
        assert zero.read(4) == bytes(4)
    opened: list[str] = []
    really_open = os.open

    def note_and_open(path: Path, flags: int, *rest: Any) -> int:
        opened.append(Path(path).name)
        return really_open(path, flags, *rest)

    monkeypatch.setattr(os, "open", note_and_open)
    refused(root, "no regular file")
    assert "inspec.yml" in opened
    assert "x" not in opened
