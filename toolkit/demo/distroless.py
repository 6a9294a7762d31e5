"""Roots laid out as Google's distroless images are, from the same Debian packages in the same order.

Source: the build files of github.com/GoogleContainerTools/distroless (`static/static.bzl`,
`static/config.bzl`, `base/config.bzl`, `common/BUILD.bazel`, `PACKAGE_METADATA.md`) and the rules they use
(github.com/GoogleContainerTools/rules_distroless: `passwd`, `group`, `home`, `os_release`, `cacerts`,
`dpkg_statusd`). Two consequences that surprise a scanner: `usr/lib/os-release` is not the one in base-files'
md5sums, and ca-certificates' md5sums list files that the image has only as one bundle.
"""

from __future__ import annotations

import inspect
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Literal, get_args

from toolkit.demo import cache, needs, packages
from toolkit.errors import CallError, ScanError

Variant = Literal["static", "base", "nothing"]
VARIANTS: tuple[str, ...] = get_args(Variant)
SUITES = {"bookworm": "12", "trixie": "13"}
DEFAULT_SUITE = "bookworm"
NONROOT = 65532
NOBODY = 65534
PROGRAM = "/app"

_STATIC = {
    "bookworm": ["base-files", "netbase", "tzdata", "media-types"],
    "trixie": ["base-files", "netbase", "tzdata", "tzdata-legacy", "media-types"],
}
_BASE = {"bookworm": ["libc6", "libssl3"], "trixie": ["libc6", "libssl3t64", "libzstd1", "zlib1g"]}
_CERTIFICATES = "ca-certificates"
_PASSWD = (
    "root:x:0:0:root:/root:/sbin/nologin\n"
    f"nobody:x:{NOBODY}:{NOBODY}:nobody:/nonexistent:/sbin/nologin\n"
    f"nonroot:x:{NONROOT}:{NONROOT}:nonroot:/home/nonroot:/sbin/nologin\n"
)
_GROUP = f"root:x:0:\nnobody:x:{NOBODY}:\ntty:x:5:\nstaff:x:50:\nnonroot:x:{NONROOT}:\n"
_NSSWITCH = {
    "passwd": "compat",
    "group": "compat",
    "shadow": "compat",
    "gshadow": "files",
    "hosts": "files dns",
    "networks": "files",
    "protocols": "db files",
    "services": "db files",
    "ethers": "db files",
    "rpc": "db files",
    "netgroup": "nis",
}
_HOME_URL = "https://github.com/GoogleContainerTools/distroless"
# PIE, full RELRO, stack protector: the workload shall pass the checks that its image is held to.
_HARDENED = ["-O2", "-Wall", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now"]


def refresh_lock() -> None:
    """Pin every package to what the archive has now."""
    wanted = {suite: [*_STATIC[suite], *_BASE[suite], _CERTIFICATES] for suite in SUITES}
    packages.refresh_lock(wanted, ["amd64", "arm64"])


def assemble(variant: Variant, progress: cache.Progress = cache.silent, suite: str = DEFAULT_SUITE) -> Path:
    """Return a cached root tree (never to be written to: `targets` lays an overlay on it).

    Raises CallError for an unknown variant or suite, ScanError when the host lacks something.
    """
    if variant not in VARIANTS:
        raise CallError(f"there is no demo variant {variant!r}", f"take one of {', '.join(VARIANTS)}")
    if suite not in SUITES:
        raise CallError(f"there is no distroless suite {suite!r}", f"take one of {', '.join(SUITES)}")
    needs.root("putting a root together")
    program = _compile(static=variant != "base")
    layers, certificates = _layers(variant, suite, progress)
    parts = [variant, suite, cache.file_hash(program), *(layer.sha256 for layer in layers)]
    recipe = inspect.getsource(sys.modules[__name__])
    path = cache.folder("roots") / f"{variant}-{suite}-{cache.key([*parts, recipe])}"

    def build(root: Path) -> None:
        progress(f"putting together the {variant} root of Debian {suite}")
        if certificates is not None:
            _distroless(root, suite, layers, certificates)
        _file(root, PROGRAM, program.read_bytes(), 0o755)

    return cache.built_once(path, build)


def _layers(
    variant: Variant, suite: str, progress: cache.Progress
) -> tuple[list[packages.Package], packages.Package | None]:
    if variant == "nothing":
        return [], None
    names = [*_STATIC[suite], *(_BASE[suite] if variant == "base" else [])]
    *layers, certificates = packages.fetch(suite, [*names, _CERTIFICATES], progress)
    return layers, certificates


def _distroless(
    root: Path, suite: str, layers: list[packages.Package], certificates: packages.Package
) -> None:
    for layer in layers:
        _unpack(layer.path, root)
        _status(root, layer)
    for path, owner, mode in (
        ("/", 0, 0o755),
        ("/etc", 0, 0o755),
        ("/root", 0, 0o700),
        ("/home", 0, 0o755),
        ("/home/nonroot", NONROOT, 0o700),
        ("/tmp", 0, 0o1777),  # noqa: S108 # the image's own /tmp
    ):
        _directory(root, path, owner, mode)
    _file(root, "/etc/passwd", _PASSWD.encode(), 0o644)
    _file(root, "/etc/group", _GROUP.encode(), 0o644)
    _file(root, "/etc/nsswitch.conf", _nsswitch(), 0o644)
    _file(root, "/usr/lib/os-release", _os_release(suite), 0o555)
    _certificates(root, certificates)


def _unpack(deb: Path, root: Path) -> None:
    """Unpack like a layer: owners and modes kept, a directory never replaces a link to one (merged /usr)."""
    tar = [needs.program("tar"), "--extract", "--directory", str(root), "--same-owner", "--numeric-owner"]
    tar += ["--preserve-permissions", "--keep-directory-symlink"]
    with subprocess.Popen(
        [needs.program("dpkg-deb"), "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE
    ) as source:
        sink = subprocess.run(tar, stdin=source.stdout, capture_output=True, check=False)
    if source.returncode or sink.returncode:
        reason = sink.stderr.decode(errors="replace").strip()[-300:]
        raise ScanError(f"{deb.name} can't be unpacked: {reason}", "remove the file and try again")


def _status(root: Path, package: packages.Package) -> None:
    """Write the two records that distroless keeps of a package, PACKAGE_METADATA.md."""
    for member, suffix in (("control", ""), ("md5sums", ".md5sums")):
        content = needs.run(["dpkg-deb", "--info", str(package.path), member], "remove the file, try again")
        _file(root, f"/var/lib/dpkg/status.d/{package.name}{suffix}", content, 0o644)


def _certificates(root: Path, package: packages.Package) -> None:
    """Concatenate Mozilla's certificates in the order of their names into one bundle, as `cacerts` does."""
    listed = needs.run(["dpkg-deb", "--fsys-tarfile", str(package.path)], "remove the file and try again")
    with tarfile.open(fileobj=io.BytesIO(listed)) as archive:
        members = {member.name.removeprefix("./"): member for member in archive if member.isfile()}

        def text(name: str) -> bytes:
            file = archive.extractfile(members[name])
            content = file.read() if file else b""
            return content if content.endswith(b"\n") else content + b"\n"

        names = sorted(name for name in members if name.startswith("usr/share/ca-certificates/"))
        bundle = b"".join(text(name) for name in names)
        copyright_text = text("usr/share/doc/ca-certificates/copyright")
    _file(root, "/etc/ssl/certs/ca-certificates.crt", bundle, 0o555)
    _file(root, "/usr/share/doc/ca-certificates/copyright", copyright_text, 0o555)
    _status(root, package)


def _directory(root: Path, path: str, owner: int, mode: int) -> None:
    place = root / path.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(mode)
    os.chown(place, owner, owner)
    os.utime(place, (0, 0))


def _file(root: Path, path: str, content: bytes, mode: int) -> None:
    """Write a file of root's; directories that are missing become 0755, times the epoch's start."""
    place = root / path.lstrip("/")
    for parent in reversed(place.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)  # whatever the caller's umask is
    place.unlink(missing_ok=True)
    place.write_bytes(content)
    place.chmod(mode)
    os.utime(place, (0, 0))


def _nsswitch() -> bytes:
    return "".join(f"{name + ':':<15} {value}\n" for name, value in _NSSWITCH.items()).encode()


def _os_release(suite: str) -> bytes:
    version = SUITES[suite]
    fields = {
        "PRETTY_NAME": "Distroless",
        "NAME": "Debian GNU/Linux",
        "ID": "debian",
        "VERSION_ID": version,
        "VERSION": f"Debian GNU/Linux {version} ({suite})",
        "HOME_URL": _HOME_URL,
        "SUPPORT_URL": f"{_HOME_URL}/blob/master/README.md",
        "BUG_REPORT_URL": f"{_HOME_URL}/issues/new",
    }
    return "".join(f'{name}="{value}"\n' for name, value in fields.items()).encode()


def _compile(*, static: bool) -> Path:
    """Return the workload's program, compiled once per source and compiler."""
    source = Path(__file__).with_name("server.c")
    compiler = needs.run(["gcc", "--version"], "apt-get install gcc").decode().splitlines()[0]
    linkage = ["-fPIE", "-static-pie"] if static else ["-fPIE", "-pie"]
    flags = [*_HARDENED, *linkage]
    path = cache.folder("programs") / cache.key([source.read_text(), compiler, *flags])

    def build(directory: Path) -> None:
        needs.run(
            ["gcc", *flags, "-o", str(directory / "server"), str(source)],
            "apt-get install gcc libc6-dev (it has the static C library)",
        )

    return cache.built_once(path, build) / "server"
