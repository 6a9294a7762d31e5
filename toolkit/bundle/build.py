"""Gives the host a bundle: from the cache, or built in a Debian root that mmdebstrap makes.

Three stages, each cached by the hash of what goes in: the root (packages), the base (programs and libraries
cut out of it), the bundle (our own libraries added). A change to our own C or Ruby files so costs seconds.
Every command runs in mount and process namespaces of its own that die with this process: a build that is
killed leaves neither mounts nor processes, and its half-made directory is removed by the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import filelock
import platformdirs

import toolkit
from toolkit import debian
from toolkit.bundle import contents, provenance, sources
from toolkit.bundle.namespaces import PRIVATE, require
from toolkit.bundle.tree import digest
from toolkit.errors import CallError, ScanError

Progress = Callable[[str], None]

ROOT_FORMAT = 1
"""Counted up when a root made by an older version would no longer do."""
GEMS_REFUSED = 3
"""Exit status of a stage that could not use the gems."""
FORMAT = 1
"""The layout of a bundle, as `bundle.json` states it."""
KEEP_STAGES = 2
"""Roots and bases that stay in the cache."""
KEEP_DAYS = 14
"""What nobody used for so long leaves the cache."""

GEM_SERVER = "https://rubygems.cinc.sh"
"""Where the CINC project publishes the auditor's gems; what they depend on comes from RubyGems."""
OTHER_GEMS = "https://rubygems.org"
ANSWER_WITHIN = 4.0
"""Seconds after which a gem server is taken to be out of reach."""
ASK_AGAIN = 86400
"""Seconds after which a gem server that did not answer is asked again."""

_ENTER = """
root=$1 code=$2 output=$3 gems=$4
shift 4
mount --bind "$code" "$root/opt/code"
mount --bind "$output" "$root/opt/output"
[ -z "$gems" ] || mount --bind "$gems" "$root/opt/gems"
mount -t proc proc "$root/proc"
for file in /etc/resolv.conf /etc/hosts; do
    [ -e "$root$file" ] || : > "$root$file"
    [ ! -e "$file" ] || mount --bind "$file" "$root$file"
done
exec chroot "$root" env -i ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
    HOME=/tmp PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 \
    PYTHONPATH=/opt/code PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 "$@"
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle on this machine: its directory and its manifest (`bundle.json`)."""

    path: Path
    manifest: dict[str, Any]


def load(path: Path) -> Bundle:
    """Return the bundle in `path`; CallError when there is none, or of another format or architecture."""
    try:
        manifest = json.loads((path / "bundle.json").read_text())
    except (OSError, ValueError) as error:
        raise CallError(f"{path} holds no bundle ({error})", "name a directory with a bundle.json") from error
    if manifest.get("format") != FORMAT:
        raise CallError(
            f"the bundle in {path} has format {manifest.get('format')}, not {FORMAT}", "build it anew"
        )
    if manifest["architecture"] != platform.machine():
        raise CallError(
            f"the bundle in {path} is for {manifest['architecture']}, this machine is {platform.machine()}",
            "build one here",
        )
    return Bundle(path.resolve(), manifest)


def ensure_bundle(
    gems: Path | None = None, *, progress: Progress, locked: bool = False, cache: Path | None = None
) -> Bundle:
    """Return a bundle with these gems, built first where the cache has none.

    `gems` is a GEM_HOME or a directory of .gem files (default: what BARESCAN_GEMS names, else none: then the
    bundle has no Ruby and no InSpec engine). BARESCAN_BUNDLE names a finished bundle and wins. `progress`
    gets a line of text per step. With `locked` every Debian package must have its pinned version. Raises
    CallError for gems or a bundle that can't be used, ScanError when it can't be built here.
    """
    if given := os.environ.get("BARESCAN_BUNDLE"):
        return load(Path(given).resolve())
    gems = _given(gems)
    place = cache or cache_directory()
    if gems is not None:
        return Builder(place, gems, progress, locked=locked).bundle()
    builder = Builder(place, None, progress, locked=locked)
    fetched = builder.fetched_gems()
    if fetched is not None:
        builder = Builder(place, fetched, progress, locked=locked, fetched=True)
    return builder.bundle()


def cached_bundle(gems: Path | None = None, *, cache: Path | None = None) -> Bundle | None:
    """Return the bundle that `ensure_bundle` would give without building; None where it would have to.

    Raises CallError for gems or a bundle that can't be used.
    """
    if given := os.environ.get("BARESCAN_BUNDLE"):
        return load(Path(given).resolve())
    place, gems = cache or cache_directory(), _given(gems)
    fetched = place / f"gems-{Builder.gems_version()}"
    if gems is None and fetched.exists():
        builder = Builder(place, fetched, lambda _text: None, locked=False, fetched=True)
    else:
        builder = Builder(place, gems, lambda _text: None, locked=False)
    return load(builder.final) if builder.final.exists() else None


