"""YAML that users write for an auditor: checked where it stands, without building its values.

The auditor reads these files with Ruby's parser, whose tags and types differ; so they are sent as they are,
and only what is wrong for both is found here: syntax, and a document that is no mapping. Messages carry line
and column but no text of the file, as its values may be secret.
"""

from __future__ import annotations

import re

import yaml

from toolkit.errors import CallError

_REMEDY = "correct it"
_QUOTES_TEXT = re.compile(r"\b(alias|anchor|tag|handle|character|directive|sequence)\b.*", re.DOTALL)


def compose(text: bytes, where: str) -> yaml.MappingNode | None:
    """Return the document's top node, None for an empty one; raises CallError with line and column."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CallError(f"{where}: {mark_of(error)}", _REMEDY) from None
    except UnicodeDecodeError as error:
        raise CallError(f"{where}: byte {error.start} is not UTF-8", _REMEDY) from None
    except RecursionError:
        raise CallError(f"{where}: nested too deeply", _REMEDY) from None
    except (ValueError, OverflowError):  # PyYAML lets out what chr() and int() say of its numbers
        raise CallError(f"{where}: YAML error: an escape or a version that is none", _REMEDY) from None
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise CallError(
            f"{where}: line {node.start_mark.line + 1}: not a mapping of names to values", _REMEDY
        )
    return node


def mark_of(error: yaml.YAMLError) -> str:
    """Return what is wrong with line and column (from 1), and nothing that stands there."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"YAML error in line {mark.line + 1}, column {mark.column + 1}: {_without_text(error.problem)}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"YAML error: character {error.position + 1} is not allowed"
    return "YAML error"


def _without_text(problem: str | None) -> str:
    """Return the parser's words without what it quotes from the file (a password `*x` is an alias to it)."""
    return _QUOTES_TEXT.sub(r"\1", problem or "syntax")
