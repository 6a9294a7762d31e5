"""What is taken for an InSpec profile, and what is refused before anything is sent."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from toolkit.engines import inspec_profile
from toolkit.engines.inspec_profile import read_profile
from toolkit.errors import CallError

FILES = {
    "inspec.yml": b"name: demo\nversion: 1.0.0\n",
    "controls/one.rb": b"control 'one' do\nend\n",
    "libraries/helper.rb": b"class Helper; end\n",
}

Maker = Callable[[Path, Mapping[str, bytes]], Path]


def directory(root: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        path = root / "profile" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root / "profile"


def tarball(root: Path, files: Mapping[str, bytes] = FILES) -> Path:
    path = root / "profile.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zipped(root: Path, files: Mapping[str, bytes] = FILES) -> Path:
    path = root / "profile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


ODD = (b'!!int "z"', b'!!int ""', b"9" * 4301, b"2001-99-99", b"!!timestamp z", b"!!bool z")
"""Values that PyYAML ends in errors of its own for, one of each kind."""


@pytest.mark.parametrize(
    ("make", "prefix"),
    [(directory, ""), (tarball, ""), (zipped, ""), (tarball, "demo-1.0.0/"), (zipped, "demo-1.0.0/")],
)
def test_every_form_holds_the_same_files(make: Maker, prefix: str, tmp_path: Path) -> None:
    found = read_profile(make(tmp_path, {prefix + name: content for name, content in FILES.items()}))
    assert dict(found.files) == FILES
    assert found.metadata["name"] == "demo"


def test_the_hash_is_of_names_and_contents_whatever_the_form(tmp_path: Path) -> None:
    hashes = {read_profile(make(tmp_path)).sha256 for make in (directory, tarball, zipped)}
    assert len(hashes) == 1
    moved = FILES | {"controls/two.rb": FILES["controls/one.rb"]}
    assert read_profile(tarball(tmp_path, moved)).sha256 not in hashes


@pytest.mark.parametrize("make", [directory, tarball, zipped])
def test_a_gemspec_is_left_out_wherever_it_is(make: Maker, tmp_path: Path) -> None:
    trap = {"demo.gemspec": b"", "files/deep/x.gemspec": b"", ".git/config": b""}
    assert dict(read_profile(make(tmp_path, FILES | trap)).files) == FILES


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (b"name: demo\nversion: [1\n", r"inspec\.yml: YAML error in line 3, column 1"),
        (b"- name: demo\n", r"inspec\.yml: line 1: not a mapping"),
        (b"version: 1.0.0\n", "names no profile"),
        (b"name: !secret x\n", "YAML error in line 1, column 7"),
        (b"", "names no profile"),
        (b"# nothing\n", "names no profile"),
        *((b"name: a\nx: " + value + b"\n", "a value that is not of the type it says") for value in ODD),
        (b"name: \xff\n", "inspec.yml"),
    ],
)
def test_wrong_metadata_is_named_by_line(metadata: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=said):
        read_profile(directory(tmp_path, FILES | {"inspec.yml": metadata}))


def test_what_is_no_profile_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CallError, match="is empty"):
        read_profile(tmp_path / "empty")
    with pytest.raises(CallError, match=r"has no inspec\.yml"):
        read_profile(directory(tmp_path, {"README.md": b"hello"}))
    with pytest.raises(CallError, match="has no controls"):
        read_profile(tarball(tmp_path, {"inspec.yml": FILES["inspec.yml"]}))
    for name in ("broken.zip", "broken.tar.gz"):
        (tmp_path / name).write_bytes(b"this is no archive")
        with pytest.raises(CallError, match=r"can't be read|no sound archive"):
            read_profile(tmp_path / name)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    noise = FILES | {"files/noise": os.urandom(100_000)}
    for make in (tarball, zipped):
        path = make(tmp_path, noise)
        path.write_bytes(path.read_bytes()[:50_000])
        with pytest.raises(CallError, match="no sound archive"):
            read_profile(path)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "controls/../../outside", "a\\..\\outside"])
def test_names_that_leave_the_profile_are_refused(name: str, tmp_path: Path) -> None:
    for make in (tarball, zipped):
        with pytest.raises(CallError, match="outside of it"):
            read_profile(make(tmp_path, FILES | {name: b"x"}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tarball_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "profile.tgz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("controls/one.rb")
        member.type, member.linkname = kind, "/etc/shadow"
        archive.addfile(member)
    with pytest.raises(CallError, match="no regular file"):
        read_profile(path)


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("controls/one.rb")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "profile.zip", "w") as archive:
        archive.writestr(entry, "/etc/shadow")
    with pytest.raises(CallError, match="no regular file"):
        read_profile(tmp_path / "profile.zip")


def test_links_in_a_directory_count_only_inside_of_it(tmp_path: Path) -> None:
    root = directory(tmp_path)
    (root / "controls" / "two.rb").symlink_to("one.rb")
    assert read_profile(root).files["controls/two.rb"] == FILES["controls/one.rb"]
    (root / "controls" / "three.rb").symlink_to("/etc/hostname")
    with pytest.raises(CallError, match="leaves the profile"):
        read_profile(root)


def test_a_pipe_in_a_directory_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(directory(tmp_path) / "controls" / "pipe.rb")
    with pytest.raises(CallError, match="no regular file"):
        read_profile(tmp_path / "profile")


@pytest.mark.parametrize("make", [directory, tarball, zipped])
def test_bombs_are_refused_by_size_and_by_number(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspec_profile, "MAX_BYTES", 100_000)
    path = make(tmp_path, FILES | {"files/big": bytes(1_000_000)})
    with pytest.raises(CallError, match="holds more than"):
        read_profile(path)
    monkeypatch.setattr(inspec_profile, "MAX_BYTES", 10_000_000)
    monkeypatch.setattr(inspec_profile, "MAX_FILES", 3)
    with pytest.raises(CallError, match="holds more than"):
        read_profile(path)


def test_a_tar_header_that_announces_gigabytes_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspec_profile, "MAX_BYTES", 1_000_000)
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 1 << 33
    path = tmp_path / "profile.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        packed.write(bytes(4_000_000))
    with pytest.raises(CallError, match="holds more than"):
        read_profile(path)


DEPENDENT = b"name: demo\ndepends:\n  - name: base\n    git: https://example.org/base\n"


def test_dependencies_must_come_with_the_profile(tmp_path: Path) -> None:
    files = FILES | {"inspec.yml": DEPENDENT}
    with pytest.raises(CallError, match="depends on base, not vendored") as caught:
        read_profile(directory(tmp_path, files))
    assert "cinc-auditor vendor" in caught.value.remedy
    vendored = files | {"inspec.lock": b"", "vendor/abc/inspec.yml": b"name: base\n"}
    assert read_profile(tarball(tmp_path, vendored)).metadata["depends"][0]["name"] == "base"


def test_a_dependency_inside_the_profile_needs_no_vendoring(tmp_path: Path) -> None:
    inner = {
        "inspec.yml": b"name: demo\ndepends:\n  - name: base\n    path: ./base\n",
        "base/inspec.yml": b"name: base\n",
    }
    assert "base/inspec.yml" in read_profile(zipped(tmp_path, FILES | inner)).files
    outer = {"inspec.yml": b"name: demo\ndepends:\n  - name: base\n    path: ../base\n"}
    with pytest.raises(CallError, match="not vendored"):
        read_profile(zipped(tmp_path, FILES | outer))
