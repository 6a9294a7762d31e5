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
Image = Literal["static", "base", "python"]
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
_CC = {"trixie": ["libgomp1", "libstdc++6", "libgcc-s1", "gcc-14-base"]}
_PYTHON_VERSION = "3.13"
_PYTHON = {
    "trixie": [
        "libbz2-1.0",
        "libdb5.3t64",
        "libexpat1",
        "liblzma5",
        "libsqlite3-0",
        "libuuid1",
        "libncursesw6",
        "libtinfo6",
        "libcom-err2",
        "libcrypt1",
        "libc-bin",
        "libgssapi-krb5-2",
        "libk5crypto3",
        "libkeyutils1",
        "libkrb5-3",
        "libkrb5support0",
        "libnsl2",
        "libreadline8t64",
        "libtirpc3t64",
        "libffi8",
        f"libpython{_PYTHON_VERSION}-minimal",
        f"libpython{_PYTHON_VERSION}-stdlib",
        f"python{_PYTHON_VERSION}-minimal",
        f"python{_PYTHON_VERSION}-venv",
    ]
}
_CONTENTS: dict[str, list[dict[str, list[str]]]] = {
    "static": [_STATIC],
    "base": [_STATIC, _BASE],
    "python": [_STATIC, _BASE, _CC, _PYTHON],
}
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
# What `ubi` and `wolfi` borrow besides.
OTHERS = {"bookworm": ["bash", "coreutils", "gcc-12-base", "libgcc-s1", "libstdc++6", "libtinfo6"]}
_HOME_URL = "https://github.com/GoogleContainerTools/distroless"
# PIE, full RELRO, stack protector: the workload shall pass the checks that its image is held to.
_HARDENED = ["-O2", "-Wall", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now"]


def refresh_lock() -> None:
    """Pin every package to what the archive has now."""
    parts = (_STATIC, _BASE, _CC, _PYTHON, OTHERS)
    wanted = {
        suite: [*(name for part in parts for name in part.get(suite, [])), _CERTIFICATES] for suite in SUITES
    }
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
    program = compiled(static=variant != "base")
    nothing: tuple[list[packages.Package], packages.Package | None] = ([], None)
    layers, certificates = nothing if variant == "nothing" else _layers(variant, suite, progress)
    parts = [variant, suite, cache.file_hash(program), *(layer.sha256 for layer in layers)]
    recipe = inspect.getsource(sys.modules[__name__])
    path = cache.folder("roots") / f"{variant}-{suite}-{cache.key([*parts, recipe])}"

    def build(root: Path) -> None:
        progress(f"putting together the {variant} root of Debian {suite}")
        if certificates is not None:
            _distroless(root, suite, layers, certificates)
        file(root, PROGRAM, program.read_bytes(), 0o755)

    return cache.built_once(path, build)


def image(name: Image, progress: cache.Progress = cache.silent, suite: str = DEFAULT_SUITE) -> Path:
    """Return a cached root of the image itself, with no program of ours in it; not to be written to.

    Raises CallError where Google publishes no such image, ScanError when the host lacks something.
    """
    needs.root("putting a root together")
    layers, certificates = _layers(name, suite, progress)
    recipe = inspect.getsource(sys.modules[__name__])
    parts = [name, suite, *(layer.sha256 for layer in layers), recipe]
    path = cache.folder("roots") / f"image-{name}-{suite}-{cache.key(parts)}"

    def build(root: Path) -> None:
        progress(f"putting together distroless {name} of Debian {suite}")
        _distroless(root, suite, layers, certificates)
        if name == "python":
            _python(root)

    return cache.built_once(path, build)


def _layers(
    name: str, suite: str, progress: cache.Progress
) -> tuple[list[packages.Package], packages.Package]:
    if any(suite not in part for part in _CONTENTS[name]):
        raise CallError(f"there is no distroless {name} of {suite}", "take another suite, such as trixie")
    names = [package for part in _CONTENTS[name] for package in part[suite]]
    *layers, certificates = packages.fetch(suite, [*names, _CERTIFICATES], progress)
    return layers, certificates


def _python(root: Path) -> None:
    """Add what the image has besides packages: two names for the interpreter, and the loader's cache."""
    for alias in ("python", "python3"):
        link = root / "usr/bin" / alias
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/bin/python{_PYTHON_VERSION}")
    loader_cache(root)


def loader_cache(root: Path) -> None:
    """Write /etc/ld.so.cache of a tree from its own ld.so.conf, ldconfig(8)."""
    needs.run(["ldconfig", "-r", str(root), "-X"], "apt-get install libc-bin")


def _distroless(
    root: Path, suite: str, layers: list[packages.Package], certificates: packages.Package
) -> None:
    for layer in layers:
        unpack(layer.path, root)
        _status(root, layer)
    for path, owner, mode in (
        ("/", 0, 0o755),
        ("/etc", 0, 0o755),
        ("/root", 0, 0o700),
        ("/home", 0, 0o755),
        ("/home/nonroot", NONROOT, 0o700),
        ("/tmp", 0, 0o1777),  # noqa: S108 # the image's own /tmp
    ):
        directory(root, path, owner, mode)
    file(root, "/etc/passwd", _PASSWD.encode(), 0o644)
    file(root, "/etc/group", _GROUP.encode(), 0o644)
    file(root, "/etc/nsswitch.conf", _nsswitch(), 0o644)
    file(root, "/usr/lib/os-release", _os_release(suite), 0o555)
    _certificates(root, certificates)


def unpack(deb: Path, root: Path) -> None:
    """Unpack a package like a layer: owners, modes and links to directories (merged /usr) stay."""
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
        file(root, f"/var/lib/dpkg/status.d/{package.name}{suffix}", content, 0o644)


def _certificates(root: Path, package: packages.Package) -> None:
    bundle, copyright_text = certificate_bundle(package)
    file(root, "/etc/ssl/certs/ca-certificates.crt", bundle, 0o555)
    file(root, "/usr/share/doc/ca-certificates/copyright", copyright_text, 0o555)
    _status(root, package)


def certificate_bundle(package: packages.Package) -> tuple[bytes, bytes]:
    """Return Mozilla's certificates in the order of their names as one bundle, and their copyright.

    `package` is Debian's ca-certificates; the order is that of the rule `cacerts`.
    """
    listed = needs.run(["dpkg-deb", "--fsys-tarfile", str(package.path)], "remove the file and try again")
    with tarfile.open(fileobj=io.BytesIO(listed)) as archive:
        members = {member.name.removeprefix("./"): member for member in archive if member.isfile()}

        def text(name: str) -> bytes:
            member = archive.extractfile(members[name])
            content = member.read() if member else b""
            return content if content.endswith(b"\n") else content + b"\n"

        names = sorted(name for name in members if name.startswith("usr/share/ca-certificates/"))
        return b"".join(text(name) for name in names), text("usr/share/doc/ca-certificates/copyright")


def directory(root: Path, path: str, owner: int, mode: int) -> None:
    """Make a directory with its owner and mode, times the epoch's start."""
    place = root / path.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(mode)
    os.chown(place, owner, owner)
    os.utime(place, (0, 0))


def file(root: Path, path: str, content: bytes, mode: int) -> None:
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


def compiled(*, static: bool) -> Path:
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
