"""Models of Kubernetes' client as YAML: no nulls, keys in the order people write them, nothing ambiguous."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from kubernetes import client

from toolkit.manifests.lines import WIDTH, command, prose

LABELS = {"app.kubernetes.io/name": "barescan"}
"""On everything of ours, so that it can be found and left out."""
_FIRST = ("apiVersion", "kind", "metadata", "name", "namespace", "image", "imagePullPolicy", "args")
_LAST = ("resourceNames", "verbs", "template", "jobTemplate", "containers", "volumes")
_COMMAND = "  "  # what a comment begins with that is one
_AMBIGUOUS = re.compile(r"[-+]?\.?[0-9][-+_.:0-9a-fA-FoOpPxX]*|[yYnN]")
"""Text for PyYAML, but a number or a truth value for Kubernetes' parser: the namespace `1e3`, or `y`."""


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key; strings that look like something else are quoted."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def plain(model: Any) -> dict[str, Any]:
    """Return a model, or a dict of models, as the API takes it, its keys in order."""
    to_wire: Callable[[Any], Any] = client.ApiClient().sanitize_for_serialization  # has no types itself
    ordered = _ordered(to_wire(model))
    if not isinstance(ordered, dict):
        raise TypeError(f"{type(model)} is no object of an API")
    return ordered


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=_rank)}
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    return value


def _rank(key: str) -> tuple[int, int, str]:
    if key in _FIRST:
        return 0, _FIRST.index(key), key
    return (2, _LAST.index(key), key) if key in _LAST else (1, 0, key)


def stream(models: Sequence[Any], before: Sequence[str], after: Sequence[str] = ()) -> str:
    """Return YAML documents with comments before and after them: paragraphs and, indented, commands.

    They are free of line breaks, and broken here into lines that fit.
    """
    documents = [
        yaml.dump(plain(model), Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
        for model in models
    ]
    return _comment(before) + "---\n" + "---\n".join(documents) + _comment(after)


def _comment(lines: Sequence[str]) -> str:
    if any(len(line.splitlines()) > 1 for line in lines):
        raise ValueError("a comment with a line break")
    return "".join(f"# {part}".rstrip() + "\n" for line in lines for part in _fitting(line))


def _fitting(line: str) -> list[str]:
    """Return a comment as lines that fit; one that is indented is a command."""
    width = WIDTH - len("# ")
    if line.startswith(_COMMAND):
        return [f"{_COMMAND}{part}" for part in command(line.strip(), width - len(_COMMAND))]
    return prose(line, width)
