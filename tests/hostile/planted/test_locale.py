"""A locale of the target, whose rules for sorting and words for weekdays would change what tools answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("localedef")]

ENGLISH = Path("/usr/share/i18n/locales/en_US")
LOCALE = "xx_XX.UTF-8"
ENVIRONMENT = {"LC_ALL": LOCALE}


def _plant(folder: Path, root: Path) -> None:
    source = folder / "source"
    source.write_text(ENGLISH.read_text().replace('"Monday"', '"PLANTED"'))
    (root / "usr/lib/locale").mkdir(parents=True)
    made = [tool("localedef"), "-c", "-i", str(source), "-f", "UTF-8"]
    subprocess.run([*made, "--prefix", str(root), LOCALE], check=False, capture_output=True, timeout=60)
    subprocess.run(
        [*made, "--no-archive", str(root / "usr/lib/locale" / LOCALE)],
        check=False,
        capture_output=True,
        timeout=60,
    )


@payload.both
@pytest.mark.skipif(not ENGLISH.exists(), reason="no sources of locales (apt-get install locales)")
def test_it_is_not_used(works, container, scan, tmp_path, exec_allowed):
    target = container(caps=DOCKER, prepare=lambda root: _plant(tmp_path, root))
    naive = visit(target.tree, [tool("date"), "-d", "2024-01-01", "+%A"], ENVIRONMENT)
    works(naive.output == "PLANTED\n", "date in the chroot speaks as the target wants")
    command = f"LC_ALL={LOCALE} {BIN}/date -d 2024-01-01 +%A"
    script = f"{command}; {BIN}/env -i {command}; {BIN}/locale -a | grep -c xx_; ls /usr/lib/locale"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines[:3] == ["Monday", "Monday", "0"]
    assert "locale-archive" in attempt.lines
