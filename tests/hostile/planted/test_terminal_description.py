"""A terminal that the target describes: ncurses trusted such files too much (CVE-2023-29491)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("tic", "tput")]

NAME = "planted"
SOURCE = f"{NAME}|of the target,\n\tam, cols#80, lines#24, clear=PLANTED, bel=PLANTED, cr=\\r, cud1=\\n,\n"
PLACES = ("etc/terminfo", "usr/share/terminfo", "usr/lib/terminfo", "home/evil/.terminfo")
STUCK = "stuck"
"""Another one, which is a pipe: who reads it waits for ever."""


def _plant(root: Path) -> None:
    for place in PLACES:
        (root / place).mkdir(parents=True)
        command = [tool("tic"), "-o", str(root / place), "-"]
        subprocess.run(command, input=SOURCE, text=True, check=True, timeout=60)
        (root / place / STUCK[0]).mkdir()
        os.mkfifo(root / place / STUCK[0] / STUCK)


@payload.both
def test_it_is_not_read(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("tput"), "-T", NAME, "clear"])
    works(naive.output == "PLANTED", "tput in the chroot prints what the description says")
    script = "; ".join(f"echo q | TERM={name} bash -i; TERM={name} dmesg -L=always" for name in (NAME, STUCK))
    attempt = payload.audit(scan, target, f"{script}; echo done", allow_target_exec=exec_allowed, timeout=10)
    assert attempt.lines[-1] == "done"
    assert "PLANTED" not in attempt.outcome.stderr + "".join(attempt.lines)
