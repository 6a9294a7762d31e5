"""A profile runs programs of the target, which may be anything, with the auditor's rights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import visit
from tests.hostile.planted.payload import write
from tests.hostile.profiles.engine import RUNS, answered, malicious, needs_landlock, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

PLACES = ("/usr/bin/ls", "/opt/program", "/opt/script", "/sys/firmware/../../opt/program")
ATTACK = f"""
cd /opt
for each in {" ".join(PLACES)} ./program "/sys/firmware/l/* /opt/program" "{BIN}/env -i /opt/program"
do $each; done 2>/dev/null | {BIN}/grep "the target ran"
"""
LIVE = f"/proc/1/root/opt/program 2>/dev/null; {malicious('')}"
RAN = "the target ran"


@pytest.fixture
def prepare(compiled):
    def fill(root: Path) -> None:
        plant(root)
        for name in ("usr/bin", "opt"):
            (root / name).mkdir(parents=True)
        shutil.copy2(compiled(RUNS), root / "opt/program")
        shutil.copy2(compiled(RUNS), root / "usr/bin/ls")
        write(root, "/opt/script", "#!/opt/program\n", 0o755)

    return fill


@pytest.mark.parametrize("without", [[], ["landlock"], ["system-calls"]])
def test_none_is_started(works, container, scan, prepare, without):
    target = container(prepare=prepare)
    works(visit(target.tree, ["/opt/program"]).output == f"{RAN}\n", "the chroot runs it as root")
    assert answered(scan(target.uri, f"{ATTACK}{malicious('')}", without=without)) == []


def test_what_would_be_seen_if_one_was(container, scan, prepare):
    said = answered(scan(container(prepare=prepare).uri, f"{ATTACK}{malicious('')}", allow_target_exec=True))
    assert set(said) == {RAN}


@pytest.mark.parametrize(("without", "said"), [([], []), (["scopes"], []), (["landlock"], [RAN])])
def test_landlock_holds_those_of_the_live_tree(container, scan, prepare, without, said):
    """Which is not mounted noexec: that would change the target."""
    needs_landlock(6 if "scopes" in without else 1)
    assert answered(scan(container(prepare=prepare).uri, LIVE, without=without)) == said
