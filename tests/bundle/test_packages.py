"""The lock file, and choosing between what it pins and what the archive has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.bundle.packages import (
    LockError,
    Package,
    choose,
    licences,
    parse_uris,
    read_lock,
    stanzas,
    write_lock,
)

HASH = "ab" * 32
BASH = Package("bash", "5.2.37-2", "amd64", HASH)

names = st.from_regex(r"[a-z0-9][a-z0-9.+-]{1,20}", fullmatch=True)
versions = st.from_regex(r"([0-9]:)?[0-9][A-Za-z0-9.+~-]{0,20}", fullmatch=True)
hashes = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


@given(st.dictionaries(names, st.tuples(versions, hashes)))
def test_what_is_written_is_read(entries: dict[str, tuple[str, str]]) -> None:
    pinned = {name: Package(name, version, "amd64", sha) for name, (version, sha) in entries.items()}
    other = Package("bash", "1", "arm64", HASH)
    text = write_lock([*pinned.values(), other], "two\nlines")
    assert read_lock(text, "amd64") == pinned
    assert read_lock(text, "arm64") == {"bash": other}


@pytest.mark.parametrize("line", ["amd64 bash 1", "amd64 bash 1 xyz", f"amd64 bash 1 {HASH} more"])
def test_malformed_line_is_named(line: str) -> None:
    with pytest.raises(LockError, match="line 2"):
        read_lock(f"# header\n{line}\n", "amd64")


def test_uris_give_versions_with_epochs() -> None:
    text = f"""Reading package lists...
'http://archive.example/debian/pool/main/r/ruby_3.3%2bb1_amd64.deb' ruby_1%3a3.3+b1_amd64.deb 33 SHA256:{HASH}
'http://archive.example/debian/pool/main/x/x_1_all.deb' x_1~deb13u1_all.deb 44 SHA256:{HASH}
'http://archive.example/debian/pool/main/y/y_1_all.deb' y_1_all.deb 44 MD5Sum:{HASH[:32]}
"""
    assert parse_uris(text, "amd64") == [
        Package("ruby", "1:3.3+b1", "amd64", HASH),
        Package("x", "1~deb13u1", "amd64", HASH),
    ]


def test_pinned_version_is_taken() -> None:
    archive = {"bash": {"5.2.37-2": HASH, "5.3-1": "cd" * 32}}
    assert choose({"bash": BASH}, archive) == (["bash=5.2.37-2"], [])


@pytest.mark.parametrize("archive", [{"bash": {"5.3-1": HASH}}, {}])
def test_dropped_version_is_drift(archive: dict[str, dict[str, str]]) -> None:
    assert choose({"bash": BASH}, archive) == (["bash"], ["bash"])


def test_same_version_with_other_content_is_refused() -> None:
    with pytest.raises(LockError, match=r"bash 5\.2\.37-2: the archive's SHA-256"):
        choose({"bash": BASH}, {"bash": {"5.2.37-2": "cd" * 32}})


def test_stanzas_keep_continuation_lines() -> None:
    text = "Package: a\nDescription: one\n two\n .\n\n\nPackage: b\n"
    assert list(stanzas(text)) == [{"Package": "a", "Description": "one\ntwo\n."}, {"Package": "b"}]


def test_licences_of_a_machine_readable_file() -> None:
    text = "Format: https://x\n\nFiles: *\nLicense: GPL-3+\n text\n\nFiles: a\nLicense: Expat\n"
    assert licences(text) == ["Expat", "GPL-3+"]


def test_licence_without_a_name() -> None:
    assert licences("Permission is hereby granted, free\nof charge, to any person") == ["Expat"]
    assert licences("Do what you like.") == ["see the package's copyright file"]


def test_licences_of_prose() -> None:
    text = "The text is in /usr/share/common-licenses/GPL-2, and /usr/share/common-licenses/LGPL-2.1."
    assert licences(text) == ["GPL-2", "LGPL-2.1"]
