"""A profile opens the host's files by handle, behind a file of the host that is mounted in the target.

CVE-2014-9357's relative, known as "shocker": DAC_READ_SEARCH opens any file of a file system by its handle.
"""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# The handle of a root directory is easily guessed; from there everything behind a mounted file is in reach.
ATTACK = """
import ctypes, errno, os, platform, struct
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 304, "aarch64": 265}[platform.machine()]
mounted = os.open("%s", os.O_RDONLY)
handle = ctypes.create_string_buffer(struct.pack("IiII", 8, 1, 2, 0), 16)
found = libc.syscall(number, mounted, handle, os.O_RDONLY | os.O_DIRECTORY)
print(errno.errorcode[ctypes.get_errno()] if found < 0 else sorted(os.listdir(found)))
"""
DAC_READ_SEARCH_ONLY = "-all,+dac_read_search"


def test_a_handle_opens_no_file_of_the_host(works, container, scan, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    target = container(files={"/etc/hosts": str(hosts)}, prepare=plant)
    (had,) = naively(target.pid, ATTACK % hosts, DAC_READ_SEARCH_ONLY)
    if not had.startswith("["):
        pytest.skip(f"the file system of {tmp_path} opens nothing by such a handle: {had}")
    works("'etc'" in had, "with the one capability that the engine has the host's root directory is listed")
    assert answered(scan(target.uri, malicious(ATTACK % "/etc/hosts"))) == ["EPERM"]
