"""Targets on this host: a process (`pid://`) or a directory tree (`rootfs://`), entered by a local agent."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

import platformdirs

import toolkit
from toolkit.agent.stream import Stream
from toolkit.auditor import Auditing, agent_command
from toolkit.bundle.build import Bundle
from toolkit.errors import CallError, ScanError
from toolkit.runtimes import cgroups
from toolkit.runtimes.base import Bundles, Connection, Runtime

_GRACE_SECONDS = 30  # beyond the agent's own deadline, for a machine under load
_LONGEST_COMPLAINT = 4000


class LocalRuntime(Runtime):
    """What is entered by an agent on this host."""

    needs_root: ClassVar[bool] = True

    def bundle(self, local: Bundles) -> Bundle:
        """Use this host's own bundle; nothing is built for a target that can't be entered then."""
        self._require_root()
        return local()

    def attach(self, bundle: Path, timeout: float) -> contextlib.AbstractContextManager[Connection]:
        """Start the agent on this host with the bundle's Python."""
        self._require_root()
        return local_agent(bundle, timeout)

    def _require_root(self) -> None:
        if self.needs_root and os.geteuid() != 0:
            raise ScanError("entering a target needs root", "run the same command with sudo")


class PidRuntime(LocalRuntime):
    """A process of this host, in whatever container."""

    scheme = "pid"

    def __init__(self, uri: str, name: str, auditing: Auditing) -> None:
        """Parse the pid."""
        super().__init__(uri, name, auditing)
        if not name.isascii() or not name.isdigit() or not 0 < int(name) < 1 << 22:
            raise CallError(f"{name!r} is not a process id", "write pid:// and a number, such as pid://1234")

    def job(self) -> dict[str, Any]:
        """Name the process."""
        return {"pid": int(self.name)}


class RootfsRuntime(LocalRuntime):
    """A directory tree that is not running."""

    scheme = "rootfs"

    def __init__(self, uri: str, name: str, auditing: Auditing) -> None:
        """Check the path."""
        super().__init__(uri, name, auditing)
        if not name.startswith("/"):
            raise CallError(f"{uri!r} has no absolute path", "write three slashes: rootfs:///path")
        if not Path(name).is_dir():
            raise CallError(f"{name} is not a directory", "name the top directory of a root file system")

    def job(self) -> dict[str, Any]:
        """Name the directory."""
        return {"rootfs": os.path.realpath(self.name)}


@contextlib.contextmanager
def local_agent(bundle: Path, timeout: float, prefix: Sequence[str] = ()) -> Iterator[Connection]:
    """Start the agent on this host, `prefix` before its command; it has ended afterwards."""
    ours, theirs = socket.socketpair()
    with cgroups.group() as group, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*prefix, *_agent_command(bundle)],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=errors.fileno(),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the client, which then closes the stream
        )
        theirs.close()
        group.add(process.pid)  # which waits for the job before it does anything
        connection = Connection(
            Stream(ours.fileno(), ours.fileno(), time.monotonic() + timeout + _GRACE_SECONDS)
        )
        try:
            yield connection
        finally:
            ours.close()
            _reap(process)
            connection.complaint = _tail(errors)


def _agent_command(bundle: Path) -> list[str]:
    package_parent = str(Path(toolkit.__file__).parent.parent)
    bytecode = str(platformdirs.user_cache_path("barescan") / "agent")
    return agent_command(str(bundle), loader(bundle), package_parent, bytecode)


def loader(bundle: Path) -> str:
    """Return the file name of the bundle's loader."""
    return next((path.name for path in sorted(bundle.glob("lib/ld-linux*"))), "ld-linux")


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for the agent, which ends when its stream does; kill it when it doesn't, and wait no longer.

    Raises ScanError when it can't be killed: a file system of the target that never answers holds it.
    """
    for _ in range(2):
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()  # its children die with it (PR_SET_PDEATHSIG)
        else:
            return
    if not isinstance(sys.exception(), KeyboardInterrupt):
        raise ScanError(
            f"the agent, process {process.pid}, can't be ended",
            "stop the target, then it ends",
        )


def _tail(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - _LONGEST_COMPLAINT))
    return errors.read().decode(errors="replace").strip()
