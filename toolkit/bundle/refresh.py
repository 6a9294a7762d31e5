"""Refreshes packages.lock: asks the archive, through apt and its signatures, what would be installed now."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from toolkit import debian
from toolkit.bundle import contents
from toolkit.bundle.build import Progress
from toolkit.bundle.gems import archives
from toolkit.bundle.packages import Package, parse_uris, read_lock, write_lock
from toolkit.bundle.sources import LOCK
from toolkit.errors import ScanError

ARCHITECTURES = ("amd64", "arm64")

_HEADER = f"""\
Debian packages of the bundle and of the root it is built in ({contents.SUITE}).
Each line: architecture name version sha256.
Written by `invoke bundle.lock`; not to be edited by hand."""


def refresh_lock(
    architectures: Sequence[str] = ARCHITECTURES,
    *,
    progress: Progress,
    path: Path = LOCK,
    gems: Path | None = None,
) -> dict[str, tuple[str, str]]:
    """Write packages.lock anew and return what changed: "architecture name" → (old version, new version).

    Gems are pinned as they lie in the GEM_HOME `gems` (one that was fetched); without it their pins stay as
    they are. Needs apt-get and mmdebstrap, not root; nothing is installed. Raises ScanError when the archive
    can't be asked.
    """
    old = path.read_text() if path.exists() else ""
    before = _versions(old)
    found = [package for architecture in architectures for package in _ask(architecture, progress)]
    found += archives(gems) if gems else read_lock(old, "gem").values()
    path.write_text(write_lock(found, _HEADER))
    after = _versions(path.read_text())
    names = sorted(before.keys() | after.keys())
    return {
        name: (before.get(name, ""), after.get(name, ""))
        for name in names
        if before.get(name) != after.get(name)
    }


def _versions(text: str) -> dict[str, str]:
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {f"{row[0]} {row[1]}": row[2] for row in rows}


def _ask(architecture: str, progress: Progress) -> list[Package]:
    progress(f"asking Debian {contents.SUITE} for {architecture}")
    with tempfile.TemporaryDirectory(prefix="barescan-apt-") as scratch:
        options = _private_apt(Path(scratch), architecture)
        _apt(options, "update")
        names = ["?essential", "apt", *contents.PACKAGES, *contents.TOOLS]
        out = _apt(options, "install", "--yes", "--no-install-recommends", "--print-uris", *names)
    found = parse_uris(out, architecture)
    if not found:
        raise ScanError(
            "apt-get names no package with a SHA-256", "look at its version: 2.0 or newer is needed"
        )
    return found


def _private_apt(scratch: Path, architecture: str) -> list[str]:
    """Return options that make apt-get use `scratch` for everything and see an empty system."""
    for name in ("lists/partial", "archives/partial", "etc"):
        (scratch / name).mkdir(parents=True)
    (scratch / "status").touch()
    lines = debian.sources(contents.SUITE)
    (scratch / "etc" / "sources.list").write_text("\n".join(lines) + "\n")
    settings = {
        "Dir::State": scratch,
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch,
        "Dir::Etc": scratch / "etc",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::trusted": "/dev/null",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Acquire::ForceHash": "SHA256",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    return [option for name, value in settings.items() for option in ("-o", f"{name}={value}")]


def _apt(options: Sequence[str], *arguments: str) -> str:
    try:
        command = ["apt-get", "-q", *options, *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise ScanError("refreshing the lock needs apt-get", "run it on Debian or Ubuntu") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise ScanError(
            f"apt-get {arguments[0]} failed: {' '.join(last)}", "look at the network and at apt's sources"
        )
    return done.stdout
