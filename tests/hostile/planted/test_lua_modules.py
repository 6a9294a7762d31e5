"""Lua of the target where rpm's interpreter looks for it: code that it runs at its start or when asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("rpm")]

LUA = f'io.stderr:write("{payload.SHOUT}\\\\n")\nposix.mkdir("/owned")\n'
MODULES = (
    "/usr/lib/rpm/lua/evil.lua",
    "/usr/local/share/lua/5.3/evil.lua",
    "/usr/local/share/lua/5.4/evil.lua",
    "/usr/share/lua/5.3/evil.lua",
    "/usr/share/lua/5.4/evil.lua",
)
COMMAND = 'rpm --eval "%{lua: require(\\"evil\\")}"'


def _plant(root: Path) -> None:
    for file in ("/usr/lib/rpm/init.lua", *MODULES):
        payload.write(root, file, LUA)
    payload.library(root / payload.LIBRARIES / "lua/5.3/evil.so")
    payload.library(root / "usr/local/lib/lua/5.3/evil.so")


@payload.both
def test_it_is_not_run(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("sh"), "-c", COMMAND])
    works(naive.owned and payload.SHOUT in naive.complaint, "rpm in the chroot runs the code")
    script = (
        f'{BIN}/{COMMAND} || {BIN}/env -i {BIN}/{COMMAND} || echo none; rpm --eval "%{{lua: print(6 * 7)}}"'
    )
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["none", "42"]
    assert attempt.outcome.stderr.count("not found") == 2
