from __future__ import annotations

import errno
import os
import resource
import stat
from pathlib import Path

import pytest

from toolkit.errors import CallError, ScanError
from toolkit.reports import files


def test_a_file_is_written_whole_for_the_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        files.write_new(b"data", tmp_path / "r")
    finally:
        os.umask(before)
    assert (tmp_path / "r").read_bytes() == b"data"
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("kind", ["file", "dangling", "directory"])
def test_what_has_the_name_stays(tmp_path: Path, kind: str) -> None:
    path, elsewhere = tmp_path / "r", tmp_path / "elsewhere"
    if kind == "file":
        path.write_text("old")
    elif kind == "dangling":
        path.symlink_to(elsewhere)
    else:
        path.mkdir()
    with pytest.raises(CallError, match="exists already"):
        files.write_new(b"new", path)
    assert not elsewhere.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["r"]
    assert kind != "file" or path.read_text() == "old"


def test_where_links_are_not_to_be_had_nothing_is_overwritten_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(os, "link", no_link)
    files.write_new(b"one", tmp_path / "r")
    with pytest.raises(CallError, match="exists already"):
        files.write_new(b"two", tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == b"one"
    assert [each.name for each in tmp_path.iterdir()] == ["r"]


def test_a_missing_directory_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="No such file"):
        files.write_new(b"x", tmp_path / "no" / "r")


def test_a_disk_that_takes_no_more_leaves_nothing_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ScanError, match="cannot be written"):
            files.write_new(b"x" * 100_000, tmp_path / "r")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_reading_is_capped_and_never_blocks(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert files.read_capped(tmp_path / "f", 5, "report") == b"12345"
    with pytest.raises(CallError, match="larger than 4 bytes"):
        files.read_capped(tmp_path / "f", 4, "report")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(CallError, match=r"not a regular file|Is a directory"):
            files.read_capped(path, 5, "report")
    for path in (tmp_path / "none", Path("nul\0byte")):
        with pytest.raises(CallError, match="cannot be read"):
            files.read_capped(path, 5, "report")
