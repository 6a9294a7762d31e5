"""The task `doctor`: what works here, what does not, and the next step for it.

What looks is imported by the task: the clients of engines and clusters take a second to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context
from rich.text import Text

from toolkit import auditor
from toolkit.cli_base import console, task
from toolkit.errors import CallError, ScanError
from toolkit.manifests.checks import parts
from toolkit.manifests.lines import WIDTH, prose

if TYPE_CHECKING:
    from toolkit.doctor.records import Check

_STYLES = {"ok": "green", "no": "bold red", "unknown": "yellow"}
_STATE = 8  # columns


@task(
    help={
        "context": "context of the kubeconfig (default: its current one)",
        "namespace": "where pods are to be scanned (default: that of the context)",
        "target": "k8s-container://NAMESPACE/POD[/CONTAINER]: whether this one can be scanned, as with an "
        "account that may touch named pods only",
        "image": f"auditor image for targets in containers (default: {auditor.IMAGE})",
    }
)
def doctor(
    _context: Context, context: str = "", namespace: str = "", target: str = "", image: str = auditor.IMAGE
) -> None:
    """Look at what works here and what does not, with the next step for it; changes nothing.

    Exit status: 0 when there is at least one way of scanning, 2 when there is none.
    """
    if target and namespace:
        raise CallError("--target says the namespace itself", "leave --namespace out")
    namespace, pod, container = parts(target) if target else (namespace, "", "")
    from toolkit.doctor.ways import examine
    from toolkit.runtimes.kubernetes.words import Place

    found = examine(context, Place(namespace, pod, container, image))
    groups = [("this machine", found.machine.checks)]
    groups += [(way.name, way.found.checks) for way in found.ways if not way.found.absent]
    width = max(len(each.name) for _, checks in groups for each in checks)
    for title, checks in groups:
        _print(Text(title, style="bold"))
        for number, each in enumerate(checks):
            said = {before.fix for before in checks[:number]}
            _print_check(each, width, fix="" if each.fix in said else each.fix)
        _print(Text())
    _print(Text("ways of scanning", style="bold"))
    width = max(len(way.name) for way in found.ways)
    for way in found.ways:
        style = "green" if way.usable else "dim" if way.found.absent else "bold red"
        _print_lines(f"  {way.name:<{width}}  ", way.verdict, style)
    if not found.usable:
        raise ScanError("nothing can be scanned from here", "take the next steps of one way above")


def _print_check(check: Check, width: int, fix: str) -> None:
    """Print one check; `fix` is empty where the same next step is printed with an earlier one."""
    optional = "" if check.needed or not check.fix else "not needed for every scan: "
    first, *more = prose(f"{optional}{check.detail}", WIDTH - width - _STATE - 4)
    state = (f"{check.state:<{_STATE}}", _STYLES[check.state])
    _print(Text.assemble("  ", state, f"{check.name:<{width}}  {first}"))
    for line in more:
        _print(Text(f"{'':<{width + _STATE + 4}}{line}"))
    if fix:
        _print_lines(f"  {'':<{_STATE}}→ ", fix)


def _print_lines(before: str, text: str, style: str = "") -> None:
    """Print a text with something before its first line, and as much space before the others."""
    for line in prose(text, WIDTH - len(before)):
        _print(Text.assemble(before, (line, style)))
        before = " " * len(before)


def _print(text: Text) -> None:
    console.print(text, highlight=False, soft_wrap=True)
