"""Each control of the baseline: silent on a tree without its fault, naming it where it is planted."""

from __future__ import annotations

import os
import re
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.profiles.conftest import PROFILE, Audit, failed, process_status, put, skipped

pytestmark = pytest.mark.root

ELF = b"\x7fELF\x02\x01\x01" + b"\0" * 57  # a header that names no segments
Build = Callable[..., bytes]
Fault = tuple[str, Callable[[Path, Build], None], str]


def _set_id(root: Path, _build: Build) -> None:
    (root / "app").chmod(0o4755)


def _file_capability(root: Path, _build: Build) -> None:
    # struct vfs_cap_data, linux/capability.h: revision 2 with the effective bit, CAP_NET_RAW permitted
    value = (0x02000001).to_bytes(4, "little") + (1 << 13).to_bytes(4, "little") + b"\0" * 12
    os.setxattr(root / "app", "security.capability", value)


def _device(root: Path, _build: Build) -> None:
    os.mknod(root / "tmp/disk", stat.S_IFBLK | 0o600, os.makedev(7, 99))


def _writable_code(root: Path, build: Build) -> None:
    """Make every loaded segment writable and executable: PF_R|PF_W|PF_X in Elf64_Phdr, elf(5)."""
    program = bytearray(build("-fPIE", "-pie", "-Wl,-z,relro"))
    table, size, count = struct.unpack_from("<Q", program, 32)[0], *struct.unpack_from("<HH", program, 54)
    for index in range(count):
        if struct.unpack_from("<I", program, table + index * size)[0] == 1:  # PT_LOAD
            struct.pack_into("<I", program, table + index * size + 4, 7)
    put(root / "opt/x", bytes(program), 0o755)


def _append(path: str, text: str) -> Callable[[Path, Build], None]:
    def plant(root: Path, _build: Build) -> None:
        with (root / path).open("a") as file:
            file.write(text)

    return plant


def _write(path: str, content: bytes | str, mode: int = 0o644) -> Callable[[Path, Build], None]:
    return lambda root, _build: (put(root / path, content, mode), None)[1]


def _compile(path: str, *flags: str, mode: int = 0o755) -> Callable[[Path, Build], None]:
    return lambda root, build: (put(root / path, build(*flags), mode), None)[1]


def _mode(path: str, mode: int) -> Callable[[Path, Build], None]:
    return lambda root, _build: (root / path).chmod(mode)


def _owner(path: str, uid: int) -> Callable[[Path, Build], None]:
    return lambda root, _build: os.chown(root / path, uid, 0)


def _remove(path: str) -> Callable[[Path, Build], None]:
    return lambda root, _build: (root / path).unlink()


