"""The tasks as they are called, and their YAML read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from kubernetes import client

from toolkit.cli import program

Printed = Callable[..., str]
JOB = ("manifests.job", "--namespace", "shop", "--profile", "scap:debian12#some")
CRON_JOB = ("manifests.cronjob", "--schedule", "0 3 * * *", *JOB[1:])


def documents(text: str) -> dict[str, dict[str, Any]]:
    """Return the documents of a stream by their kind, which is another in each."""
    found = list(yaml.safe_load_all(text))
    by_kind = {each["kind"]: each for each in found}
    assert len(by_kind) == len(found)
    return by_kind


def model(document: dict[str, Any], name: str) -> Any:
    """Return a document as the client's model of it; unknown fields and wrong types fail."""
    return client.ApiClient().deserialize(json.dumps(document), name, None)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Call a task; returns what it printed."""

    def run(*call: str) -> str:
        try:
            program.run(["barescan", *call])
        except SystemExit as end:  # as --help does
            if end.code:
                pytest.fail(capsys.readouterr().err)
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Call a task wrongly; returns what it said, one line."""

    def run(*call: str) -> str:
        with pytest.raises(SystemExit) as end:
            program.run(["barescan", *call])
        said = capsys.readouterr()
        assert end.value.code == 1
        assert not said.out
        return " ".join(said.err.split())

    return run
