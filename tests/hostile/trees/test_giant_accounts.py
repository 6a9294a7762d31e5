"""A /etc/passwd of 200 MB, with the one account that matters at its end."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import empty, mounted, output

pytestmark = [pytest.mark.root, pytest.mark.bundle]

SIZE = 200 << 20
LINE = "nobody{:08}:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
ACCOUNT = "backdoor:x:0:0::/:/bin/sh"
WHOLE = "import sys; print(len(open(sys.argv[1]).read().splitlines()))"


def test_the_last_account_is_found_within_the_limits(works, scan, tmp_path):
    with mounted(tmp_path):
        passwd = empty(tmp_path) / "etc/passwd"
        block = "".join(LINE.format(number) for number in range(20_000))
        with passwd.open("w") as file:
            for _ in range(SIZE // len(block) + 1):
                file.write(block)
            file.write(f"{ACCOUNT}\n")
        said = output(tool("prlimit"), f"--as={512 << 20}", tool("python3"), "-c", WHOLE, passwd)
        works("MemoryError" in said, "a script that reads it whole has no memory for it")
        attempt = scan(
            f"rootfs://{tmp_path}",
            f"{BIN}/id -u backdoor; {BIN}/tail -n1 /etc/passwd",
            memory_bytes=512 << 20,
        )
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["0", ACCOUNT]
