"""What would be large to hold, under a limit on memory: `python -m tests.fuzz.limited`.

Each input of `heavy.INPUTS` is run in a process of its own, forked from one that has loaded everything.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from pathlib import Path

from tests.fuzz import harness
from tests.fuzz.heavy import INPUTS

MEGABYTES = 256
"""Beyond what is held before; most of it is for the largest report and the most facts there may be."""
_DYING_SECONDS = 120


def main() -> None:
    """Print a JSON object: what an input shows → what became of it, or the traceback."""
    for name in {name for name, _ in INPUTS.values()}:
        target = harness.load(name)
        for seed in target.seeds():  # what is loaded when it is first used is no cost of an input
            harness.attempt(target, seed)
    sys.stdout.write(json.dumps({what: _forked(what) for what in INPUTS}))


def _forked(what: str) -> str:
    name, make = INPUTS[what]
    data = make()
    heard, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(said, _limited(name, data).encode()[-4000:])
        os._exit(0)
    os.close(said)
    with os.fdopen(heard, "rb") as pipe:
        ended = pipe.read().decode(errors="replace")
    os.waitpid(pid, 0)
    return ended or "the process was killed"


def _limited(name: str, data: bytes) -> str:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + (MEGABYTES << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (_DYING_SECONDS, _DYING_SECONDS))
    try:
        return harness.attempt(harness.load(name), data).value
    except BaseException:
        return traceback.format_exc()


if __name__ == "__main__":
    main()
