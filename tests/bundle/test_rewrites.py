"""Rewriting compiled-in paths: what is changed, what has to stay, what is refused."""

from __future__ import annotations

import re

import pytest

from toolkit.bundle.rewrites import BUNDLE, NOWHERE, RewriteError, rewrite, rules

TRIPLETS = ("x86_64-linux-gnu", "aarch64-linux-gnu", "riscv64-linux-gnu")


def loader(triplet: str) -> bytes:
    """Return the strings of a loader as glibc's sources lay them out."""
    directories = [f"/lib/{triplet}/", f"/usr/lib/{triplet}/", "/lib/", "/usr/lib/"]
    search = "".join(f"{directory}\0" for directory in directories).encode()
    return b"\x7fELF" + search + b"/etc/ld.so.cache\0/etc/ld.so.preload\0"


def libc(triplet: str) -> bytes:
    """Return the strings of a libc, one of them in a piece as compilers leave it."""
    gconv = f"/usr/lib/{triplet}/gconv\0/usr/lib/{triplet}/gconv/gconv-modules.cache\0".encode()
    return gconv + (
        b"/etc/nsswitch.conf\0/var/run/nscd/so\0\0/usr/lib/locale\0/usr/lib/locale/locale-archive\0"
        b"/usr/lib/getconf\0/usr/share/locale\0/etc/passwd\0"
    )


@pytest.mark.parametrize("triplet", TRIPLETS)
def test_every_rule_keeps_the_length(triplet: str) -> None:
    assert [rule for rule in rules(triplet) if len(rule.old) != len(rule.new)] == []


@pytest.mark.parametrize("triplet", TRIPLETS)
def test_loader_searches_the_bundle_only(triplet: str) -> None:
    data, _ = rewrite("ld-linux.so.2", loader(triplet), triplet)
    place, opened = 4, []
    for length in (len(f"/lib/{triplet}/"), len(f"/usr/lib/{triplet}/"), len("/lib/"), len("/usr/lib/")):
        assert data[place + length] == 0  # as elf/dl-load.c walks them, with the lengths it was compiled with
        opened.append((data[place : place + length] + b"libx.so").split(b"\0")[0].decode())
        place += length + 1
    assert [re.sub("/+", "/", path) for path in opened] == [
        f"{BUNDLE}/lib/libx.so",
        f"{BUNDLE}/lib/libx.so",
        "/",
        f"{NOWHERE}/libx.so",
    ]
    assert b"/etc/" not in data
    assert b"/sys/firmware//pre\0" in data


@pytest.mark.parametrize("triplet", TRIPLETS)
def test_libc_reads_the_targets_data_but_not_its_code(triplet: str) -> None:
    data, counts = rewrite("libc.so.6", libc(triplet), triplet)
    assert b"/etc/passwd\0" in data
    assert b"/sys/firmware/nsnf\0" in data
    assert b"/sys/firmware/l/locale-archive\0" in data
    for path in (b"/usr/lib", b"/usr/share", b"/etc/nsswitch", b"/var/run/nscd"):
        assert path not in data
    gconv = data.split(b"\0")[0].decode()
    assert gconv.startswith(f"{BUNDLE}/lib/")
    assert gconv.endswith("/gconv")
    assert counts["/usr/lib/locale"] == 2


def test_ends_of_strings_that_others_share_stay() -> None:
    data, _ = rewrite("ls", b"/usr/share/locale\0", TRIPLETS[0])
    assert data == f"{NOWHERE}////locale\0".encode()
    rpm = b"/etc/rpmrc\0/etc/rpm/macros\0"
    data, _ = rewrite("librpm.so.10", rpm + b"~/.config\0~/.rpmmacros\0~/.rpmrc\0", TRIPLETS[0])
    assert data.startswith(b"\0etc/rpmrc\0\0etc/rpm/macros\0")
    assert b"~" not in data


@pytest.mark.parametrize(
    "pieces", [(b"/sbin:/sbin/fs.d", 10, b"n/fs.d:/sbin/fs"), (b"/sbin:/sbin/fs.d:/sbin/fs", 25, b"")]
)
def test_helpers_of_mount_are_found_nowhere(pieces: tuple[bytes, int, bytes]) -> None:
    first, kept, second = pieces  # whole, or as two moves of 16 bytes of which the second overlaps the first
    data, _ = rewrite("libmount.so.1", first + second + b"\0", TRIPLETS[0])
    path = data[: len(first)][:kept] + data[len(first) :].rstrip(b"\0")
    assert len(path) == len(b"/sbin:/sbin/fs.d:/sbin/fs")
    assert all(place.startswith(NOWHERE.encode() + b"/") for place in path.split(b":"))


def test_missing_string_stops_the_build() -> None:
    with pytest.raises(RewriteError, match=r"libc\.so\.6: .* occurs 0 times"):
        rewrite("libc.so.6", libc(TRIPLETS[0]).replace(b"/etc/nsswitch.co", b"/etc/nssw.config"), TRIPLETS[0])


def test_unexpectedly_frequent_string_stops_the_build() -> None:
    with pytest.raises(RewriteError, match="occurs 4 times"):
        rewrite("bash", b"/etc/profile\0" * 4 + b"/etc/bash.bashrc\0/etc/inputrc\0", TRIPLETS[0])


def test_other_files_are_left_alone() -> None:
    data = b"/etc/profile\0/etc/ld.so.preload\0/etc/nsswitch.conf\0/etc/rpm/macros\0"
    assert rewrite("cat", data, TRIPLETS[0]) == (data, {})


def test_ruby_loads_from_the_bundle_only() -> None:
    rule = next(rule for rule in rules(TRIPLETS[0]) if rule.files == "libruby-*")
    data, _ = rewrite("libruby-3.3.so.3.3", rule.old.encode() + b"\0", TRIPLETS[0])
    paths = data.rstrip(b"\0").split(b"\0")
    assert all(path.startswith(BUNDLE.encode()) for path in paths)
    assert data.endswith(b"\0\0")
