"""All ways of scanning, examined side by side."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.doctor import cluster, engines, host
from toolkit.doctor.records import Check, Found, State, Way, gather
from toolkit.runtimes.kubernetes import words

_LOCAL_SILENCE = 60.0  # seconds; a slow disk is no fault
_REMOTE_SILENCE = 10.0
_ON_THIS_MACHINE = ("Python", "kernel", "system calls", "bundle")
_ELSEWHERE = ("Python",)


@dataclass(frozen=True)
class Examination:
    """What was found."""

    machine: Found
    ways: tuple[Way, ...]

    @property
    def usable(self) -> bool:
        """Whether there is any way of scanning."""
        return any(way.usable for way in self.ways)


def examine(context: str, place: words.Place) -> Examination:
    """Look at everything; never raises, and ends when nothing more is heard.

    `place` has the auditor image, and of the cluster what is to be scanned, as far as that is known.
    """
    found = gather(
        {
            "machine": (host.machine, _LOCAL_SILENCE),
            "pid": (host.processes, _LOCAL_SILENCE),
            "image": (host.images, _LOCAL_SILENCE),
            "docker": (lambda: engines.docker_engine(place.image), _REMOTE_SILENCE),
            "podman": (lambda: engines.podman_engine(place.image), _REMOTE_SILENCE),
            "cluster": (lambda: cluster.cluster(context, place), _REMOTE_SILENCE),
        }
    )
    here, elsewhere = (
        tuple(each for each in found["machine"].checks if each.name in names)
        for names in (_ON_THIS_MACHINE, _ELSEWHERE)
    )
    images = Found((*found["image"].checks, _by_name(found["docker"])))
    return Examination(
        found["machine"],
        (
            Way("pid://, rootfs://", found["pid"], here),
            Way("image://", images, here),
            Way("docker://", found["docker"], elsewhere),
            Way("podman://", found["podman"], elsewhere),
            Way("k8s-container://", found["cluster"], elsewhere),
        ),
    )


def _by_name(docker: Found) -> Check:
    engine = docker.named(engines.ENGINE)
    if engine and engine.state is State.OK:
        return Check("images by name", State.OK, "from the Docker engine", needed=False)
    return Check(
        "images by name",
        State.NO,
        "no Docker engine answers that has them",
        "write image:///path of an archive (docker save, podman save) or OCI layout",
        needed=False,
    )
