"""The mount table is the captured one, for every program and every way to it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from .conftest import Bundle

MOUNTS = "captured-source /captured-place tmpfs rw,noatime 0 0\n"
MOUNTINFO = (
    "1 0 8:1 / / rw,noatime - ext4 captured-source rw\n2 1 8:1 / /captured-place rw - tmpfs captured-two rw\n"
)

WAYS = [
    ["cat", "/proc/mounts"],
    ["cat", "/proc/self/mounts"],
    ["cat", "/proc/thread-self/mountinfo"],
    ["cat", "//proc/../proc/self/mountinfo"],
    ["findmnt", "--noheadings"],
    ["findmnt", "--list"],
    ["mount"],
    ["gawk", "{ print }", "/proc/self/mounts"],
    ["grep", "", "/proc/self/mountinfo"],
    ["bash", "-c", 'while read -r line; do echo "$line"; done < /proc/mounts'],
    ["python3", "-c", "print(open('/proc/self/mountinfo').read())"],
    ["python3", "-c", "import os; print(open(f'/proc/{os.getpid()}/mounts').read())"],
    [
        "python3",
        "-c",
        "import os; d = os.open('/proc/self', 0); print(os.read(os.open('mounts', 0, dir_fd=d), 9999))",
    ],
    ["perl", "-e", "open(F, '<', '/proc/mounts'); print <F>"],
    ["ruby", "-e", "puts File.read('/proc/self/mounts')"],
]


def capture(bundle: Bundle) -> None:
    (bundle.view / "mounts").write_text(MOUNTS)
    (bundle.view / "mountinfo").write_text(MOUNTINFO)


@pytest.mark.parametrize("command", WAYS, ids=" ".join)
def test_every_way_to_the_table(bundle: Bundle, command: list[str]) -> None:
    capture(bundle)
    assert "/captured-place" in bundle.text(*command)
    assert "/captured-place" not in bundle.text(*command, preload=False)


def test_who_asks_whether_the_table_is_on_procfs_is_told_so(bundle: Bundle) -> None:
    capture(bundle)
    code = (
        "import ctypes, os, sys; made = ctypes.create_string_buffer(256); fd = os.open(sys.argv[1], 0);"
        "ctypes.CDLL(None).fstatfs(fd, made); print(ctypes.c_long.from_buffer(made).value)"
    )
    procfs = "40864"  # PROC_SUPER_MAGIC, statfs(2)
    assert bundle.text("python3", "-c", code, "/proc/mounts").strip() == procfs
    assert bundle.text("cat", "/proc/mounts") == MOUNTS
    assert bundle.text("python3", "-c", code, str(bundle.outside)).strip() != procfs


def test_through_a_link_named_mtab_and_a_relative_path(bundle: Bundle) -> None:
    capture(bundle)
    (bundle.outside / "mtab").symlink_to("/proc/self/mounts")
    assert bundle.text("cat", "mtab") == MOUNTS
    assert bundle.text("cat", "mounts", cwd=Path("/proc/self")) == MOUNTS


def test_a_file_that_only_has_the_name_is_left_alone(bundle: Bundle) -> None:
    capture(bundle)
    (bundle.outside / "mounts").write_text("mine\n")
    assert bundle.text("cat", "mounts") == "mine\n"


def test_without_a_captured_table_the_real_one_is_shown(bundle: Bundle) -> None:
    assert bundle.text("cat", "/proc/self/mounts") == Path("/proc/self/mounts").read_text()


def test_a_process_of_another_mount_namespace_keeps_its_own_table(mounting: Bundle) -> None:
    capture(mounting)
    with subprocess.Popen(["unshare", "--mount", "sleep", "30"]) as other:
        try:
            while Path(f"/proc/{other.pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink():
                time.sleep(0.01)
            assert "/captured-place" not in mounting.text("cat", f"/proc/{other.pid}/mounts")
        finally:
            other.kill()


def test_the_descriptor_keeps_its_flags(bundle: Bundle) -> None:
    capture(bundle)
    code = "import os; fd = os.open('/proc/mounts', 0); print(os.get_inheritable(fd), os.read(fd, 8))"
    assert bundle.text("python3", "-c", code) == "False b'captured'\n"


def test_setmntent_and_freopen(bundle: Bundle, tmp_path: Path) -> None:
    capture(bundle)
    program = tmp_path / "reader"
    source = tmp_path / "reader.c"
    source.write_text(
        "#include <mntent.h>\n#include <stdio.h>\n"
        'int main(void) { puts(getmntent(setmntent("/proc/mounts", "r"))->mnt_dir);\n'
        'if (!freopen("/proc/self/mounts", "r", stdin)) return 1;\n'
        "int c; while ((c = getchar()) != EOF) putchar(c); return 0; }\n"
    )
    subprocess.run(["gcc", "-o", str(program), str(source)], check=True, timeout=60)
    assert bundle.text(program) == "/captured-place\n" + MOUNTS
    assert "captured" not in bundle.text(program, preload=False)


OVAL = """<?xml version="1.0"?>
<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5"
  xmlns:oval="http://oval.mitre.org/XMLSchema/oval-common-5"
  xmlns:linux="http://oval.mitre.org/XMLSchema/oval-definitions-5#linux">
 <generator>
  <oval:schema_version>5.11</oval:schema_version><oval:timestamp>2020-01-01T00:00:00</oval:timestamp>
 </generator>
 <definitions>
  <definition class="compliance" id="oval:view:def:1" version="1">
   <metadata><title>t</title><description>d</description></metadata>
   <criteria><criterion test_ref="oval:view:tst:1"/></criteria>
  </definition>
 </definitions>
 <tests>
  <linux:partition_test id="oval:view:tst:1" version="1" check="all" comment="c">
   <linux:object object_ref="oval:view:obj:1"/><linux:state state_ref="oval:view:ste:1"/>
  </linux:partition_test>
 </tests>
 <objects>
  <linux:partition_object id="oval:view:obj:1" version="1">
   <linux:mount_point>/</linux:mount_point>
  </linux:partition_object>
 </objects>
 <states>
  <linux:partition_state id="oval:view:ste:1" version="1">
   <linux:mount_options entity_check="at least one">captured_option</linux:mount_options>
  </linux:partition_state>
 </states>
</oval_definitions>
"""


@pytest.mark.parametrize(("option", "verdict"), [("captured_option", "true"), ("rw", "false")])
def test_a_mount_rule_of_openscap_goes_by_the_captured_options(
    bundle: Bundle, option: str, verdict: str
) -> None:
    (bundle.outside / "rule.xml").write_text(OVAL)
    (bundle.view / "mounts").write_text(f"captured / ext4 {option} 0 0\n")
    assert f"oval:view:def:1: {verdict}" in bundle.text("oscap", "oval", "eval", "rule.xml")
    assert "oval:view:def:1: false" in bundle.text("oscap", "oval", "eval", "rule.xml", preload=False)
