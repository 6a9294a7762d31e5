"""Whether the entries of an image's layers stay inside it, in the order in which they will be unpacked."""

from __future__ import annotations

from typing import Any

from toolkit.errors import ScanError
from toolkit.unpack.limits import MAX_LINK_COST, MAX_NAME_BYTES, MAX_PART_BYTES, Budget
from toolkit.unpack.tar import Entry

_HOSTILE = "no builder of images writes that: treat the image as hostile"
_WHITEOUT = ".wh."
_OVERLAY = "trusted.overlay."  # with them a file is there, and hidden from whoever mounts the tree
_OPAQUE = ".wh..wh..opq"
_MOST_LINKS_FOLLOWED = 40  # as the kernel, path_resolution(7)
_NODE_COST = 300  # bytes of an empty dict and its place in another
_HARD_LINK, _SYMLINK, _DIRECTORY = "1", "2", "5"
_Node = dict[str, Any]  # name → node of a directory, or the text of a symbolic link


class Entries:
    """Knows the symbolic links of the layers so far, and nothing else of them."""

    def __init__(self, budget: Budget) -> None:
        """Count against `budget`."""
        self._budget = budget
        self._links: _Node = {}
        self._cost = 0
        self.devices: list[str] = []
        """Device nodes outside of /dev, ten at most."""
        self.highest_id = 0

    def take(self, entry: Entry) -> None:
        """Check the next entry; raises ScanError when it would lead out of the image."""
        self._budget.enter()
        parts = _parts(entry.name, "an entry")
        if not parts:
            if entry.kind != _DIRECTORY:
                raise ScanError("an entry of the image replaces its root directory", _HOSTILE)
            return
        if any(name.startswith(_OVERLAY) for name in entry.xattrs):
            raise ScanError(f"{_short(entry.name)!r} tells overlayfs what to hide", _HOSTILE)
        self._note(entry, parts)
        directory = self._resolved(parts[:-1], entry.name)
        if parts[-1].startswith(_WHITEOUT):
            self._white_out(directory, parts[-1], entry.name)
            return
        link = self._hard_link(entry) if entry.kind == _HARD_LINK else None
        if entry.kind == _SYMLINK:
            link = entry.link
        self._put(directory, parts[-1], link, is_directory=entry.kind == _DIRECTORY)

    def _note(self, entry: Entry, parts: list[str]) -> None:
        self.highest_id = max(self.highest_id, entry.uid, entry.gid)
        if entry.kind in "34" and parts[0] != "dev" and len(self.devices) < 10:
            self.devices.append("/".join(parts))

    def _resolved(self, parts: list[str], name: str) -> list[str]:
        """Return the directory that the path leads to; a link is followed only where it stays inside."""
        todo, done = list(reversed(parts)), list[str]()
        followed = 0
        while todo:
            part = todo.pop()
            if part == "..":
                if not done:
                    raise _escape(name)
                done.pop()
                continue
            found = self._find([*done, part])
            if not isinstance(found, str):
                done.append(part)
                continue
            followed += 1
            if found.startswith("/") or followed > _MOST_LINKS_FOLLOWED:
                raise _escape(name)
            todo.extend(reversed([each for each in found.split("/") if each not in {"", "."}]))
        return done

    def _find(self, parts: list[str]) -> _Node | str | None:
        node: Any = self._links
        for part in parts:
            if not isinstance(node, dict):
                return None
            node = node.get(part)
        return node  # type: ignore[no-any-return]

    def _white_out(self, directory: list[str], whiteout: str, name: str) -> None:
        hidden = whiteout.removeprefix(_WHITEOUT)
        if hidden in {"", ".", ".."}:
            raise ScanError(f"the image hides a directory by its own name: {_short(name)!r}", _HOSTILE)
        if whiteout == _OPAQUE:
            *above, last = directory or [""]
            self._forget(above, last) if last else self._links.clear()
        else:
            self._forget(directory, hidden)

    def _hard_link(self, entry: Entry) -> str | None:
        """Return the text of the symbolic link that the new name stands for as well, if it is one."""
        parts = _parts(entry.link, f"the hard link {_short(entry.name)!r}")
        if not parts:
            raise ScanError(f"{_short(entry.name)!r} is a hard link to the root directory", _HOSTILE)
        found = self._find([*self._resolved(parts[:-1], entry.name), parts[-1]])
        return found if isinstance(found, str) else None

    def _put(self, directory: list[str], name: str, link: str | None, *, is_directory: bool) -> None:
        there = self._find([*directory, name])
        if there is not None and not (is_directory and isinstance(there, dict)):
            self._forget(directory, name)
        if link is None:
            return
        node = self._links
        self._cost += len(link) + len(name) + _NODE_COST
        for part in directory:
            if part not in node:
                self._cost += len(part) + _NODE_COST
            node = node.setdefault(part, {})
        node[name] = link
        if self._cost > MAX_LINK_COST:
            raise ScanError("the image has too many symbolic links", _HOSTILE)

    def _forget(self, directory: list[str], name: str) -> None:
        node = self._find(directory)
        if isinstance(node, dict):
            node.pop(name, None)


def _short(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:100]}…"


def _escape(name: str) -> ScanError:
    return ScanError(
        f"{_short(name)!r} is written through a symbolic link that leads out of the image",
        "treat the image as hostile; runtimes disagree on what it is, so scan it running if it is yours",
    )


def _parts(name: str, what: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    shown = _short(name)
    if name.startswith("/") and parts:
        raise ScanError(f"{what} has an absolute path: {shown!r}", _HOSTILE)
    if ".." in parts:
        raise ScanError(f"{what} leads upwards out of the image: {shown!r}", _HOSTILE)
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if sum(sizes) + len(sizes) > MAX_NAME_BYTES or any(size > MAX_PART_BYTES for size in sizes):
        raise ScanError(f"{what} has a name that is too long: {shown!r}", _HOSTILE)
    if not name:
        raise ScanError(f"{what} has no name", _HOSTILE)
    return parts
