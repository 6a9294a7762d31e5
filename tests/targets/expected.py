"""What is in each demo container, written down from what is known of the images, not from a scan.

Sources: Google's build files and package lists (distroless), the package list of UBI 9 micro, the build file
of wolfi-baselayout, Debian's own packages (debian:bookworm-slim), and `recipes` for the rights they run with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

EXPIRED = 230
"""The control of certificates that have expired: whether it fails depends on the day, so openssl is asked."""
OF_THE_PROCESS = {40, 50, 60, 140}
"""Controls that ask about the main process; a tree that does not run has none."""
NO_CHECKSUMS = {30, 150, 160}
"""Controls that compare with Debian's md5sums: not reviewed where there are none."""


@dataclass(frozen=True)
class Expected:
    """Facts by name of scan.json, controls of distroless-baseline by number, and the packages recorded."""

    system: tuple[str, str] | None  # ID and VERSION_ID of os-release
    databases: list[str]
    libc: str | None
    shells: set[str] = field(default_factory=set)
    managers: set[str] = field(default_factory=set)
    uid: int = 65532
    failed: set[int] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)
    certificates: bool = True
    debian12: bool = False  # whether OpenSCAP's content for Debian 12 applies
    packages: dict[str, str | None] | None = None  # name → what its version begins with; None: not installed

    @property
    def distroless(self) -> bool:
        """Neither a shell nor a package manager."""
        return not self.shells and not self.managers


_STATIC_PACKAGES = {"base-files": "12.", "tzdata": "202", "libc6": None, "bash": None}

TARGETS = {
    "static": Expected(("debian", "12"), ["dpkg-distroless"], None, debian12=True, packages=_STATIC_PACKAGES),
    "base": Expected(
        ("debian", "12"),
        ["dpkg-distroless"],
        "glibc",
        debian12=True,
        packages=_STATIC_PACKAGES | {"libc6": "2.36-", "libssl3": "3.0."},
    ),
    # Debian links its python3.13 to fixed addresses (readelf: EXEC), which is all that is wrong with it.
    "python": Expected(
        ("debian", "13"),
        ["dpkg-distroless"],
        "glibc",
        failed={180},
        packages={"libc6": "2.41-", "python3.13-minimal": "3.13.", "python3": None, "dash": None},
    ),
    "nonroot-readonly": Expected(
        ("debian", "12"), ["dpkg-distroless"], None, debian12=True, packages=_STATIC_PACKAGES
    ),
    # Shell, package manager, root with Docker's capabilities and without no_new_privs, setuid programs
    # (su, mount, passwd), root's login shell; no certificates: ca-certificates is not among its packages.
    # Whether root could change programs is not asked.
    "shell": Expected(
        ("debian", "12"),
        ["dpkg"],
        "glibc",
        shells={"sh", "bash", "dash"},
        managers={"dpkg", "apt", "apt-get"},
        uid=0,
        failed={10, 20, 40, 50, 60, 70, 220, 290},
        skipped={140, EXPIRED},
        certificates=False,
        debian12=True,
        packages={"bash": "5.2.", "apt": "2.6.", "ca-certificates": None},
    ),
    # bash, which is also root's login shell; no certificates; a release that the profile has no dates for.
    "ubi-micro": Expected(
        ("rhel", "9.6"),
        ["rpm"],
        "glibc",
        shells={"sh", "bash"},
        failed={10, 220, 290},
        skipped=NO_CHECKSUMS | {170, EXPIRED},
        certificates=False,
        packages={"bash": "5.1.8-9.el9", "glibc": "2.34-", "coreutils-single": "8.32-", "rpm": None},
    ),
    # Its group file has a member kvm that is no user. InSpec can't ask for packages of Wolfi.
    "wolfi": Expected(("wolfi", "20230201"), ["apk"], "glibc", failed={260}, skipped=NO_CHECKSUMS),
    # No os-release, no certificates, no time zones.
    "scratch": Expected(
        None, [], None, failed={170, 220, 240}, skipped=NO_CHECKSUMS | {EXPIRED}, certificates=False
    ),
}
OPENSCAP = {
    # Rules of ANSSI BP-028 minimal, by the end of their id.
    "passed": {
        "package_telnet_removed",
        "package_telnet-server_removed",
        "package_rsh_removed",
        "package_tftp-server_removed",
        "dir_perms_world_writable_sticky_bits",
        "file_permissions_unauthorized_world_writable",
    },
    # libpam-pwquality is not in a minimal Debian; without PAM at all its rules do not apply.
    "of PAM": {"package_pam_pwquality_installed", "accounts_password_pam_minlen"},
}
