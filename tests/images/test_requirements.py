"""barescan's own image gets what running needs, by the lock's hashes, and no more."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from toolkit.images.requirements import needed

LOCK = """
direct-one==1.0 \\
    --hash=sha256:aa
    # via barescan (pyproject.toml)
inner==2.0 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via
    #   direct-one
    #   linter
innermost==3.0 \\
    --hash=sha256:dd
    # via inner
linter==4.0 \\
    --hash=sha256:ee
    # via barescan (pyproject.toml)
"""


def names(text: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))


def test_a_requirement_brings_what_it_needs_and_its_hashes():
    found = needed(LOCK, ["Direct_One[extra]>=1"])
    assert names(found) == {"direct-one", "inner", "innermost"}
    assert "sha256:cc" in found


def test_what_the_lock_lacks_is_named():
    with pytest.raises(ValueError, match="absent"):
        needed(LOCK, ["absent>=1"])


def test_the_image_has_all_that_running_needs_and_no_linter():
    place = Path(__file__).parents[2]
    direct = tomllib.loads((place / "pyproject.toml").read_text())["project"]["dependencies"]
    found = names(needed((place / "requirements.lock").read_text(), direct))
    assert {"docker", "invoke", "lxml", "pyyaml", "requests", "rich", "urllib3"} <= found
    assert not found & {"mypy", "ruff", "pytest", "hypothesis", "types-docker"}
