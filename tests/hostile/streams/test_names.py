"""An agent names its report ../../x, so that the client writes where it must not."""

from __future__ import annotations

import pytest

from tests.hostile.streams.peer import RESULT, end, file, tell, trusting
from toolkit.errors import ScanError

CONTENT = b"ssh-ed25519 AAAA attacker"
NAMES = [
    "../../escaped",
    "../escaped",
    "a/../../escaped",
    ".profile",
    "..",
    ".",
    "",
    "/escaped",
    "a/b",
    "a\0b",
    "x" * 300,
]
NO_TEXT = [None, 7, ["report"], {"x": 1}, "\ud800"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_there(works, tmp_path, name):
    naive, client = (tmp_path / who / "reports" / "folder" for who in ("naive", "client"))
    for place in (naive, client):
        place.mkdir(parents=True)
    trusting(naive, file("../../escaped", CONTENT))
    works((tmp_path / "naive/escaped").read_bytes() == CONTENT, "who trusts the name writes above its folder")
    said = file(name, CONTENT) + RESULT
    told = tell(client, said + end(said))
    assert isinstance(told.error, ScanError)
    assert "the output" in told.error.cause
    assert [path for path in (tmp_path / "client").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_name_is_none(tmp_path, name):
    said = file(name, CONTENT) + RESULT
    told = tell(tmp_path, said + end(said))
    assert isinstance(told.error, ScanError)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_twice_and_nothing_that_was_not_asked_for(tmp_path):
    for said in (file("one", b"1") + file("one", b"2"), file("scan.json", CONTENT)):
        told = tell(tmp_path, said + end(said))
        assert isinstance(told.error, ScanError)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_bytes() == b"1"
