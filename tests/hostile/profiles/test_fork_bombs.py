"""A profile forks without end, so that the machine has no process number or memory left for anybody else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hostile.profiles.engine import end, malicious, plant, running
from toolkit.runtimes import cgroups

pytestmark = [pytest.mark.root, pytest.mark.bundle]

MOST = 500
BOMB = f"""
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{{
    int number = 0, child;
    while (number < {MOST} && (child = fork()) > 0)
        number++;
    if (number < {MOST} && child == 0)
        for (close(1), close(2);; pause());
    printf("%d %s\\n", number, child < 0 && errno == EAGAIN ? "refused" : "made");
    return 0;
}}
"""


def test_it_gets_no_more_than_its_part(works, compiled, container, scan, tmp_path):
    def prepare(root: Path) -> None:
        plant(root)
        shutil.copy2(compiled(BOMB), root / "bomb")

    naive = shutil.copy2(compiled(BOMB), tmp_path / "naive-bomb")
    said = subprocess.run([str(naive)], stdout=subprocess.PIPE, text=True, check=True, timeout=20).stdout
    left = running("naive-bomb")
    end("naive-bomb")
    works(
        said == f"{MOST} made\n" and len(left) == MOST, "a script's child makes five hundred, and they stay"
    )
    script = f"(exec -a confined-bomb /bomb); {malicious('')}"
    attempt = scan(container(prepare=prepare).uri, script, allow_target_exec=True)
    assert running("confined-bomb") == []
    state = attempt.outcome.facts["confinement"]["cgroup"]
    if state != "on":
        pytest.skip(f"the number of processes has no bound on this machine: {state}")
    number, how = attempt.lines[0].split()
    assert how == "refused"
    assert int(number) < cgroups.PROCESSES
