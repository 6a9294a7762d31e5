"""Python source that is planted where the agent's own Python would look, and a Python that fails there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.hostile.planted import payload
from toolkit.agent import confine
from toolkit.bundle.build import Bundle

MARK = "code of the target ran"
_EVIL = f"import os\nos.write(2, b'{MARK}')\n"
_SOURCE = "# -*- coding: evil -*-\n" * 3
_FAIL_IN_ITS_ROOT = """
import os, sys
sys.path.insert(0, {repository!r})
import tokenize, traceback
from toolkit.agent import confine
{first}
code = compile("raise OSError(11, 'no')", {source!r}, "exec")
os.chroot({root!r})
os.write(1, b"inside")
try:
    exec(code)
except OSError as error:
    {report}
"""


def plant(root: Path, bundle: Bundle, sources: list[Path]) -> None:
    """Put files where these sources and Python's codecs are on this host: both are read to tell of a line."""
    encodings = next((bundle.path.resolve() / "lib").glob("python3*/encodings"))
    payload.write(root, f"{encodings}/evil.py", _EVIL)
    for source in sources:
        payload.write(root, str(source), _SOURCE)
    subprocess.run(["chmod", "-R", "a+rX", str(root)], check=True)


def fail_in(root: Path, bundle: Bundle, source: Path, first: str, report: str) -> str:
    """Let the bundle's Python take a tree as its root and fail there; return what it and the tree say of it.

    `first` is what it does before that, `report` what it does with the error.
    """
    home = bundle.path.resolve()
    repository = str(Path(confine.__file__).parents[2])
    code = _FAIL_IN_ITS_ROOT.format(
        repository=repository, first=first, source=str(source), root=str(root), report=report
    )
    loader = next((home / "lib").glob("ld-linux*"))
    command: list[str | Path] = [
        loader,
        "--library-path",
        home / "lib",
        home / "bin/python3",
        "-I",
        "-S",
        "-B",
        "-c",
        code,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "inside", done.stderr
    return done.stderr
