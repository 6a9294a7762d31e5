"""A root as Red Hat's UBI 9 micro is: bash and the C library, no rpm, and the database that rpm left.

Source: how Red Hat's own recipe makes it (github.com/fatherlinux/ubi-micro: `yum install --installroot …
coreutils-single glibc-minimal-langpack`, which brings 18 packages, bash among them). The records are true of
the tree: they are entered by rpm itself, from packages built of the files that lie there. The programs are
Debian's, and fewer.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from toolkit.demo import cache, distroless, layout, needs, packages

_BORROWED = ("libc6", "libgcc-s1", "libtinfo6", "bash", "coreutils", "tzdata")
_RPM = "apt-get install rpm"
_NOLOGIN = "/sbin/nologin"
_VERSION = "9.6"
_PROGRAMS = ("cat", "echo", "false", "pwd", "sleep", "sync", "true", "uname")
_DIRECTORIES = (
    *("boot", "dev", "etc/ld.so.conf.d", "home", "media", "mnt", "opt", "proc", "run", "srv", "sys"),
    *("usr/bin", "usr/lib", "usr/lib64", "usr/libexec", "usr/local/bin", "usr/sbin", "usr/share"),
    *("var/cache", "var/lib/rpm", "var/log"),
)
_MODES = {"/": 0o555, "/root": 0o550, "/tmp": 0o1777, "/var/tmp": 0o1777} | dict.fromkeys(  # noqa: S108
    ("/usr/bin", "/usr/lib", "/usr/lib64", "/usr/sbin"), 0o555
)
# Package → version, release, and its files (patterns), so that the records are true of the tree.
_PACKAGES: dict[str, tuple[str, str, list[str]]] = {
    "basesystem": ("11", "13.el9", []),
    "bash": ("5.1.8", "9.el9", ["/usr/bin/bash", "/usr/bin/sh"]),
    "coreutils-single": ("8.32", "39.el9", [f"/usr/bin/{name}" for name in _PROGRAMS]),
    "filesystem": ("3.16", "5.el9", ["/bin", "/sbin", "/lib", "/lib64"]),
    "glibc": ("2.34", "168.el9_6.23", ["/usr/lib64/ld-linux*", "/usr/lib64/lib[!gst]*.so*"]),
    "libgcc": ("11.5.0", "5.el9_5", ["/usr/lib64/libgcc_s.so.1"]),
    "ncurses-libs": ("6.2", "10.20210508.el9", ["/usr/lib64/libtinfo.so.*"]),
    "redhat-release": (_VERSION, "0.1.el9", ["/usr/lib/os-release", "/etc/redhat-release"]),
    "setup": (
        "2.13.7",
        "10.el9",
        ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/shells"],
    ),
    "tzdata": ("2025b", "1.el9", ["/usr/share/zoneinfo"]),
}
_ACCOUNTS = (
    # name, id, group, home, shell; of the package setup
    ("root", 0, 0, "/root", "/bin/bash"),
    ("bin", 1, 1, "/bin", _NOLOGIN),
    ("daemon", 2, 2, "/sbin", _NOLOGIN),
    ("adm", 3, 4, "/var/adm", _NOLOGIN),
    ("sync", 5, 0, "/sbin", "/bin/sync"),
    ("operator", 11, 0, "/root", _NOLOGIN),
    ("nobody", 65534, 65534, "/", _NOLOGIN),
)
_GROUPS = {"root": 0, "bin": 1, "daemon": 2, "sys": 3, "adm": 4, "tty": 5, "mail": 12, "nobody": 65534}
_RELEASE = f"""\
NAME="Red Hat Enterprise Linux"
VERSION="{_VERSION} (Plow)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="{_VERSION}"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Red Hat Enterprise Linux {_VERSION} (Plow)"
ANSI_COLOR="0;31"
CPE_NAME="cpe:/o:redhat:enterprise_linux:9::baseos"
HOME_URL="https://www.redhat.com/"
"""


def micro(progress: cache.Progress = cache.silent) -> Path:
    """Return a cached root as UBI 9 micro, not to be written to; raises ScanError without rpm."""
    return layout.built("ubi-micro", _BORROWED, _lay_out, progress)


def _lay_out(root: Path, debian: Path, _borrowed: list[packages.Package]) -> None:
    layout.directories(root, _DIRECTORIES)
    for link, target in {
        "bin": "usr/bin",
        "sbin": "usr/sbin",
        "lib": "usr/lib",
        "lib64": "usr/lib64",
    }.items():
        (root / link).symlink_to(target)
    layout.copy_libraries(debian, root / "usr/lib64")
    for loader in (root / "usr/lib64").glob("ld-linux-aarch64*"):
        (root / "usr/lib" / loader.name).symlink_to(f"../lib64/{loader.name}")
    for name in ("bash", *_PROGRAMS):
        shutil.copy2(debian / "bin" / name, root / "usr/bin" / name)
    (root / "usr/bin/sh").symlink_to("bash")
    shutil.copytree(debian / "usr/share/zoneinfo", root / "usr/share/zoneinfo", symlinks=True)
    layout.text(root, "/usr/lib/os-release", _RELEASE)
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    layout.text(root, "/etc/redhat-release", f"Red Hat Enterprise Linux release {_VERSION} (Plow)\n")
    _accounts(root)
    # Debian's loader does not look in lib64 by itself.
    layout.text(root, "/etc/ld.so.conf", "include ld.so.conf.d/*.conf\n")
    layout.text(root, "/etc/ld.so.conf.d/lib64.conf", "/usr/lib64\n")
    distroless.loader_cache(root)
    shutil.rmtree(root / "var/cache/ldconfig", ignore_errors=True)
    for path, mode in _MODES.items():
        distroless.directory(root, path, 0, mode)
    _record_rpms(root)


def _accounts(root: Path) -> None:
    layout.text(
        root,
        "/etc/passwd",
        "".join(f"{n}:x:{uid}:{gid}:{n}:{home}:{shell}\n" for n, uid, gid, home, shell in _ACCOUNTS),
    )
    layout.text(root, "/etc/group", "".join(f"{name}:x:{number}:\n" for name, number in _GROUPS.items()))
    shadow = "".join(f"{name}:*:19820:0:99999:7:::\n" for name, *_ in _ACCOUNTS)
    layout.text(root, "/etc/shadow", shadow, 0)
    layout.text(root, "/etc/gshadow", "".join(f"{name}:::\n" for name in _GROUPS), 0)
    layout.text(root, "/etc/shells", "/bin/sh\n/bin/bash\n/usr/bin/sh\n/usr/bin/bash\n")


def _record_rpms(root: Path) -> None:
    """Build packages of the files that lie in the tree, and enter their records into its database."""
    with tempfile.TemporaryDirectory(prefix="barescan-rpm-") as work:
        spec = Path(work, "ubi.spec")
        spec.write_text(_spec(root))
        needs.run(["rpmbuild", "-bb", "--define", f"_topdir {work}", str(spec)], _RPM)
        built = sorted(str(path) for path in Path(work, "RPMS").rglob("*.rpm"))
        database = ["--root", str(root), "--dbpath", "/var/lib/rpm", "--define", "_db_backend sqlite"]
        needs.run(["rpm", *database, "--initdb"], _RPM)
        flags = ["--install", "--justdb", "--nodeps", "--noscripts", "--nosignature"]
        needs.run(["rpm", *database, *flags, *built], _RPM)


def _spec(root: Path) -> str:
    lines = [
        *("%global debug_package %{nil}", "%global __os_install_post %{nil}", "%global _build_id_links none"),
        *("Name: ubi", "Version: 9", "Release: 1", "Summary: UBI", "License: none", "AutoReqProv: no"),
        *("%description", "Never installed itself."),
        *("%install", "mkdir -p %{buildroot}", f"cp -a '{root}/.' %{{buildroot}}/"),
    ]
    for name, (version, release, files) in _PACKAGES.items():
        lines += [f"%package -n {name}", f"Summary: {name} as in UBI micro", "AutoReqProv: no"]
        lines += [f"Version: {version}", f"Release: {release}", f"%description -n {name}", name]
        lines += [f"%files -n {name}", *files]
    return "\n".join([*lines, "%define _unpackaged_files_terminate_build 0", ""])
