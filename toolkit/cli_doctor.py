"""The task `doctor`: what works here, what does not, and the next step for it.

What looks is imported by the task: the clients of engines and clusters take a second to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context
from rich.text import Text

from toolkit import auditor
from toolkit.cli_base import console, task
from toolkit.errors import ScanError

if TYPE_CHECKING:
    from toolkit.doctor.records import Check

_STYLES = {"ok": "green", "no": "bold red", "unknown": "yellow"}
_STATE = 8  # columns


@task(
    help={
        "context": "context of the kubeconfig (default: its current one)",
        "namespace": "where pods are to be scanned (default: that of the context)",
        "image": f"auditor image for targets in containers (default: {auditor.IMAGE})",
    }
)
def doctor(_context: Context, context: str = "", namespace: str = "", image: str = auditor.IMAGE) -> None:
    """Look at what works here and what does not, with the next step for it; changes nothing.

    Exit status: 0 when there is at least one way of scanning, 2 when there is none.
    """
    from toolkit.doctor.ways import examine

    found = examine(context, namespace, image)
    groups = [("this machine", found.machine.checks)]
    groups += [(way.name, way.found.checks) for way in found.ways if not way.found.absent]
    width = max(len(each.name) for _, checks in groups for each in checks)
    for title, checks in groups:
        _print(Text(title, style="bold"))
        for each in checks:
            _print_check(each, width)
        _print(Text())
    _print(Text("ways of scanning", style="bold"))
    width = max(len(way.name) for way in found.ways)
    for way in found.ways:
        style = "green" if way.usable else "dim" if way.found.absent else "bold red"
        _print(Text.assemble(f"  {way.name:<{width}}  ", (way.verdict, style)))
    if not found.usable:
        raise ScanError("nothing can be scanned from here", "take the next steps of one way above")


def _print_check(check: Check, width: int) -> None:
    state = f"{check.state:<{_STATE}}"
    optional = "" if check.needed or not check.fix else "not needed for every scan: "
    line = f"{check.name:<{width}}  {optional}{check.detail}"
    _print(Text.assemble("  ", (state, _STYLES[check.state]), line))
    if check.fix:
        _print(Text(f"  {'':<{_STATE}}→ {check.fix}"))


def _print(text: Text) -> None:
    console.print(text, highlight=False, soft_wrap=True)
