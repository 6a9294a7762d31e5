"""Debian packages as files, fetched by an apt of our own beside the host's, pinned by `packages.lock`.

The lock holds version and SHA-256 per suite and architecture. Debian's archive keeps only the newest version
of a package in a suite, so a pin may outlive what it names: then the archive's present version is taken
(apt has checked its signature) and the difference is said.
"""

from __future__ import annotations

import json
import re
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import debian
from toolkit.demo import cache, needs
from toolkit.errors import ScanError

LOCK = Path(__file__).with_name("packages.lock")
OFFLINE = f"check that Debian's archive can be reached, or name a mirror with {debian.MIRROR_VARIABLE}"
_URI = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) \d+ SHA256:(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One package: its name, version, the SHA-256 of its file, and the file once it is there."""

    name: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Return where the cache keeps the file."""
        return cache.folder("debs") / f"{self.sha256}.deb"


def architecture() -> str:
    """Return this host's Debian architecture, e.g. `amd64`."""
    return needs.run(["dpkg", "--print-architecture"], "use Debian or Ubuntu").decode().strip()


def fetch(suite: str, names: list[str], progress: cache.Progress = cache.silent) -> list[Package]:
    """Return the packages, their files in the cache; raises ScanError when the archive can't be read.

    Without network as long as what the lock names (or what it was replaced by before) is cached.
    """
    arch = architecture()
    locked = _locked(suite, arch)
    replaced = cache.folder("apt") / f"{suite}-{arch}-{cache.key([LOCK.read_text(), *names])}.json"
    wanted = [locked[name] for name in names if name in locked]
    if replaced.exists():
        wanted = [Package(**entry) for entry in json.loads(replaced.read_text())]
    if len(wanted) == len(names) and all(package.path.exists() for package in wanted):
        return wanted
    progress(f"fetching {len(names)} packages of Debian {suite}")
    apt = _Apt(suite, arch)
    apt.update()
    current = apt.candidates(names)
    for package in current:
        pin = locked.get(package.name)
        if pin and pin != package:
            progress(f"{package.name} {pin.version} has left the archive; taking {package.version}")
        apt.download(package)
    if current != wanted:
        replaced.write_text(json.dumps([vars(package) for package in current]))
    return current


def refresh_lock(wanted: dict[str, list[str]], architectures: list[str]) -> None:
    """Rewrite the lock with what the archive has now; `wanted` is suite → package names."""
    lock: dict[str, Any] = {}
    for suite, names in sorted(wanted.items()):
        for arch in architectures:
            apt = _Apt(suite, arch)
            apt.update()
            lock.setdefault(suite, {})[arch] = {
                package.name: {"version": package.version, "sha256": package.sha256}
                for package in apt.candidates(sorted(names))
            }
    LOCK.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n")


def _locked(suite: str, arch: str) -> dict[str, Package]:
    entries = json.loads(LOCK.read_text()).get(suite, {}).get(arch, {})
    return {name: Package(name, **entry) for name, entry in entries.items()}


class _Apt:
    """An apt with sources and state of its own; the host's proxy settings still hold."""

    def __init__(self, suite: str, arch: str) -> None:
        self._base = cache.folder("apt") / f"{suite}-{arch}"
        for name in ("lists/partial", "cache/archives/partial"):
            (self._base / name).mkdir(parents=True, exist_ok=True)
        (self._base / "status").touch()
        (self._base / "sources.list").write_text("\n".join(debian.sources(suite)) + "\n")
        options = {
            "Dir::Etc::sourcelist": self._base / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State": self._base,
            "Dir::State::lists": self._base / "lists",
            "Dir::State::status": self._base / "status",
            "Dir::Cache": self._base / "cache",
            "APT::Architecture": arch,
            "APT::Architectures": arch,
            "APT::Sandbox::User": "root",
        }
        self._options = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]

    def _run(self, *arguments: str, directory: Path | None = None) -> str:
        return needs.run(["apt-get", "-q", *self._options, *arguments], OFFLINE, directory=directory).decode()

    def update(self) -> None:
        self._run("-o", "APT::Update::Error-Mode=any", "update")

    def candidates(self, names: list[str]) -> list[Package]:
        """Return name, version and hash as the signed index has them, in the order of `names`."""
        found = {}
        for match in _URI.finditer(self._run("--print-uris", "download", *names)):
            name, version, _ = match["file"].split("_", 2)
            found[name] = Package(name, urllib.parse.unquote(version), match["sha256"])
        missing = [name for name in names if name not in found]
        if missing:
            raise ScanError(f"the archive has no package {', '.join(missing)}", OFFLINE)
        return [found[name] for name in names]

    def download(self, package: Package) -> None:
        """Put the file into the cache; apt checks it against the index, we against the expected hash."""
        if package.path.exists():
            return
        with tempfile.TemporaryDirectory(dir=package.path.parent) as scratch:
            self._run("download", f"{package.name}={package.version}", directory=Path(scratch))
            (file,) = Path(scratch).glob("*.deb")
            found = cache.file_hash(file)
            if found != package.sha256:
                raise ScanError(f"{file.name} has SHA-256 {found}, not {package.sha256}", OFFLINE)
            file.rename(package.path)
