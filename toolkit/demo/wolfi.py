"""A root as Chainguard's glibc-dynamic of Wolfi: the C library, apk's installed database, no apk, no shell.

Sources: the build file of `wolfi-baselayout` (github.com/wolfi-dev/os) for layout and os-release, and the
format of apk's installed database, apk-package(5), which apko writes too. The libraries are Debian's.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from toolkit.demo import cache, distroless, layout, packages

_BORROWED = ("libc6", "libgcc-s1", "libstdc++6", "tzdata", "ca-certificates")
_VERSION = "20230201"
_DIRECTORIES = (
    *("dev", "etc/apk", "etc/ssl/certs", "home/nonroot", "lib", "opt", "proc", "root", "run", "sys", "tmp"),
    *("usr/bin", "usr/lib/apk/db", "usr/local/lib", "usr/share", "var/empty", "var/lib/db/sbom", "var/log"),
)
_LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/bin",
    "usr/sbin": "bin",
    "lib64": "lib",
    "usr/lib64": "lib",
    "usr/local/lib64": "lib",
}
_ACCOUNTS = {"root": 0, "nobody": 65534, "nonroot": distroless.NONROOT}
_RELEASE = f"""\
ID=wolfi
NAME="Wolfi"
PRETTY_NAME="Wolfi"
VERSION_ID="{_VERSION}"
HOME_URL="https://wolfi.dev"
BUG_REPORT_URL="https://github.com/wolfi-dev/os/issues"
"""
# Package → version, and what its files begin with.
_PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "ca-certificates-bundle": ("20250911-r0", ("etc/ssl/",)),
    "ld-linux": ("2.42-r2", ("lib/ld-linux",)),
    "libgcc": ("15.2.0-r3", ("usr/lib/libgcc_s",)),
    "libstdc++": ("15.2.0-r3", ("usr/lib/libstdc++",)),
    "glibc": ("2.42-r2", ("lib/lib",)),
    "tzdata": ("2025b-r2", ("usr/share/zoneinfo/",)),
    "wolfi-baselayout": (f"{_VERSION}-r23", ("etc/",)),
}


def glibc_dynamic(progress: cache.Progress = cache.silent) -> Path:
    """Return a cached root as glibc-dynamic, not to be written to; raises ScanError without the archive."""
    return layout.built("wolfi", _BORROWED, _lay_out, progress)


def _lay_out(root: Path, debian: Path, borrowed: list[packages.Package]) -> None:
    layout.directories(root, _DIRECTORIES)
    for link, target in _LINKS.items():
        (root / link).symlink_to(target)
    layout.copy_libraries(debian, root / "lib")
    for prefix in ("libgcc_s", "libstdc++"):  # lib and usr/lib are not merged yet
        for library in sorted((root / "lib").glob(f"{prefix}*")):
            library.rename(root / "usr/lib" / library.name)
    shutil.copytree(debian / "usr/share/zoneinfo", root / "usr/share/zoneinfo", symlinks=True)
    certificates = next(package for package in borrowed if package.name == "ca-certificates")
    bundle, _ = distroless.certificate_bundle(certificates)
    distroless.file(root, "/etc/ssl/certs/ca-certificates.crt", bundle, 0o644)
    layout.text(root, "/etc/os-release", _RELEASE)
    passwd = "".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in _ACCOUNTS.items())
    layout.text(root, "/etc/passwd", passwd)
    groups = "".join(f"{name}:x:{gid}:\n" for name, gid in _ACCOUNTS.items())
    layout.text(root, "/etc/group", groups + "kvm:x:34:kvm\n")  # Wolfi's own slip: there is no user kvm
    layout.text(root, "/etc/shadow", "".join(f"{name}:!::0:::::\n" for name in _ACCOUNTS), 0o600)
    layout.text(root, "/etc/shells", "/bin/sh\n/bin/ash\n")
    for path, owner, mode in (
        ("root", 0, 0o700),
        ("tmp", 0, 0o1777),
        ("home/nonroot", distroless.NONROOT, 0o750),
    ):
        distroless.directory(root, f"/{path}", owner, mode)
    _record_apks(root)


def _record_apks(root: Path) -> None:
    """Write what apk leaves in an image: the installed database, the world, and its empty helpers."""
    left = {path.relative_to(root).as_posix(): path for path in _files(root)}
    records = []
    for name, (version, prefixes) in _PACKAGES.items():
        owned = sorted(path for path in left if path.startswith(prefixes))
        records.append(_apk_record(name, version, {path: left.pop(path) for path in owned}))
    layout.text(root, "/usr/lib/apk/db/installed", "\n".join(records) + "\n")
    for name in ("lock", "scripts.tar", "triggers"):
        layout.text(root, f"/usr/lib/apk/db/{name}", "", 0o600 if name == "lock" else 0o644)
    layout.text(root, "/etc/apk/world", "".join(f"{name}\n" for name in sorted(_PACKAGES)))
    layout.text(root, "/etc/apk/repositories", "https://packages.wolfi.dev/os\n")


def _apk_record(name: str, version: str, files: dict[str, Path]) -> str:
    machine = os.uname().machine
    size = sum(path.lstat().st_size for path in files.values())
    lines = [f"C:{_apk_checksum(f'{name}-{version}'.encode())}", f"P:{name}", f"V:{version}", f"A:{machine}"]
    lines += [f"S:{size}", f"I:{size}", f"T:{name}", "U:https://wolfi.dev", "L:MIT", f"o:{name}", "D:", "p:"]
    folder = None
    for relative, path in files.items():
        parent = str(Path(relative).parent)
        if parent != folder:
            folder = parent
            lines.append(f"F:{folder}")
        lines.append(f"R:{path.name}")
        mode = path.lstat().st_mode & 0o7777
        lines += [f"a:0:0:{mode:o}"] if mode != 0o644 and not path.is_symlink() else []
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        lines.append(f"Z:{_apk_checksum(content)}")
    return "\n".join(lines) + "\n"


def _apk_checksum(content: bytes) -> str:
    digest = hashlib.sha1(content, usedforsecurity=False).digest()
    return "Q1" + base64.b64encode(digest).decode()


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or path.is_file():
            yield path