def _given(gems: Path | None) -> Path | None:
    """Return the directory of gems that the user named, in the call or by BARESCAN_GEMS."""
    if gems is None and (named := os.environ.get("BARESCAN_GEMS")):
        gems = Path(named)
    if gems is None:
        return None
    if not gems.is_dir():
        raise CallError(f"{gems} is no directory of gems", "name a GEM_HOME or a directory of .gem files")
    return gems.resolve()


def cache_directory() -> Path:
    """Return where bundles are cached (honours XDG_CACHE_HOME)."""
    return Path(platformdirs.user_cache_dir("barescan")) / "bundle"


class Builder:
    """One wish for a bundle: knows the keys of its stages and makes those that are missing."""

    def __init__(
        self, cache: Path, gems: Path | None, progress: Progress, *, locked: bool, fetched: bool = False
    ) -> None:
        """Compute the keys; nothing is made yet."""
        self.cache, self.gems, self.progress, self.locked = cache, gems, progress, locked
        self.fetched = fetched
        self.log: IO[str] | None = None
        root = _key(
            [
                str(ROOT_FORMAT),
                platform.machine(),
                contents.SUITE,
                debian.mirror(),
                *contents.PACKAGES,
                *contents.TOOLS,
                sources.LOCK.read_text(),
            ]
        )
        gems_key = f"{digest(gems)} {fetched}" if gems else "none"
        base = _key(
            [root, gems_key, *(sources.HERE.joinpath(f"{name}.py").read_text() for name in sources.INSIDE)]
        )
        describing = (sources.HERE.joinpath(f"{name}.py").read_text() for name in sources.DESCRIBING)
        own = _key([base, _own_digest(), toolkit.__version__, *describing])
        self.root, self.base, self.final = (
            cache / f"root-{root}",
            cache / f"base-{base}",
            cache / f"bundle-{own}",
        )

    def bundle(self) -> Bundle:
        """Return the bundle, made first where needed."""
        if not self.final.exists():
            stages = [
                (self.root, self._make_root),
                (self.base, self._make_base),
                (self.final, self._make_final),
            ]
            self._make(stages)
        with suppress(PermissionError):  # another user's bundle is as good
            os.utime(self.final)
        found = load(self.final)
        if self.locked and found.manifest["drift"]:
            names = ", ".join(found.manifest["drift"])
            raise ScanError(
                f"the archive no longer has the pinned version of {names}", "refresh packages.lock"
            )
        return found

    def fetched_gems(self) -> Path | None:
        """Return CINC's gems as fetched earlier or now; None when its server does not answer, or can't be
        used.

        A server that did not answer is asked again after a day.
        """
        place, silent = self.cache / f"gems-{self.gems_version()}", self.cache / "gems-server-silent"
        if place.exists():
            with suppress(PermissionError):
                os.utime(place)
            return place
        if os.geteuid() != 0 or (silent.exists() and time.time() - silent.stat().st_mtime < ASK_AGAIN):
            return None
        trouble = "does not answer"
        if answers(GEM_SERVER):
            self._make([(self.root, self._make_root)])
            try:
                self._make([(place, self._make_gems)])
            except CallError as error:
                trouble = f"does not give what is needed ({error.cause})"
            else:
                return place
        self.progress(f"no gems are given and {GEM_SERVER} {trouble}: without the InSpec engine")
        self.cache.mkdir(parents=True, exist_ok=True)
        silent.touch()
        return None

    @staticmethod
    def gems_version() -> str:
        """Return the key of what would be fetched."""
        return _key([contents.AUDITOR, platform.machine(), sources.LOCK.read_text()])

    def _make(self, stages: Sequence[tuple[Path, Callable[[Path], None]]]) -> None:
        require("building the bundle", {"mmdebstrap": "mmdebstrap"}, {debian.KEYRING: debian.KEYRING.stem})
        self.cache.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.cache / "lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            self.progress("another process is building a bundle; waiting for it")
            lock.acquire()
        try:
            self._sweep()
            with _log_file(self.cache) as self.log:
                for directory, make in stages:
                    self._stage(directory, make)
        finally:
            lock.release()

    def _stage(self, directory: Path, make: Callable[[Path], None]) -> None:
        """Make one stage beside its place and rename it there: it exists whole or not at all."""
        if directory.exists():
            os.utime(directory)
            return
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=self.cache))
        try:
            tree = fresh / "tree"
            tree.mkdir()
            make(tree)
            tree.rename(directory)
            os.utime(directory)  # when it was last used; its files keep their uniform time
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _make_root(self, tree: Path) -> None:
        self.progress("making a Debian root to build the bundle in (once; a minute or two)")
        with _code() as code:
            place = shlex.quote(str(code))
            install = f"python3 -m toolkit.bundle.assemble install{' --locked' if self.locked else ''}"
            hook = (
                'mkdir -p "$1/opt/code" "$1/opt/output" "$1/opt/gems"'
                f' && cp -r {place}/. "$1/opt/code"'
                f' && chroot "$1" env PYTHONPATH=/opt/code PYTHONDONTWRITEBYTECODE=1 {install}'
                ' && rm -rf "$1/opt/code" && mkdir "$1/opt/code"'
            )
            options = [
                "--mode=root",
                "--variant=apt",
                "--format=directory",
                "--include=python3",
                f"--keyring={debian.KEYRING}",
            ]
            options += ["--aptopt=Acquire::Languages none", "--aptopt=Acquire::Retries 3"]
            options += [
                f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("man", "locale", "info", "doc")
            ]
            options += ["--dpkgopt=path-include=/usr/share/doc/*/copyright", f"--customize-hook={hook}"]
            self._run(["mmdebstrap", *options, contents.SUITE, str(tree), *debian.sources(contents.SUITE)])

    def _make_base(self, tree: Path) -> None:
        self.progress("cutting the bundle out of the root")
        arguments = ["base", "/opt/output"]
        if self.gems:
            arguments += ["--gems", "/opt/gems", *(["--fetched"] if self.fetched else [])]
        self._assemble(arguments, tree)

    def _make_gems(self, tree: Path) -> None:
        self._assemble(["fetch", "/opt/output", "--server", GEM_SERVER, "--others", OTHER_GEMS], tree)

    def _make_final(self, tree: Path) -> None:
        self.progress("adding the view library and the launcher")
        shutil.rmtree(tree)
        shutil.copytree(self.base, tree, symlinks=True)
        self._assemble(["finish", "/opt/output"], tree)
        provenance.describe(tree, self.gems)

    def _assemble(self, arguments: Sequence[str], output: Path) -> None:
        with _code() as code:
            enter = [
                "sh",
                "-ec",
                _ENTER,
                "enter",
                str(self.root),
                str(code),
                str(output),
                str(self.gems or ""),
            ]
            self._run([*enter, "python3", "-m", "toolkit.bundle.assemble", *arguments])

    def _run(self, command: Sequence[str]) -> None:
        """Run in namespaces of its own; `barescan:` lines are progress, all output goes to the log."""
        assert self.log is not None  # noqa: S101 - set for as long as stages are made
        error = ""
        with subprocess.Popen(
            [*PRIVATE, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                for line in process.stdout or ():
                    self.log.write(line)
                    kind, _, said = line.strip().partition(": ")
                    if kind == "barescan":
                        self.progress(said)
                    elif kind == "barescan-error":
                        error = said
            except BaseException:
                process.kill()
                raise
        self.log.flush()
        if process.returncode == GEMS_REFUSED:
            raise CallError(
                f"these gems can't be used: {error}", "give others, or none for a bundle without InSpec"
            )
        if process.returncode:
            cause = error or f"{Path(command[0]).name} ended with status {process.returncode}"
            raise ScanError(f"the bundle could not be built: {cause}", f"the whole log is in {self.log.name}")

    def _sweep(self) -> None:
        """Remove what killed builds left (none runs: the lock is ours) and what nobody used for long."""
        for path in self.cache.glob(".new-*"):
            shutil.rmtree(path, ignore_errors=True)
        oldest = time.time() - KEEP_DAYS * 86400
        for path in (
            *self.cache.glob("bundle-*"),
            *self.cache.glob("gems-" + "?" * 32),
            *self.cache.glob("*.log"),
        ):
            if path.stat().st_mtime < oldest:
                _remove(path)
        for stage in ("root", "base"):  # big, and of no use to anything but a build
            by_age = sorted(self.cache.glob(f"{stage}-*"), key=lambda path: path.stat().st_mtime)
            for path in by_age[:-KEEP_STAGES]:
                _remove(path)


def answers(url: str) -> bool:
    """Tell whether an HTTP server can be reached within a few seconds, whatever it says."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_WITHIN):  # noqa: S310 - a constant of this module
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _key(parts: Iterable[str]) -> str:
    """Return 32 hexadecimal digits that stand for these texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _own_digest() -> str:
    return _key(f"{path.relative_to(sources.HERE)}\n{path.read_text()}" for path in sources.own_files())


@contextmanager
def _code() -> Iterator[Path]:
    """Yield a directory with what runs inside the root, as package `toolkit.bundle`, and our sources."""
    with tempfile.TemporaryDirectory(prefix="barescan-code-") as directory:
        package = Path(directory, "toolkit", "bundle")
        package.mkdir(parents=True)
        Path(directory, "toolkit", "__init__.py").touch()
        for path in (
            sources.HERE / "__init__.py",
            sources.LOCK,
            *(sources.HERE / f"{name}.py" for name in sources.INSIDE),
            *sources.own_files(),
        ):
            target = package / path.relative_to(sources.HERE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield Path(directory)


@contextmanager
def _log_file(cache: Path) -> Iterator[IO[str]]:
    """Yield a fresh log file, which stays."""
    name = time.strftime("build-%Y%m%dT%H%M%SZ", time.gmtime())
    with (cache / f"{name}-{os.getpid()}.log").open("w") as log:
        yield log
