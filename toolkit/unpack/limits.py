"""What an image may cost before it is refused. An image is hostile until its last layer has been read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from toolkit.errors import CallError, ScanError

BYTES_VARIABLE = "BARESCAN_IMAGE_BYTES"
_DEFAULT_BYTES = 20 << 30  # images with a whole CUDA and machine learning stack were seen at 15 GB
MAX_ENTRIES = 2_000_000  # ext4 has 1.3 million inodes on 20 GiB, and no known image comes near
MAX_LAYERS = 500  # overlayfs takes 500 lower layers, Docker 125
MAX_JSON_BYTES = (
    16 << 20
)  # registries refuse manifests above 4 MiB; configurations have no limit of their own
MAX_NAME_BYTES = 4095  # PATH_MAX without its NUL
MAX_PART_BYTES = 255  # NAME_MAX
MAX_LINK_COST = 256 << 20  # memory for knowing all symbolic links, about half a million of them
_TELL_SECONDS = 3.0
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
Tell = Callable[[str], None]


def max_bytes() -> int:
    """Return how much an image may unpack to; raises CallError when the variable's value is no size."""
    said = os.environ.get(BYTES_VARIABLE, "")
    if not said:
        return _DEFAULT_BYTES
    number, unit = (said[:-1], _UNITS[said[-1]]) if said[-1] in _UNITS else (said, 1)
    if not number.isascii() or not number.isdigit() or int(number) == 0:
        raise CallError(f"{BYTES_VARIABLE}={said!r} is not a size", f"write {BYTES_VARIABLE}=40G, or bytes")
    return int(number) * unit


@dataclass
class Budget:
    """What is left for one image: bytes, entries, time."""

    deadline: float
    """By the monotonic clock."""
    tell: Tell
    limit: int = field(default_factory=max_bytes)
    entries: int = 0
    unpacked: int = 0
    kept: int = 0
    _text: str = ""
    _told: float = 0.0

    def unpack(self, count: int) -> None:
        """Count bytes of layers; raises ScanError above the limit or after the deadline."""
        self.unpacked += count
        self._check(self.unpacked)

    def keep(self, count: int) -> None:
        """Count bytes that are kept for a while beside the layers."""
        self.kept += count
        self._check(self.kept)

    def step(self, text: str) -> None:
        """Tell what begins; as long as it lasts, tell from time to time how far it is."""
        self._text = text
        self._told = time.monotonic()
        self.tell(text)

    def _check(self, count: int) -> None:
        if count > self.limit:
            raise ScanError(
                f"the image unpacks to more than {self.limit >> 20} MiB",
                f"if it is meant to be that large, set {BYTES_VARIABLE} (such as 40G)",
            )
        self.check_time()
        if time.monotonic() - self._told > _TELL_SECONDS:
            self.step(self._text.partition(": ")[0] + f": {count >> 20} MiB")

    def check_time(self) -> None:
        """Raise ScanError after the deadline."""
        if time.monotonic() > self.deadline:
            raise ScanError("the image was not unpacked in time", "allow more with --timeout")

    def enter(self) -> None:
        """Count one entry of a layer."""
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise ScanError(
                f"the image has more than {MAX_ENTRIES} entries", "treat it as hostile, or scan it running"
            )
