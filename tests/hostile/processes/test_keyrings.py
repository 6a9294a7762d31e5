"""Root of the target plants keys where whoever joins it as root looks for its own, keyrings(7)."""

from __future__ import annotations

import os
import platform

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import joined

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Keys of a user belong to the user, whatever the namespaces: here to root, as whom the audit runs.
PLANT = r"""
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    long key = syscall(SYS_add_key, "user", arguments[1], "planted", 7, -4 /* KEY_SPEC_USER_KEYRING */);
    syscall(SYS_keyctl, 5 /* KEYCTL_SETPERM */, key, 0x3f3f3f3f);
    syscall(SYS_keyctl, 15 /* KEYCTL_SET_TIMEOUT */, key, 20);
    int log = open("/tmp/log", O_WRONLY | O_CREAT, 0644);
    write(log, key > 0 ? "planted\n" : "refused\n", 8);
    for (;;) pause();
}
"""
# KEYCTL_SEARCH of the user's keyring, then KEYCTL_READ.
FIND = """
import ctypes, os, sys
call = ctypes.CDLL(None, use_errno=True).syscall
content = ctypes.create_string_buffer(20)
key = call({number}, 10, -4, b'user', sys.argv[1].encode(), 0)
length = call({number}, 11, key, content, 20) if key > 0 else -1
print(content.value.decode() if length > 0 else os.strerror(ctypes.get_errno()))
"""
NUMBERS = {"x86_64": 250, "aarch64": 219}


def test_the_engine_finds_none(works, container, scan):
    name = f"barescan-{os.getpid()}"
    target = container(PLANT, name, caps=DOCKER)
    target.wait_for("\n")
    if "refused" in target.log():
        pytest.skip("no key can be added here")
    script = FIND.format(number=NUMBERS[platform.machine()])
    with joined(target.pid, "python3", "-c", script, name) as naive:
        works(naive.stdout and naive.stdout.read() == "planted\n", "it takes the target's key for its own")
    attempt = scan(target.uri, f'{BIN}/python3 -c "{script}" {name}')
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["Operation not permitted"]
    assert target.written() == {"tmp/log"}
