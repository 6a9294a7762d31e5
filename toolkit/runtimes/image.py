"""Images that are not running: unpacked into a private directory and entered as a tree, never started."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import toolkit
from toolkit.auditor import Auditing, python_command
from toolkit.errors import CallError, ScanError
from toolkit.reports.text import visible
from toolkit.runtimes.base import Connection
from toolkit.runtimes.local import LocalRuntime, loader, local_agent
from toolkit.unpack import blobs, engine, images, rootless, stage, tree
from toolkit.unpack.entries import Entries
from toolkit.unpack.limits import Budget

_LAYOUT, _SPOOL, _TREE = "layout", "spool", "tree"


class ImageRuntime(LocalRuntime):
    """An image in the local Docker engine (`image://REFERENCE`), in an archive or an OCI layout (a path)."""

    scheme = "image"
    needs_root = False

    def __init__(self, uri: str, name: str, auditing: Auditing) -> None:
        """Check what can be checked without reading the image."""
        super().__init__(uri, name, auditing)
        self._facts: dict[str, Any] = {}
        self._place = tree.new_place()
        self._path: Path | None = None
        self._selector = ""
        if not name.startswith("/"):
            engine.check(name)
            return
        whole = Path(name)
        path, _, selector = name.partition("#")
        self._path, self._selector = (whole, "") if whole.exists() else (Path(path), selector)
        if not self._path.exists():
            raise CallError(f"there is no {self._path}", "name an archive of `docker save`, or an OCI layout")

    def job(self) -> dict[str, Any]:
        """Name the directory in which the image will be."""
        return {"rootfs": str(self._place / _TREE)}

    def facts(self) -> dict[str, Any]:
        """Return the image's digests, names, architecture, time and layers, as far as they were read."""
        return {"image": self._facts} if self._facts else {}

    @contextlib.contextmanager
    def attach(self, bundle: Path, timeout: float) -> Iterator[Connection]:
        """Unpack the image, start the agent on this host, and leave nothing of the image behind."""
        prefix = [] if os.geteuid() == 0 else _rootless(bundle)
        with self.unpacked(prefix, timeout), local_agent(bundle, timeout, prefix) as connection:
            yield connection

    @contextlib.contextmanager
    def unpacked(self, prefix: Sequence[str], timeout: float) -> Iterator[Path]:
        """Unpack the image into the directory that is named in the job; it is gone afterwards.

        `prefix` is put before what needs the power over all owners. Raises CallError when the image is not
        there, ScanError when it is broken, hostile, too large, or is not unpacked within `timeout` seconds.
        """
        budget = Budget(time.monotonic() + timeout, self.tell)
        with tree.private(self._place, prefix):
            entries = self._stage(budget)
            if prefix:
                _check_rootless(entries, rootless.id_count(prefix))
            budget.step(f"unpacking {budget.unpacked >> 20} MiB")
            tree.unpack(self._place, _LAYOUT, _TREE, budget, prefix)
            self._discard(_LAYOUT)
            yield self._place / _TREE

    def _stage(self, budget: Budget) -> Entries:
        """Read and prove the image; only what was proved is there afterwards."""
        spool = self._place / _SPOOL
        spool.mkdir()
        with contextlib.ExitStack() as stack:
            if self._path:
                source = blobs.opened(self._path, spool, budget, stack)
                known: dict[str, Any] = {}
            else:
                source, known = engine.opened(self.name, spool, budget, stack)
            image = images.read(source, self._selector)
            self._facts = {"reference": self.name, **image.facts, **known}
            entries = stage.stage(image, source, self._place / _LAYOUT, budget)
        self._facts |= {"bytes": budget.unpacked, "entries": budget.entries}
        if entries.devices:
            self._facts["devices_outside_dev"] = entries.devices
        self._discard(_SPOOL)
        return entries

    def _discard(self, name: str) -> None:
        tree.remove(self._place / name)


def _rootless(bundle: Path) -> list[str]:
    try:
        parent = str(Path(toolkit.__file__).parent.parent)
        return rootless.command(python_command(str(bundle), loader(bundle)), parent)
    except rootless.RootlessError as error:
        cause, remedy = error.args
        raise ScanError(f"unpacking an image without root is not possible: {cause}", remedy) from None


def _check_rootless(entries: Entries, ids: int) -> None:
    """Refuse what a user namespace could not hold as it is, for a scan must not tell of something else."""
    if entries.highest_id >= ids:
        raise ScanError(
            f"the image has files of the owner {entries.highest_id}, above your {ids} subordinate ids",
            "use sudo, or have more of them in /etc/subuid and /etc/subgid",
        )
    if entries.devices:
        raise ScanError(
            f"the image has a device node ({visible(entries.devices[0], 200)}), which only root can make",
            "use sudo",
        )
