"""Trees made to stop, mislead or overwhelm the profile: it neither hangs nor passes what it has not seen."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.profiles.conftest import Audit, failed, put, skipped

pytestmark = pytest.mark.root

WALKED = {f"BARE-DL-{n:06d}" for n in (10, 20, 30, 70, 80, 90, 110, 120, 130, 140, 180, 190, 200, 210)}


def test_pipes_are_never_opened(tree: Path, audit: Audit) -> None:
    for path in (
        "opt",
        "etc/shells",
        "etc/localtime",
        "usr/lib/libgood.so.1",
        "etc/ssl/certs/ca-certificates.crt",
    ):
        (tree / path).unlink(missing_ok=True)
    (tree / "opt").mkdir()
    for path in (
        "opt/sh",
        "opt/liba.so",
        "etc/shells",
        "etc/localtime",
        "usr/lib/libgood.so.1",
        "etc/ssl/certs/ca-certificates.crt",
    ):
        os.mkfifo(tree / path, 0o755)
    found = failed(audit(tree, timeout=20))
    assert set(found) == {"BARE-DL-000150", "BARE-DL-000220"}
    assert found["BARE-DL-000150"] == ["/usr/lib/libgood.so.1 of libgood is different"]


def test_devices_are_reported_and_never_opened(tree: Path, audit: Audit) -> None:
    os.mknod(tree / "usr/lib/libzero.so", stat.S_IFCHR | 0o755, os.makedev(1, 5))
    assert failed(audit(tree, timeout=20)) == {
        "BARE-DL-000090": ["/usr/lib/libzero.so (mode 0755, owner 0:0)"]
    }


def test_links_in_circles_and_to_themselves_end(tree: Path, audit: Audit) -> None:
    (tree / "a").symlink_to("/b")
    (tree / "b").symlink_to("/a")
    (tree / "self").symlink_to(".")
    (tree / "etc/os-release").unlink()
    (tree / "etc/os-release").symlink_to("/a/x")
    (tree / "etc/shells").symlink_to("/self/self/self/a")
    assert failed(audit(tree, timeout=20)) == {}  # /usr/lib/os-release still answers


def test_links_do_not_lead_out_of_the_tree(tree: Path, tmp_path: Path, audit: Audit) -> None:
    outside = put(tmp_path / "outside", "root::0:0::/:/bin/sh\n")
    (tree / "etc/passwd").unlink()
    (tree / "etc/passwd").symlink_to("../" * 30 + str(outside).lstrip("/"))
    (tree / "etc/group").write_text("")
    (tree / "etc/shadow").unlink()
    assert failed(audit(tree)) == {}


def test_records_can_not_point_out_of_the_tree(tree: Path, tmp_path: Path, audit: Audit) -> None:
    put(tmp_path / "outside", "x")
    line = f"{'0' * 32}  {'../' * 30}{str(tmp_path / 'outside').lstrip('/')}\n"
    put(tree / "var/lib/dpkg/status.d/evil.md5sums", line)
    found = failed(audit(tree))
    assert list(found) == ["BARE-DL-000160"]
    assert all(item.endswith("of evil") for item in found["BARE-DL-000160"])


def test_names_can_not_write_to_a_terminal(tree: Path, audit: Audit) -> None:
    put(tree / "srv" / "\x1b[2J\nok\\x", "", 0o666)
    put(tree / "srv" / os.fsdecode(b"\xff\xfe"), "", 0o666)
    (found,) = failed(audit(tree)).values()
    assert found == [
        r"/srv/\x1b[2J\x0aok\x5cx (mode 0666, owner 0:0)",
        r"/srv/\xff\xfe (mode 0666, owner 0:0)",
    ]


def test_what_the_walk_did_not_reach_is_not_reviewed_instead_of_passed(tree: Path, audit: Audit) -> None:
    (tree / "srv").mkdir()
    for number in range(3000):
        (tree / f"srv/{number}").touch()
    results = audit(tree, max_entries=1000)
    assert failed(results) == {}
    assert set(skipped(results)) == WALKED
    assert skipped(results)["BARE-DL-000010"] == ["the walk stopped after 1000 entries"]


def test_walk_that_takes_too_long_is_not_reviewed(tree: Path, audit: Audit) -> None:
    (tree / "srv").mkdir()
    for number in range(2000):
        (tree / f"srv/{number}").touch()
    results = audit(tree, max_seconds=0)
    assert set(skipped(results)) >= WALKED
    assert all("took too long" in " ".join(skipped(results)[name]) for name in WALKED)


def test_what_was_found_before_the_walk_stopped_stays_found(tree: Path, audit: Audit) -> None:
    (tree / "zz").mkdir()
    for number in range(3000):
        put(tree / f"zz/{number}", "", 0o666)
    assert len(failed(audit(tree, max_entries=2000))["BARE-DL-000130"]) == 51


def test_deep_directories_end_and_are_not_passed(tree: Path, audit: Audit) -> None:
    here = tree / "deep"
    for _ in range(140):
        here = here / "d"
    here.mkdir(parents=True)
    results = audit(tree)
    assert skipped(results)["BARE-DL-000070"] == ["directories are nested deeper than 128"]


def test_long_lists_of_findings_are_cut_with_their_number(tree: Path, audit: Audit) -> None:
    for number in range(80):
        put(tree / f"srv/{number:02}", "", 0o666)
    found = failed(audit(tree))["BARE-DL-000130"]
    assert len(found) == 51
    assert found[-1] == "and 30 more"


@pytest.mark.parametrize(
    "content",
    [
        b"\x7fELF",
        b"\x7fELF\x09\x09" + b"\0" * 60,
        b"\x7fELF\x02\x01\x01" + b"\xff" * 57,
        b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\3\0\x3e\0" + b"\xff" * 44,
    ],
    ids=["magic only", "no class", "all ones", "offsets outside"],
)
def test_damaged_programs_are_findings_and_no_crash(content: bytes, tree: Path, audit: Audit) -> None:
    put(tree / "opt/x", content, 0o755)
    found = failed(audit(tree))
    assert all(line.startswith("/opt/x is a damaged program") for lines in found.values() for line in lines)
    assert "BARE-DL-000200" in found


def test_account_files_without_end_are_not_reviewed(tree: Path, audit: Audit) -> None:
    with (tree / "etc/passwd").open("wb") as file:
        file.truncate(1 << 40)
    results = audit(tree, timeout=30)
    assert failed(results) == {}
    assert set(skipped(results)) == {f"BARE-DL-{n:06d}" for n in (260, 270, 280, 290)}
    assert "longer than" in skipped(results)["BARE-DL-000260"][0]


def test_other_file_systems_and_kernel_ones_are_not_entered(tree: Path, audit: Audit) -> None:
    for place in ("proc", "sys", "dev"):
        put(tree / place / "x", "", 0o4777)
    assert failed(audit(tree)) == {}