FAULTS: dict[str, Fault] = {
    "shell by name": ("BARE-DL-000010", _write("opt/sh", "#!", 0o755), "/opt/sh (by its name)"),
    "shell in /etc/shells": (
        "BARE-DL-000010",
        _append("etc/shells", "# x\n/app\n/bin/gone\n"),
        "/app (named in",
    ),
    "BusyBox under another name": (
        "BARE-DL-000010",
        _write("opt/tool", ELF + b"BusyBox v1.36.1", 0o755),
        "/opt/tool (BusyBox by its content)",
    ),
    "shell under another name": (
        "BARE-DL-000010",
        lambda root, _build: (put(root / "opt/x", Path("/bin/sh").resolve().read_bytes(), 0o755), None)[1],
        "/opt/x (",
    ),
    "package manager": ("BARE-DL-000020", _write("opt/apk", "#!", 0o755), "/opt/apk"),
    "unpackaged library": (
        "BARE-DL-000030",
        _compile("usr/lib/libevil.so", "-shared", "-fPIC"),
        "/usr/lib/libevil.so",
    ),
    "root process": ("BARE-DL-000040", _write("proc/1/status", process_status(uid=0)), "user ids 0 0 0 0"),
    "capabilities": (
        "BARE-DL-000050",
        _write("proc/1/status", process_status(cap="0000000000002000")),
        "CapEff is 0000000000002000",
    ),
    "new privileges": (
        "BARE-DL-000060",
        _write("proc/1/status", process_status(nnp=0)),
        "no_new_privs is not set",
    ),
    "setuid": ("BARE-DL-000070", _set_id, "/app (mode 4755, owner 0:0)"),
    "setgid": ("BARE-DL-000070", _mode("app", 0o2755), "/app (mode 2755"),
    "file capability": ("BARE-DL-000080", _file_capability, "/app"),
    "device": ("BARE-DL-000090", _device, "/tmp/disk"),
    "readable shadow": ("BARE-DL-000100", _mode("etc/shadow", 0o644), "/etc/shadow (mode 0644"),
    "passwd of a user": (
        "BARE-DL-000100",
        _owner("etc/passwd", 65532),
        "/etc/passwd (mode 0644, owner 65532:0)",
    ),
    "loose library": (
        "BARE-DL-000110",
        _mode("usr/lib/libgood.so.1", 0o664),
        "/usr/lib/libgood.so.1 (mode 0664",
    ),
    "loose root": ("BARE-DL-000110", _mode("", 0o775), "/ (mode 0775"),
    "loose configuration": ("BARE-DL-000120", _mode("etc/ssl", 0o775), "/etc/ssl (mode 0775"),
    "configuration of a user": ("BARE-DL-000120", _owner("etc/ssl/certs", 65532), "/etc/ssl/certs"),
    "world-writable file": ("BARE-DL-000130", _write("srv/x", "", 0o666), "/srv/x (mode 0666"),
    "no sticky bit": ("BARE-DL-000130", _mode("tmp", 0o777), "/tmp (mode 0777"),
    "program of the process": ("BARE-DL-000140", _owner("app", 65532), "/app (mode 0755, owner 65532:0)"),
    "changed file": (
        "BARE-DL-000150",
        _append("usr/lib/libgood.so.1", "x"),
        "/usr/lib/libgood.so.1 of libgood is different",
    ),
    "absent file": ("BARE-DL-000160", _remove("usr/lib/libgood.so.1"), "/usr/lib/libgood.so.1 of libgood"),
    "old release": (
        "BARE-DL-000170",
        _write("usr/lib/os-release", "ID=debian\nVERSION_ID=10\n"),
        "debian 10 is not among 12, 13",
    ),
    "no release": ("BARE-DL-000170", _remove("usr/lib/os-release"), "there is no os-release"),
    "fixed addresses": ("BARE-DL-000180", _compile("opt/x", "-no-pie"), "/opt/x is not position independent"),
    "no RELRO": ("BARE-DL-000190", _compile("opt/x", "-pie", "-Wl,-z,norelro"), "/opt/x has no RELRO"),
    "executable stack": (
        "BARE-DL-000200",
        _compile("opt/x", "-pie", "-Wl,-z,execstack"),
        "/opt/x asks for an executable stack",
    ),
    "writable code": (
        "BARE-DL-000200",
        _writable_code,
        "has a segment that is writable and executable",
    ),
    "relative RPATH": ("BARE-DL-000210", _compile("opt/x", "-pie", "-Wl,-rpath,lib"), "/opt/x searches lib"),
    "RUNPATH for everybody": (
        "BARE-DL-000210",
        _compile("opt/x", "-pie", "-Wl,-rpath,/tmp/lib"),
        "/opt/x searches /tmp/lib",
    ),
    "no certificates": (
        "BARE-DL-000220",
        _remove("etc/ssl/certs/ca-certificates.crt"),
        "ca-certificates.crt does not exist",
    ),
    "broken certificate": (
        "BARE-DL-000220",
        _append(
            "etc/ssl/certs/ca-certificates.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        "block 2 of /etc/ssl/certs/ca-certificates.crt is no certificate",
    ),
    "certificate cut short": (
        "BARE-DL-000220",
        _append("etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n"),
        "1 blocks without an end",
    ),
    "no zone": (
        "BARE-DL-000240",
        _remove("usr/share/zoneinfo/Europe/London"),
        "Europe/London is no time zone",
    ),
    "local time": (
        "BARE-DL-000250",
        _write("etc/localtime", b"TZif2\nCET-1CEST\n"),
        "/etc/localtime is not UTC",
    ),
    "same user id": (
        "BARE-DL-000260",
        _append("etc/passwd", "two:*:65532:65532::/:/sbin/nologin\n"),
        "user id 65532 is there 2 times",
    ),
    "no such group": (
        "BARE-DL-000260",
        _append("etc/passwd", "two:*:7:8::/:/sbin/nologin\n"),
        "the primary group 8 of two is not in /etc/group",
    ),
    "same group": ("BARE-DL-000260", _append("etc/group", "web:x:9:\n"), "group name web is there 2 times"),
    "no such member": ("BARE-DL-000260", _append("etc/group", "g:x:9:ghost\n"), "ghost, in group g,"),
    "short line": (
        "BARE-DL-000260",
        _append("etc/passwd", "what\n"),
        "/etc/passwd has a line of 1 fields, not 7",
    ),
    "shadow only": ("BARE-DL-000260", _append("etc/shadow", "old:!:1::::::\n"), "old is in /etc/shadow only"),
    "second root": ("BARE-DL-000270", _append("etc/passwd", "toor:*:00:0::/:/sbin/nologin\n"), "toor"),
    "empty password": (
        "BARE-DL-000280",
        _append("etc/passwd", "open::9:0::/:/sbin/nologin\n"),
        "open has an empty password in /etc/passwd",
    ),
    "empty shadow": (
        "BARE-DL-000280",
        _write("etc/shadow", "root::1::::::\nweb:!:1::::::\n", 0o640),
        "root has an empty password in /etc/shadow",
    ),
    "hash in passwd": (
        "BARE-DL-000280",
        _append("etc/passwd", "h:$6$x:9:0::/:/sbin/nologin\n"),
        "h has a password in /etc/passwd",
    ),
    "login shell": ("BARE-DL-000290", _append("etc/passwd", "in:*:9:0::/:/app\n"), "in logs in with /app"),
}

# What a fault makes other controls say, rightly.
ALSO = {"passwd of a user": {"BARE-DL-000120"}}


@pytest.fixture(scope="module")
def clean(faultless: Path, audit: Audit) -> dict[str, Any]:
    return audit(faultless)


def test_tree_without_a_fault_passes_every_control(clean: dict[str, Any]) -> None:
    assert failed(clean) == {}
    assert skipped(clean) == {}
    assert len(clean) == 29


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found_by_its_control_and_by_no_other(
    name: str, tree: Path, compiled: Build, audit: Audit
) -> None:
    control, plant, expected = FAULTS[name]
    plant(tree, compiled)
    found = failed(audit(tree))
    assert any(expected in line for line in found.get(control, [])), found
    assert set(found) - ALSO.get(name, set()) <= {control}, found


def test_expired_certificate_is_found_until_it_is_allowed(
    tree: Path, certificate: Callable[[str, int], str], audit: Audit
) -> None:
    _append("etc/ssl/certs/ca-certificates.crt", certificate("Old Root", -2))(tree, lambda: b"")
    found = failed(audit(tree))
    assert list(found) == ["BARE-DL-000230"]
    assert re.fullmatch(r"Old Root expired on \d{4}-\d\d-\d\d", found["BARE-DL-000230"][0])
    assert failed(audit(tree, allowed_expired_certificates=["Old Root"])) == {}


def test_every_control_has_a_planted_fault(clean: dict[str, Any]) -> None:
    assert {control for control, _, _ in FAULTS.values()} | {"BARE-DL-000230"} == set(clean)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("setuid", {"allowed_setid": ["/app"]}),
        ("file capability", {"allowed_capability_files": ["/a*"]}),
        ("world-writable file", {"allowed_world_writable": ["/srv/**"]}),
        ("loose library", {"allowed_loose_programs": ["/usr/**/*.so.1"]}),
        ("loose configuration", {"allowed_loose_configuration": ["/etc/ssl"]}),
        ("changed file", {"allowed_changed_files": ["/usr/lib/*"]}),
        ("absent file", {"partial_packages": ["libgood"]}),
        ("absent file", {"allowed_absent_files": ["/usr/lib/**/*"]}),
        ("unpackaged library", {"allowed_unpackaged": ["/usr/lib/libevil.so"]}),
        ("fixed addresses", {"allowed_fixed_addresses": ["/opt/*"]}),
        ("no RELRO", {"allowed_without_relro": ["/opt/*"]}),
        ("executable stack", {"allowed_writable_code": ["/opt/*"]}),
        ("relative RPATH", {"allowed_search_paths": ["/opt/*"]}),
        ("old release", {"supported_releases": {"debian": ["10"]}}),
        ("no zone", {"time_zones": ["UTC"]}),
        ("package manager", {"package_manager_names": []}),
        ("shell by name", {"shell_names": []}),
        ("readable shadow", {"account_files": {"/etc/shadow": {"mode": "0644"}}}),
    ],
)
def test_input_allows_what_is_documented_as_needed(
    name: str, option: dict[str, Any], tree: Path, compiled: Build, audit: Audit
) -> None:
    FAULTS[name][1](tree, compiled)
    assert failed(audit(tree, **option)) == {}


