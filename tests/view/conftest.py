"""The view library, compiled for a scratch tree and preloaded into real programs of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "toolkit" / "bundle" / "view"
FLAGS = ["-std=gnu11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]

# A directory on a mount of its own as the confined engine sees it: hardened, and without CAP_DAC_OVERRIDE.
HARDENED = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$TREE"
cd "$TREE"
umask 022
echo data > plain; chmod 600 plain
printf '#!/bin/sh\necho from the target\n' > program; chmod 755 program
echo data > sealed; chmod 000 sealed
mkdir directory; mkfifo pipe; chmod 644 pipe; ln -s program link; ln -s nowhere dangling
chown 1234 plain program
mount -o remount,bind,$HARDENING "$TREE"
exec 3< .
id=$(sed -n 's/^mnt_id:[[:space:]]*//p' /proc/self/fdinfo/3)
exec 3<&-
if [ -n "$CAPTURED" ]; then printf '1 ro\n%s %s\n' "$id" "$CAPTURED" > "$FLAGS_FILE"; fi
if [ -n "$LIBRARY" ]; then export LD_PRELOAD="$LIBRARY"; fi
exec $DROP "$@"
"""

DROP = "setpriv --bounding-set=-all,+dac_read_search --inh-caps=-all --no-new-privs"


def program(command: str | Path) -> str:
    """The file of a program of this machine; Python is the one that runs the tests."""
    found = sys.executable if command == "python3" else shutil.which(command)
    if found is None:
        pytest.skip(f"{command} is not installed")
    return found


@dataclass
class Bundle:
    """A scratch bundle at the place that the library was compiled for."""

    prefix: Path
    library: Path
    outside: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def view(self) -> Path:
        return self.prefix / "job" / "view"

    def tool(self, name: str, text: str) -> Path:
        """Put a script of this name and text into the bundle's bin."""
        path = self.prefix / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def link_tool(self, name: str) -> None:
        """Put a program of this machine into the bundle's bin."""
        (self.prefix / "bin" / name).symlink_to(program(name))

    def run(
        self,
        *command: str | Path,
        preload: bool = True,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this machine, with the library or without; skips when it is not installed."""
        environment = {**os.environ, "LC_ALL": "C", **self.environment, **(env or {})}
        if preload:
            environment["LD_PRELOAD"] = str(self.library)
        return subprocess.run(
            [program(command[0]), *map(str, command[1:])],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=cwd or self.outside,
            env=environment,
            check=False,
        )

    def text(self, *command: str | Path, preload: bool = True, cwd: Path | None = None) -> str:
        """The standard output of a command that must succeed."""
        done = self.run(*command, preload=preload, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def hardened(
        self,
        *command: str,
        captured: str,
        preload: bool = True,
        hardening: str = "ro,nosuid,nodev,noexec",
        drop: str = DROP,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a hardened directory whose options were CAPTURED before ("": not captured)."""
        environment = {
            "DROP": drop,
            "TREE": str(self.outside),
            "HARDENING": hardening,
            "CAPTURED": captured,
            "FLAGS_FILE": str(self.view / "flags"),
            "LIBRARY": str(self.library) if preload else "",
        }
        return self.run(
            "unshare",
            "--mount",
            "sh",
            "-c",
            HARDENED,
            "sh",
            program(command[0]),
            *command[1:],
            preload=False,
            env=environment,
        )


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Compile the library; gives its path and the prefix that it serves."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    directory = tmp_path_factory.mktemp("view")
    prefix, library = directory / "bundle", directory / "view.so"
    prefix.mkdir()
    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    define = f'-DBARESCAN_PREFIX="{prefix}"'
    subprocess.run([compiler, *FLAGS, define, "-o", str(library), *sources, "-ldl"], check=True, timeout=120)
    return library, prefix


@pytest.fixture
def bundle(compiled: tuple[Path, Path], tmp_path: Path) -> Iterator[Bundle]:
    """An empty bundle: bin, tmp and the directory of captured answers."""
    library, prefix = compiled
    for name in ("bin", "job/view", "tmp"):
        (prefix / name).mkdir(parents=True)
    yield Bundle(prefix, library, tmp_path)
    for entry in prefix.iterdir():
        shutil.rmtree(entry)


@pytest.fixture
def mounting(bundle: Bundle) -> Bundle:
    """A bundle on a machine where a mount namespace can be made and privileges be dropped."""
    trial = bundle.hardened("true", captured="", preload=False)
    if trial.returncode != 0:
        pytest.skip(f"no mounts can be made or privileges dropped here: {trial.stderr.strip()}")
    return bundle
