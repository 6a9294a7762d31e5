"""ELF files as binutils and patchelf see them: what they need, and making them find it beside themselves."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")
_INTERPRETER = re.compile(r"program interpreter: (.+)\]")


def is_elf(path: Path) -> bool:
    """Tell whether the file is an ELF object."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _run(*command: str) -> str:
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/usr/bin"}
    )
    return done.stdout


def needed(path: Path) -> list[str]:
    """Return the names of the shared libraries that the file's header asks for, in its order."""
    return _NEEDED.findall(_run("readelf", "-dW", str(path)))


def interpreter(path: Path) -> Path | None:
    """Return the loader that the program names, None for a library."""
    match = _INTERPRETER.search(_run("readelf", "-lW", str(path)))
    return Path(match[1]) if match else None


def closure(roots: Iterable[Path], directories: Iterable[Path], without: Iterable[str]) -> dict[str, Path]:
    """Return every library that `roots` need, also indirectly, by name; those in `without` are not followed.

    Raises FileNotFoundError naming library and user when one lies in none of `directories`.
    """
    places = list(directories)
    skipped = set(without)
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        user = waiting.pop()
        for name in needed(user):
            if name in found or name in skipped:
                continue
            path = next((place / name for place in places if (place / name).exists()), None)
            if path is None:
                raise FileNotFoundError(
                    f"{user} needs {name}, which is in none of {', '.join(map(str, places))}"
                )
            found[name] = path.resolve()
            waiting.append(found[name])
    return found


@dataclass(frozen=True)
class Symbol:
    """One dynamic symbol: `kind` is FUNC, OBJECT, NOTYPE…; `version` "" where unversioned."""

    name: str
    version: str
    kind: str
    size: int
    defined: bool


def symbols(path: Path) -> list[Symbol]:
    """Return the file's dynamic symbols."""
    out = []
    for line in _run("readelf", "--dyn-syms", "-W", str(path)).splitlines():
        fields = line.split()
        if len(fields) < 8 or not fields[0].rstrip(":").isdigit():
            continue
        name, _, version = fields[7].replace("@@", "@").partition("@")
        out.append(Symbol(name, version, fields[3], int(fields[2], 0), fields[6] != "UND"))
    return out


def settle(path: Path, library_path: str, loader: str, add: Iterable[str] = ()) -> None:
    """Give the file its library path (as DT_RPATH, which LD_LIBRARY_PATH can't override) and its loader."""
    changes: list[tuple[str, ...]] = [("--force-rpath", "--set-rpath", library_path)]
    if interpreter(path):
        changes.append(("--set-interpreter", loader))
    changes += [("--add-needed", name) for name in add]
    for (
        change
    ) in changes:  # one call each: patchelf 0.18 fails on all at once for programs at fixed addresses
        _run("patchelf", *change, str(path))


def strip(path: Path) -> None:
    """Drop what neither the loader nor the dynamic linker reads."""
    _run("strip", "--strip-unneeded", "--enable-deterministic-archives", str(path))
