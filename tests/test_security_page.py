"""The security page: what it names as a proof is there, and every attack has its control."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from toolkit.agent import layers

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/security.md").read_text()
HOSTILE = ROOT / "tests/hostile"
ATTACKS = sorted(HOSTILE.rglob("test_*.py"))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|toolkit)/[\w/.]+)`", PAGE))))
def test_what_it_names_is_there(path):
    assert (ROOT / path).exists()


def test_every_layer_is_explained():
    table = PAGE.partition("## The layers")[2].partition("###")[0]
    assert set(re.findall(r"`([a-z-]+)`", table)) >= set(layers.NAMES)


def test_the_rows_of_the_alignment_name_a_test():
    alignment = PAGE.partition("## What an auditor asks for")[2].partition("## What is left")[0]
    rows = [line for line in alignment.splitlines() if line.startswith("| ") and "| item |" not in line]
    rows = [line for line in rows if "| technique |" not in line]
    assert len(rows) > 30
    assert [line for line in rows if "`tests/" not in line.rpartition("|")[0].rpartition("|")[2]] == []


@pytest.mark.parametrize("path", ATTACKS, ids=lambda path: str(path.relative_to(HOSTILE)))
def test_every_attack_is_shown_to_work_first(path):
    tree = ast.parse(path.read_text())
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert any("works" in [argument.arg for argument in test.args.args] for test in tests)


def test_there_are_at_least_sixty_attacks():
    assert len(ATTACKS) >= 60
