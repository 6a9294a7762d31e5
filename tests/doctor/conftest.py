"""The command as users call it, its words taken apart, and clusters that are none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import clusters
from toolkit.clusters import Cluster

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "KUBECONFIG": "/nowhere/kubeconfig"}
"""An environment in which there is neither an engine nor a cluster."""
_CHECK = re.compile(r"  (ok|no|unknown) +(.+?)  +(.*)")


@dataclass
class Said:
    """What `doctor` said."""

    status: int
    output: str
    checks: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """By group and name: state, and the detail with the next step."""
    ways: dict[str, str] = field(default_factory=dict)
    errors: str = ""

    def state(self, group: str, name: str) -> str:
        return self.checks[group][name][0]

    def words(self, group: str, name: str) -> str:
        return self.checks[group][name][1]


def parse(status: int, output: str) -> Said:
    said, group, last = Said(status, output), "", ""
    for line in output.splitlines():
        if line and not line.startswith(" "):
            group = line
        elif group == "ways of scanning" and line.startswith("   "):
            said.ways[last] += f" {line.strip()}"
        elif group == "ways of scanning" and line:
            name, _, verdict = line.strip().partition("  ")
            last = name.split(",")[0]
            said.ways[last] = verdict.strip()
        elif found := _CHECK.fullmatch(line):
            last = found[2]
            said.checks.setdefault(group, {})[last] = (found[1], found[3])
        elif line:
            state, words = said.checks[group][last]
            said.checks[group][last] = state, f"{words} {line.strip()}"
    return said


class Doctor:
    """Calls `doctor` with an environment that is added to our own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, prefix: Sequence[str] = (), **environment: str) -> Said:
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "toolkit", "doctor", *arguments],
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        said = parse(done.returncode, done.stdout)
        said.errors = " ".join(done.stderr.split())
        return said


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


def kubeconfig(path: Path, server: str, user: dict[str, Any] | None = None, **cluster: Any) -> str:
    """Write a kubeconfig with one context and return its path."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture
def reached() -> Cluster:
    """The cluster for tests, as its administrator."""
    return clusters.reached()


@pytest.fixture
def namespace(reached: Cluster) -> Iterator[str]:
    """A namespace of this test's own."""
    with clusters.own_namespace(reached) as name:
        yield name
