"""What the page shows is what the tasks print and take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.manifests.conftest import Printed, documents

PAGE = (Path(__file__).parent.parent.parent / "docs" / "kubernetes-manifests.md").read_text()
CALLS = re.findall(r"^invoke (manifests\..*?)(?: [|>].*)?$", PAGE.replace("\\\n", ""), re.MULTILINE)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_is_one(printed: Printed, call: str) -> None:
    assert documents(printed(*shlex.split(call)))


def test_the_rights_are_printed_so(printed: Printed) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert shown == printed("manifests.rbac", "--namespace", "shop", "--pod", "web-0")


def test_all_tasks_are_shown() -> None:
    assert {call.split()[0] for call in CALLS} == {
        f"manifests.{name}" for name in ("rbac", "sidecar", "job", "cronjob")
    }
