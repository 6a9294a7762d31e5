"""What the demo containers are made of and how they are run; `containers` does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.demo import cache, distroless, trees, ubi, wolfi

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CERTIFICATES = "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
_LEAST: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "none",
    "pids_limit": 32,
    "mem_limit": "256m",
}


@dataclass(frozen=True)
class Recipe:
    """How a target is made and run: base to build on offline with its configuration, program, rights."""

    base: Callable[[cache.Progress], Path] | None = None
    configuration: tuple[str, ...] = ()
    program: str = "static"  # how it is linked; empty for none
    rights: dict[str, Any] = field(default_factory=lambda: _LEAST)
    volume: str = ""  # where one is mounted


def _google(name: distroless.Image, suite: str = "bookworm") -> Callable[[cache.Progress], Path]:
    return lambda progress: distroless.image(name, progress, suite)


_DISTROLESS = (f"ENV {_PATH}", f"ENV {_CERTIFICATES}")
RECIPES = {
    "static": Recipe(_google("static"), (*_DISTROLESS, "USER 0", "WORKDIR /")),
    "base": Recipe(_google("base"), (*_DISTROLESS, "USER 0", "WORKDIR /"), "dynamic"),
    "python": Recipe(
        _google("python", "trixie"),
        (*_DISTROLESS, "ENV LANG=C.UTF-8", "USER 0", "WORKDIR /", 'ENTRYPOINT ["/usr/bin/python3.13"]'),
        program="",
        volume="/data",
    ),
    "nonroot-readonly": Recipe(
        _google("static"),
        (*_DISTROLESS, f"USER {distroless.NONROOT}", "WORKDIR /home/nonroot"),
        rights=_LEAST | {"tmpfs": {"/tmp": "mode=1777,size=1m,noexec,nosuid,nodev"}},  # noqa: S108
    ),
    "shell": Recipe(
        lambda progress: trees.tree("bookworm", progress=progress),
        (f"ENV {_PATH}", 'CMD ["bash"]'),
        rights={"network_mode": "none"},
    ),
    "ubi-micro": Recipe(ubi.micro, (f"ENV {_PATH}", "ENV container=oci", 'CMD ["/bin/bash"]'), "dynamic"),
    "wolfi": Recipe(
        wolfi.glibc_dynamic,
        (f"ENV {_PATH}", f"ENV {_CERTIFICATES}", f"USER {distroless.NONROOT}", "WORKDIR /"),
        "dynamic",
    ),
    "scratch": Recipe(),
}
NAMES: tuple[str, ...] = tuple(RECIPES)
