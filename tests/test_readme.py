"""What the README shows is what the program takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from toolkit.cli import ns
from toolkit.engines.base import Options
from toolkit.engines.cinc import CincEngine
from toolkit.reports import threshold

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
YAML = {
    found.group(1): found.group(2) for found in re.finditer(r"```yaml\n# (\S+)\n(.*?)```", README, re.DOTALL)
}


def test_the_threshold_is_one() -> None:
    assert threshold.parse(YAML["gate.yml"].encode(), "gate.yml").compliance.minimum == 80


def test_inputs_waivers_and_controls_are_known_to_the_profile(tmp_path: Path) -> None:
    for name in ("inputs.yml", "waivers.yml"):
        (tmp_path / name).write_text(YAML[name])
    pairs = tuple(tuple(pair.split("=")) for pair in re.findall(r"--input (\w+=\S+)", README))
    options = Options(
        input_files=(tmp_path / "inputs.yml",),
        inputs=pairs,
        waiver_files=(tmp_path / "waivers.yml",),
        controls=tuple(re.findall(r"--controls (\S+)", README)),
    )
    plan = CincEngine({}).plan(str(ROOT / "profiles" / "distroless-baseline"), options)
    assert plan.warnings == plan.waived == ()
    assert len(plan.controls) == 2
    assert set(plan.controls) <= set(plan.known)
    assert yaml.safe_load(YAML["waivers.yml"])["BARE-DL-000040"]["justification"]


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"(?<=[ \[`(\n])--[a-z][a-z0-9-]+", README))))
def test_every_flag_is_one(flag: str) -> None:
    known = {"--list", "--help"}
    for task in ns.tasks.values():
        known |= {
            f"--{name.replace('_', '-')}" for name in (argument.name for argument in task.get_arguments())
        }
    assert flag in known | {"--template"}  # crictl's
