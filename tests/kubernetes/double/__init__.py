"""A conformance double of a Kubernetes API server and its node: the few calls that barescan uses.

It speaks HTTP, TLS and the exec websocket to any client, and runs pods and ephemeral containers as real
containers of the Docker engine. The tests beside it run against it and against a real cluster, which holds it
to that.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import shutil
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml

from tests.kubernetes.double import tls
from tests.kubernetes.double.engine import Engine
from tests.kubernetes.double.exec import Line
from tests.kubernetes.double.kubelet import Ways
from tests.kubernetes.double.server import About, Faults, Options, Server

__all__ = ["About", "Double", "Faults", "Line", "Options", "Ways"]

_T = TypeVar("_T")
_STOP_SECONDS = 30


class Double:
    """A server in a thread of its own; a context manager. `options` can be changed while it runs."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.folder = Path(tempfile.mkdtemp(prefix="barescan-double-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="double", daemon=True)
        self._engine = Engine()
        self._server = Server(self.folder, self._engine, self.options)

    def __enter__(self) -> Self:
        atexit.register(self.stop)
        self._thread.start()
        authority, certificate, key = tls.make(self.folder)
        self._run(self._server.start(certificate, key))
        self.kubeconfig = self.folder / "kubeconfig"
        self._write_kubeconfig(authority)
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.port}"

    def restart(self) -> None:
        """Be away for a second, and break every connection."""
        self._run(self._server.restart())

    def break_connections(self) -> None:
        """Break every connection, and be there for new ones."""
        self._loop.call_soon_threadsafe(self._server.break_connections)

    def stop(self) -> None:
        """Stop serving and remove every container and file; nothing to do the second time."""
        atexit.unregister(self.stop)
        if self._loop.is_closed():
            return
        try:
            self._run(self._server.stop())
            self._run(_end_all_others())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)
            self._loop.close()
        finally:
            self._engine.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_SECONDS)

    def _write_kubeconfig(self, authority: Path) -> None:
        data = base64.b64encode(authority.read_bytes()).decode()
        said = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "double", "cluster": {"server": self.url, "certificate-authority-data": data}}
            ],
            "users": [{"name": "admin", "user": {"token": self._server.tokens.admin}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "admin"}}],
            "current-context": "double",
        }
        self.kubeconfig.write_text(yaml.safe_dump(said))
        self.kubeconfig.chmod(0o600)


async def _end_all_others() -> None:
    """End what still waits in this loop, such as a request that is never answered."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)
