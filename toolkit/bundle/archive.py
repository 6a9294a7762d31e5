"""A bundle as one file, and how big it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from toolkit.bundle.build import Bundle
from toolkit.bundle.tree import EPOCH, size
from toolkit.errors import ScanError


def bundle_size(path: Path, *, content: bool = True) -> int:
    """Return the bytes in the bundle's files; without `content` its SCAP data streams are not counted."""
    return size(path) - (0 if content else size(path / "share" / "scap"))


def compressed_size(path: Path, *, content: bool = True) -> int:
    """Return the bytes of the bundle as a tar archive through `zstd -19`; ScanError without zstd."""
    with tempfile.TemporaryFile() as file:
        _pack(path, file, content=content)
        return os.fstat(file.fileno()).st_size


def export(bundle: Bundle, file: Path) -> None:
    """Write the bundle as a .tar.zst, whole or not at all; the same bundle gives the same bytes.

    Unpacked anywhere it can be named in BARESCAN_BUNDLE. ScanError without zstd or when writing fails.
    """
    partial = file.with_name(f".{file.name}.part")
    try:
        with partial.open("wb") as output:
            _pack(bundle.path, output, content=True)
        partial.replace(file)
    except OSError as error:
        raise ScanError(f"{file} could not be written: {error.strerror}", "name another place") from error
    finally:
        partial.unlink(missing_ok=True)


def _pack(path: Path, output: IO[bytes], *, content: bool) -> None:
    if not shutil.which("zstd"):
        raise ScanError("packing the bundle needs zstd", "apt-get install zstd")

    def uniform(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not content and member.name.startswith("bundle/share/scap/"):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = EPOCH
        return member

    with subprocess.Popen(["zstd", "-19", "-T0", "-q", "-c"], stdin=subprocess.PIPE, stdout=output) as packer:
        if packer.stdin is None:
            raise ScanError("zstd could not be started")
        with tarfile.open(fileobj=packer.stdin, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            archive.add(path, "bundle", filter=uniform)
        packer.stdin.close()
    if packer.returncode:
        raise ScanError(f"zstd ended with status {packer.returncode}", "is the disk full?")
