"""The real bundle: every program starts where nothing else is, and none heeds what a target lays out."""

from __future__ import annotations

import gzip
import json
import os
import re
import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest

from toolkit.bundle.archive import bundle_size, compressed_size
from toolkit.bundle.build import Bundle
from toolkit.bundle.namespaces import PRIVATE
from toolkit.bundle.tree import files
from toolkit.bundle.verify import ENVIRONMENT, run, verify

pytestmark = [pytest.mark.bundle, pytest.mark.root]

IN_TARGET = """
root=$1 bundle=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --bind "$bundle" "$root/sys/firmware"
mount -t tmpfs barescan "$root/sys/firmware/tmp"
mount --bind /dev/null "$root/dev/null"
cd "$root/sys/firmware/tmp"
exec chroot "$root" /sys/firmware/bin/sh -c 'cd /sys/firmware/tmp && exec "$@"' sh "$@"
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty target; tests fill it."""
    for name in ("proc", "sys/firmware", "dev", "etc", "usr/bin", "opt"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dev" / "null").touch()
    return tmp_path


def within(
    bundle: Bundle, target: Path, *command: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the bundle in the target, which is read-only but *not* mounted noexec."""
    program = f"/sys/firmware/bin/{command[0]}"
    enter = ["sh", "-ec", IN_TARGET, "enter", str(target), str(bundle.path), program, *command[1:]]
    return subprocess.run(
        [*PRIVATE, *enter],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT if env is None else env,
        timeout=60,
    )


def elf_files(bundle: Bundle) -> list[Path]:
    """Return the bundle's ELF files."""
    found = []
    for path in files(bundle.path):
        with path.open("rb") as file:
            if file.read(4) == b"\x7fELF":
                found.append(path)
    return found


def test_every_program_starts_in_an_empty_root(bundle: Bundle) -> None:
    assert verify(bundle) == {}


def test_loader_and_libraries_are_the_bundles_own(bundle: Bundle) -> None:
    loader = f"/sys/firmware/{bundle.manifest['loader']}".encode()
    present = {path.name for path in bundle.path.joinpath("lib").iterdir()}
    paths = elf_files(bundle)
    assert len(paths) > 100
    for path in paths:
        out = subprocess.run(["readelf", "-dlW", path], capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"\(NEEDED\).*\[(.+)\]", out)) <= present, path
        asked = re.search(r"program interpreter: (.+)\]", out)
        if asked and path.name != "libc.so.6":
            assert asked[1].encode() == loader, path
        assert "RUNPATH" not in out, path


def test_no_path_of_a_target_is_left_that_gives_code(bundle: Bundle) -> None:
    forbidden = (
        b"/etc/ld.so.preload",
        b"/etc/ld.so.cache\0",
        b"/etc/nsswitch",
        b"/usr/share/locale",
        b"/usr/lib/locale",
        b"/var/run/nscd",
        b"/gconv-modules.cache.so",
    )
    for path in elf_files(bundle):
        data = path.read_bytes()
        assert [text for text in forbidden if text in data] == [], path


def test_hostile_configuration_is_not_read(bundle: Bundle, target: Path) -> None:
    """Each of these files would load code of the target, or run a command, in an unprepared program."""
    library = target / "opt" / "evil.so"
    library.write_bytes(b"not even ELF: whoever tries to load it complains")
    shell = "%(/sys/firmware/bin/sh -c 'echo owned >&2')"
    layout = {
        "etc/ld.so.preload": "/opt/evil.so\n",
        "etc/nsswitch.conf": "passwd: evil\ngroup: evil\n",
        "etc/profile": "echo owned >&2\n",
        "etc/bash.bashrc": "echo owned >&2\n",
        "etc/rpmrc": f"macrofiles: /etc/rpm/macros\noptflags: x86_64 {shell}\n",
        "etc/rpm/macros": f"%_dbpath {shell}\n",
        "usr/lib/rpm/macros": f"%_dbpath {shell}\n",
        "usr/lib/rpm/rpmrc": "owned\n",
        "etc/popt": "rpm alias --trick --eval owned\n",
        "usr/lib/ssl/openssl.cnf": "owned = [\n",
        "usr/lib/python3.13/os.py": "print('owned')\n",
        "usr/lib/ruby/3.3.0/rubygems.rb": "warn 'owned'\n",
        "usr/lib/x86_64-linux-gnu/libtinfo.so.6": "owned",
        "lib/libc.so.6": "owned",
    }
    for name, text in layout.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)
    (target / "usr" / "bin" / "python3").write_text("")
    (target / "usr" / "bin" / "python3").chmod(0o755)
    commands = [
        ("getent", "passwd", "root"),
        ("bash", "-lc", "true"),
        ("rpm", "-qa"),
        ("rpm", "--trick"),
        ("rpm", "--eval", "%_dbpath"),
        ("python3", "-c", "import os"),
        ("env", "-i", "/sys/firmware/bin/rpm", "--eval", "%_dbpath"),
        ("bash", "-c", "exec -a python3 /sys/firmware/bin/python3 -c 'import os; print(os.__file__)'"),
        ("oscap", "--version"),
    ]
    if "cinc" in bundle.manifest["engines"]:
        commands.append(("ruby", "-ropenssl", "-e", "p OpenSSL::VERSION"))
    for command in commands:
        done = within(bundle, target, *command)
        assert "owned" not in done.stdout + done.stderr, command
        assert "evil" not in done.stderr, command
    (target / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    assert within(bundle, target, "getent", "passwd", "root").stdout.startswith("root:"), (
        "asks the target's sources"
    )


def test_libraries_of_the_target_are_never_found(bundle: Bundle, target: Path) -> None:
    library = (bundle.path / "lib" / "libz.so.1").read_bytes()
    machine = bundle.manifest["architecture"]
    for place in ("lib", "usr/lib", "lib64", f"lib/{machine}-linux-gnu", f"usr/lib/{machine}-linux-gnu", "."):
        (target / place).mkdir(parents=True, exist_ok=True)
        (target / place / "libabsent.so").write_bytes(library)
    script = """
import ctypes
for name in ("libz.so.1", "libabsent.so"):
    try:
        ctypes.CDLL(name)
        print(name, "found")
    except OSError:
        print(name, "absent")
"""
    done = within(bundle, target, "python3", "-c", script)
    assert done.stdout == "libz.so.1 found\nlibabsent.so absent\n", done.stderr


def test_programs_start_where_proc_is_not_mounted(bundle: Bundle, tmp_path: Path) -> None:
    """The loader can't tell where a program lies then: its own directories have to be the bundle's."""
    (tmp_path / "sys" / "firmware").mkdir(parents=True)
    script = 'mount --bind "$2" "$1/sys/firmware" && exec chroot "$1" /sys/firmware/bin/rpm --version'
    command = [*PRIVATE, "sh", "-ec", script, "sh", str(tmp_path), str(bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.stdout.startswith("RPM version"), done.stderr


def test_python_finds_its_library_whatever_it_is_called(bundle: Bundle, target: Path) -> None:
    script = "exec -a /usr/bin/python3 /sys/firmware/bin/python3 -c 'import os; print(os.__file__)'"
    done = within(bundle, target, "bash", "-c", script)
    assert done.stdout.startswith("/sys/firmware/lib/python3")


def test_every_module_of_python_can_be_imported(bundle: Bundle) -> None:
    script = r"""
import importlib, os, sys
top = os.path.dirname(os.__file__)
failed = []
for directory, _, names in os.walk(top):
    for name in names:
        if name.endswith(".pyc"):
            module = os.path.relpath(os.path.join(directory, name), top)[:-4].replace("/", ".")
            try:
                importlib.import_module(module.removesuffix(".__init__"))
            except Exception as error:
                failed.append((module, str(error)))
print(failed, len(sys.modules) > 150)
"""
    done = run(bundle, "python3", "-I", "-S", "-c", script)
    assert done.stdout.strip() == "[] True", done.stderr


def test_python_starts_on_the_host_through_the_loader(bundle: Bundle) -> None:
    loader, lib = bundle.path / bundle.manifest["loader"], bundle.path / "lib"
    python = bundle.path / bundle.manifest["python"]
    script = "import ctypes, hashlib, os, select, signal, socket, tarfile, zlib; print(os.__file__)"
    command = [loader, "--library-path", lib, python, "-I", "-S", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    assert done.stdout.startswith(str(lib))


def test_utf8_works_without_the_targets_locales(bundle: Bundle) -> None:
    assert run(bundle, "bash", "-c", "x=äöü; echo ${#x}").stdout == "3\n"
    assert run(bundle, "sed", "s/.*/x/;p", "/dev/null").returncode == 0
    done = run(bundle, "bash", "-c", "printf '\\344' | iconv -f latin1 -t utf-8")
    assert done.stdout == "ä", done.stderr


def test_users_are_the_targets(bundle: Bundle, target: Path) -> None:
    (target / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nsomeone:x:65532:65532::/:/x\n")
    (target / "etc" / "group").write_text("someones:x:65532:\n")
    (target / "opt" / "file").write_text("x")
    os.chown(target / "opt" / "file", 65532, 65532)
    done = within(bundle, target, "stat", "-c", "%U:%G", "/opt/file")
    assert done.stdout == "someone:someones\n"


def test_chage_reads_the_targets_shadow_file(bundle: Bundle, target: Path) -> None:
    """And asks no name service and no audit socket, which the kernel may refuse."""
    (target / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n")
    (target / "etc" / "shadow").write_text("root:*:20000:0:99999:7:::\nann:!:20000:3:60:7:::\n")
    (target / "etc" / "nsswitch.conf").write_text("passwd: evil\nsubid: evil\n")
    done = within(bundle, target, "chage", "-l", "ann")
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^(.*?)\t*: (.*)$", done.stdout, re.MULTILINE))
    assert found["Minimum number of days between password change"] == "3"
    assert found["Maximum number of days between password change"] == "60"
    assert within(bundle, target, "chage", "-l", "nobody-here").returncode == 1


def test_lsattr_reads_the_targets_flags(bundle: Bundle, target: Path) -> None:
    file = target / "opt" / "fixed"
    file.write_text("x")
    if subprocess.run(["chattr", "+i", file], capture_output=True, check=False).returncode:
        pytest.skip("this file system or kernel does not let root set file flags")
    try:
        done = within(bundle, target, "lsattr", "/opt/fixed")
    finally:
        subprocess.run(["chattr", "-i", file], check=True)
    flags, name = done.stdout.split()
    assert ("i" in flags, name) == (True, "/opt/fixed"), done.stderr


def test_which_answers_by_mode_bits(bundle: Bundle, target: Path) -> None:
    (target / "usr" / "bin" / "tool").write_text("")
    (target / "usr" / "bin" / "tool").chmod(0o755)
    (target / "usr" / "bin" / "data").write_text("")
    assert within(bundle, target, "which", "tool").stdout == "/usr/bin/tool\n"
    assert within(bundle, target, "which", "/usr/bin/tool").stdout == "/usr/bin/tool\n"
    for name in ("data", "bash", "/usr/bin/data", "/no/such"):
        done = within(bundle, target, "which", name)
        assert (done.stdout, done.returncode) == ("", 1), name


def test_dpkg_reads_the_directory_it_is_given(bundle: Bundle, target: Path) -> None:
    admin = target / "opt" / "dpkg"
    admin.mkdir()
    fields = (
        "Package: a",
        "Status: install ok installed",
        "Version: 1",
        "Architecture: all",
        "Maintainer: x",
    )
    record = "\n".join([*fields, "Description: d", ""])
    (admin / "status").write_text(record)
    done = within(bundle, target, "dpkg-query", "-W", env=ENVIRONMENT | {"DPKG_ADMINDIR": "/opt/dpkg"})
    assert done.stdout == "a\t1\n", done.stderr


def test_invalid_content_is_still_found_invalid(bundle: Bundle, target: Path) -> None:
    """The schemas are shipped without documentation and compressed: they must judge as before."""
    content = gzip.decompress((bundle.path / bundle.manifest["content"]["debian12"]).read_bytes())
    (target / "opt" / "good.xml").write_bytes(content)
    wrong = re.sub(rb"<([a-z-]+:)?file_object ", rb"<\1no_such_object ", content, count=1)
    wrong = re.sub(rb"</([a-z-]+:)?file_object>", rb"</\1no_such_object>", wrong, count=1)
    assert wrong != content
    (target / "opt" / "wrong.xml").write_bytes(wrong)
    assert within(bundle, target, "oscap", "ds", "sds-validate", "/opt/good.xml").returncode == 0
    done = within(bundle, target, "oscap", "ds", "sds-validate", "/opt/wrong.xml")
    assert done.returncode != 0
    assert "no_such_object" in done.stdout + done.stderr


def test_manifest_and_bill_of_materials_are_complete(bundle: Bundle) -> None:
    bom = json.loads((bundle.path / "sbom.cdx.json").read_text())
    listed: dict[str, str] = {}
    for entry in bom["components"]:
        for file in entry.get("components", [entry]):
            if file["type"] == "file":
                listed[file["name"]] = file["hashes"][0]["content"]
        if entry.get("purl", "").startswith("pkg:deb"):
            assert entry["licenses"], entry["name"]
            assert entry["hashes"], entry["name"]
    there = {str(path.relative_to(bundle.path)) for path in files(bundle.path) if not path.is_symlink()}
    assert there - listed.keys() == {"sbom.cdx.json", "provenance.intoto.json"}
    for place in bundle.manifest["content"].values():
        assert place in listed


def test_size_without_content(bundle: Bundle) -> None:
    assert bundle_size(bundle.path, content=False) <= 85_000_000


@pytest.mark.slow
def test_compressed_size_without_content(bundle: Bundle) -> None:
    assert compressed_size(bundle.path, content=False) <= 25_000_000


INDEXES = (
    "Name Basenames Group Requirename Providename Conflictname Obsoletename Triggername Dirnames Installtid "
    "Sigmd5 Sha1header Filetriggername Transfiletriggername Recommendname Suggestname Supplementname "
    "Enhancename"
)


def rpm_header(tags: dict[int, str | int]) -> bytes:
    """Return a package's header as rpm stores it (lib/header.c): an index of tags, then their data."""
    index, store = b"", b""
    for tag, value in sorted(tags.items()):
        if isinstance(value, int):
            store += b"\0" * (-len(store) % 4)
        kind, data = (4, struct.pack(">I", value)) if isinstance(value, int) else (6, value.encode() + b"\0")
        index += struct.pack(">iiii", tag, kind, len(store), 1)
        store += data
    return struct.pack(">ii", len(tags), len(store)) + index + store


def rpm_database(path: Path) -> None:
    """Write the database of a system with one package, in the mode (WAL) and tables that rpm uses."""
    path.parent.mkdir(parents=True)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    for name in INDEXES.split():
        columns = "key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL"
        database.execute(f"CREATE TABLE '{name}' ({columns})")
    tags: dict[int, str | int] = {1000: "tiny", 1001: "1.0", 1002: "3", 1009: 0, 1014: "MIT"}
    tags |= {1021: "linux", 1022: "noarch", 1044: "tiny-1.0-3.src.rpm"}
    database.execute("INSERT INTO Packages (hnum, blob) VALUES (1, ?)", (rpm_header(tags),))
    database.execute("INSERT INTO Name VALUES ('tiny', 1, 0)")
    database.commit()
    database.close()


@pytest.mark.parametrize("place", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_rpm_reads_a_database_beside_which_it_cannot_write(bundle: Bundle, target: Path, place: str) -> None:
    rpm_database(target / place / "rpmdb.sqlite")
    before = sorted((target / place).iterdir())
    for command in (("rpm", "-qa"), ("rpm", "-q", "tiny"), ("env", "-i", "/sys/firmware/bin/rpm", "-qa")):
        done = within(bundle, target, *command)
        assert (done.stdout, done.stderr) == ("tiny-1.0-3.noarch\n", ""), command
    assert sorted((target / place).iterdir()) == before


def test_rpm_of_a_target_without_packages_is_quiet(bundle: Bundle, target: Path) -> None:
    assert within(bundle, target, "rpm", "-q", "tiny").returncode == 1
