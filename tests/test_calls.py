"""Calls that can't be read or can't be right: each is told before anything begins, with the next step."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def _barescan(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "toolkit", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (("scan", "--tagret", "pid://1"), "--target"),
        (("scan", "--all-namespace"), "--all-namespaces"),
        (("scan", "--tagret=pid://1"), "--target"),
        (("scn",), "scan"),
        (("targets.pu",), "targets.up"),
        (("--lsit",), "--list"),
        (("scan", "docker://web"), None),
    ],
)
def test_a_misspelt_word_is_told_with_the_nearest_there_is(call: tuple[str, ...], meant: str | None) -> None:
    done = _barescan(*call)
    assert done.returncode == 1
    assert ("did you mean" in done.stderr) == (meant is not None)
    if meant:
        assert f"did you mean {meant}?\n" in done.stderr
    assert "see: barescan " in done.stderr


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("web", "'web' is not a target"),
        ("pid://1", "pid://1 is not measured: no auditor runs beside it"),
        ("image://web", "no auditor runs beside it"),
        ("k8s-container://shop/web", "names no container"),
    ],
)
def test_what_is_no_container_is_not_measured(target: str, words: str) -> None:
    done = _barescan("bench", "--target", target)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "turn 1" not in done.stderr


@pytest.mark.parametrize("task", ["scan", "bench"])
def test_help_fits_a_terminal_and_says_the_exit_statuses(task: str) -> None:
    done = _barescan(task, "--help", COLUMNS="80")
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert "Exit status: 0 " in done.stdout
    assert "130 interrupted" in done.stdout
