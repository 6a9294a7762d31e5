"""The part of requirements.lock that running barescan needs: `python3 requirements.py DIRECTORY` prints it.

The lock covers development too, and pip takes hashes only from a file in which everything is pinned. Which
package is there for which is said by pip-compile's `# via` comments. Standard library only: the Dockerfile of
barescan's own image runs this.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

_BLOCK = re.compile(r"^([A-Za-z0-9._-]+)==.*?(?=^[A-Za-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
_VIA = re.compile(r"^    # (?:via )? *([A-Za-z0-9._-]+)", re.MULTILINE)


def needed(lock: str, direct: Iterable[str]) -> str:
    """Return the lock's entries for these requirements and what they need; ValueError if one is missing."""
    blocks = {_name(match[1]): match[0] for match in _BLOCK.finditer(lock)}
    wanted = {_name(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in direct}
    if missing := wanted - blocks.keys():
        raise ValueError(f"not in requirements.lock: {', '.join(sorted(missing))}")
    while more := {
        name
        for name, text in blocks.items()
        if name not in wanted and wanted & set(map(_name, _VIA.findall(text)))
    }:
        wanted |= more
    return "".join(blocks[name] for name in sorted(wanted))


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    about = tomllib.loads((place / "pyproject.toml").read_text())
    wanted = [*about["project"]["dependencies"], *about["build-system"]["requires"]]
    sys.stdout.write(needed((place / "requirements.lock").read_text(), wanted))
