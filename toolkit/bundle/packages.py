"""Debian packages inside the root: which are pinned, which are installed, what they say of themselves."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One binary package of the archive."""

    name: str
    version: str
    architecture: str
    sha256: str


class LockError(Exception):
    """The lock file can't be read, or (with `--locked`) the archive no longer has what it pins."""


def read_lock(text: str, architecture: str) -> dict[str, Package]:
    """Return the pinned packages of one Debian architecture by name; raises LockError on a malformed line."""
    pinned = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != 4 or not re.fullmatch(r"[0-9a-f]{64}", fields[3]):
            raise LockError(f"line {number} is not 'ARCHITECTURE NAME VERSION SHA256': {line!r}")
        if fields[0] == architecture:
            pinned[fields[1]] = Package(fields[1], fields[2], fields[0], fields[3])
    return pinned


def write_lock(packages: Iterable[Package], header: str) -> str:
    """Return the lock file's text, one package a line, sorted, so that a refresh reads well as a diff."""
    lines = sorted(f"{p.architecture} {p.name} {p.version} {p.sha256}" for p in packages)
    return "".join(f"# {line}\n" for line in header.splitlines()) + "\n".join(lines) + "\n"


def parse_uris(text: str, architecture: str) -> list[Package]:
    """Return the packages of `apt-get --print-uris install` (apt-get(8): 'URI' file size checksum)."""
    out = []
    for line in text.splitlines():
        match = re.fullmatch(r"'.*' (\S+)_(\S+)_\S+\.deb \d+ SHA256:([0-9a-f]{64})", line.strip())
        if match:
            out.append(Package(match[1], match[2].replace("%3a", ":"), architecture, match[3]))
    return out


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield each paragraph of deb822 text as field → value (continuation lines joined by newlines)."""
    for block in re.split(r"\n{2,}", text.strip()):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line[:1] in " \t":
                fields[key] = fields.get(key, "") + "\n" + line.strip()
            else:
                key, _, value = line.partition(":")
                fields[key] = value.strip()
        yield fields


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def architecture() -> str:
    """Return Debian's name of this root's architecture, e.g. amd64."""
    return _output("dpkg", "--print-architecture").strip()


def installed() -> dict[str, str]:
    """Return name → version of every installed package of the root's own architecture."""
    out = _output("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n")
    rows = (line.split("\t") for line in out.splitlines())
    return {name: version for status, name, version in rows if status.startswith("ii")}


def offered(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return name → (version → SHA-256) that the archive has now."""
    found: dict[str, dict[str, str]] = {}
    for fields in stanzas(_output("apt-cache", "show", *sorted(names))):
        if "SHA256" in fields:
            found.setdefault(fields["Package"], {})[fields["Version"]] = fields["SHA256"]
    return found


def choose(
    pinned: Mapping[str, Package], archive: Mapping[str, Mapping[str, str]]
) -> tuple[list[str], list[str]]:
    """Return what to install (`name=version`, or the bare name where the pinned version is gone) and those
    names.

    Raises LockError when the archive has the pinned version with another content: that is never drift.
    """
    wanted, gone = [], []
    for name, package in sorted(pinned.items()):
        versions = archive.get(name, {})
        sha256 = versions.get(package.version)
        if sha256 is None:
            gone.append(name)
            wanted.append(name)
        elif sha256 != package.sha256:
            raise LockError(
                f"{name} {package.version}: the archive's SHA-256 {sha256} is not the pinned {package.sha256}"
            )
        else:
            wanted.append(f"{name}={package.version}")
    return wanted, gone


def owners(paths: Iterable[Path]) -> dict[str, str]:
    """Return path → package that installed it, from dpkg's file lists (also through the merged /usr)."""
    table: dict[str, str] = {}
    for listing in Path("/var/lib/dpkg/info").glob("*.list"):
        name = listing.stem.partition(":")[0]
        for line in listing.read_text().splitlines():
            table[line] = name
            if not line.startswith("/usr/"):
                table.setdefault("/usr" + line, name)
    return {str(path): table[str(path)] for path in paths if str(path) in table}


_SHORT = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)
_PHRASES = {
    "Expat": r"Permission is hereby granted, free of charge, to any person",
    "LGPL-2.1+": r"GNU Lesser General Public License, version 2\.1 \(or, at your option, any later version\)",
}
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")


def licences(copyright_text: str) -> list[str]:
    """Return a Debian copyright file's licence names: its `License:` fields, else what its text is about."""
    if copyright_text.lstrip().lower().startswith("format:"):
        return sorted({match.strip() for match in _SHORT.findall(copyright_text)})
    named = set(_COMMON.findall(copyright_text)) | {
        name for name, phrase in _PHRASES.items() if re.search(phrase, " ".join(copyright_text.split()))
    }
    return sorted(named) or ["see the package's copyright file"]
