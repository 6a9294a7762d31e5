"""The self-test's half inside the image: starts every program there is, says a JSON line about each.

Runs as an engine does, on the bundle's Python, confined, in a root that holds nothing. Standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BUNDLE = "/sys/firmware"
SECONDS = 60


def main(path: str) -> int:
    """Start what `path` lists (see toolkit.images.selftest) and every program besides with --version."""
    wanted = json.loads(Path(path).read_text())
    for name in sorted(os.listdir(f"{BUNDLE}/bin")):  # noqa: PTH208 pathlib has nothing over it here
        command = [name, *wanted["arguments"].get(name, ["--version"])]
        _tell(name, command, wanted["status"].get(name, 0))
    for name, command in wanted["engines"].items():
        _tell(f"engine {name}", command, 0)
    return 0


def _tell(name: str, command: list[str], status: int) -> None:
    print(json.dumps({"program": name, "complaint": _complaint(command, status)}), flush=True)  # noqa: T201


def _complaint(command: list[str], status: int) -> str:
    try:
        done = subprocess.run(
            [f"{BUNDLE}/bin/{command[0]}", *command[1:]],
            capture_output=True,
            check=False,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return "did not end"
    except OSError as error:
        return f"did not start: {error.strerror}"
    said = done.stderr.decode(errors="replace").strip()[-300:]
    if done.returncode != status:
        return f"ended with status {done.returncode}: {said}"
    return said if "ld.so" in said else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
