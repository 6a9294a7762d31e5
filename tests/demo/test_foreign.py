"""The roots laid out by hand: what their package databases say is true of the tree."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit.demo import distroless, ubi, wolfi
from toolkit.errors import CallError

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture(scope="module")
def micro() -> Path:
    if not shutil.which("rpmbuild"):
        pytest.skip("needs rpmbuild to make the records (apt-get install rpm)")
    return ubi.micro(print)


def _rpm(root: Path, *arguments: str) -> str:
    command = ["rpm", "--root", str(root), "--dbpath", "/var/lib/rpm", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_rpm_finds_every_recorded_file_unchanged(micro: Path) -> None:
    assert "bash-5.1.8-9.el9" in _rpm(micro, "-qa")
    assert _rpm(micro, "-V", "--all", "--nodeps", "--noscripts") == ""


def test_rpm_s_database_is_the_one_of_el9_and_rpm_is_not_there(micro: Path) -> None:
    database = micro / "var/lib/rpm/rpmdb.sqlite"
    assert database.read_bytes().startswith(b"SQLite format 3\0")
    assert not list(micro.rglob("*bin/rpm*"))


def test_bash_runs_with_the_libraries_of_the_tree(micro: Path) -> None:
    done = subprocess.run(
        ["chroot", str(micro), "/bin/bash", "-c", "echo $BASH"], capture_output=True, check=True
    )
    assert done.stdout == b"/bin/bash\n"


def test_apk_s_records_have_the_checksums_of_the_files() -> None:
    root = wolfi.glibc_dynamic(print)
    folder, name, checked = "", "", 0
    for line in (root / "usr/lib/apk/db/installed").read_text().splitlines():
        kind, _, value = line.partition(":")
        if kind == "F":
            folder = value
        elif kind == "R":
            name = value
        elif kind == "Z":
            file = root / folder / name
            content = str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()
            digest = hashlib.sha1(content, usedforsecurity=False).digest()
            assert value == "Q1" + base64.b64encode(digest).decode(), file
            checked += 1
    assert checked > 1000
    assert not list(root.rglob("*bin/*"))


def test_python_of_distroless_runs_and_has_no_shell() -> None:
    root = distroless.image("python", suite="trixie")
    command = ["chroot", str(root), "/usr/bin/python3", "-B", "-c", "import ssl, sqlite3, ctypes, readline"]
    subprocess.run(command, check=True)
    names = {path.name for path in root.rglob("*bin/*")}
    assert "python3.13" in names
    assert names.isdisjoint({"sh", "bash", "dash", "pip", "dpkg", "apt-get"})


def test_python_of_bookworm_is_no_more() -> None:
    with pytest.raises(CallError, match="no distroless python of bookworm"):
        distroless.image("python", suite="bookworm")