def test_full_relro_is_asked_for_on_demand(tree: Path, audit: Audit) -> None:
    found = failed(audit(tree, require_full_relro=True))
    assert found == {"BARE-DL-000190": ["/usr/lib/libgood.so.1 has only partial RELRO"]}


def test_tree_that_is_not_running_leaves_its_process_unreviewed(faultless: Path, audit: Audit) -> None:
    results = audit(faultless, live=False)
    assert failed(results) == {}
    assert set(skipped(results)) == {f"BARE-DL-{n:06d}" for n in (40, 50, 60, 140)}


def test_tree_without_records_of_packages_leaves_them_unreviewed(tree: Path, audit: Audit) -> None:
    (tree / "var/lib/dpkg/status.d/libgood.md5sums").unlink()
    results = audit(tree)
    assert failed(results) == {}
    assert set(skipped(results)) == {"BARE-DL-000030", "BARE-DL-000150", "BARE-DL-000160"}


def test_unknown_distribution_is_unreviewed(tree: Path, audit: Audit) -> None:
    put(tree / "usr/lib/os-release", "ID=plan9\nVERSION_ID=4\n")
    assert set(skipped(audit(tree))) == {"BARE-DL-000170"}


def test_every_control_is_written_like_a_stig(clean: dict[str, Any]) -> None:
    for name, result in clean.items():
        tags = result["tags"]
        assert re.fullmatch(r"SRG-APP-\d{6}-CTR-\d{6}", tags["gtitle"]), name
        assert tags["stig_id"] == name
        assert all(re.fullmatch(r"CCI-\d{6}", cci) for cci in tags["cci"]), name
        assert all(re.fullmatch(r"[A-Z]{2}-\d+( \(\d+\))?( \(?[a-z]\)?)?", nist) for nist in tags["nist"]), (
            name
        )
        assert {0.7: "high", 0.5: "medium", 0.3: "low"}[result["impact"]] == tags["severity"], name
        assert {part[0] for part in result["desc"] if len(part) == 2} == {"check", "fix"}, name
        assert len([part for part in result["desc"] if len(part) == 1]) == 1, name
        assert result["checks"] == 1, name


def test_profile_is_ruby_without_warnings(ruby: str) -> None:
    for file in [*PROFILE.glob("libraries/*.rb"), *PROFILE.glob("controls/*.rb")]:
        done = subprocess.run([ruby, "-wc", str(file)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), file
