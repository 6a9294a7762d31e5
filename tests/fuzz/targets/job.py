"""The agent's half of the stream: `job.receive`, from a client that may be any program."""

from __future__ import annotations

from tests.fuzz import frames
from tests.fuzz.frames import frame
from tests.fuzz.harness import Outcome, Target
from toolkit.agent import job
from toolkit.agent.stream import Kind

_JOB: dict[str, object] = {
    "pid": 1,
    "bundle": "/barescan",
    "argv": ["/sys/firmware/bin/oscap", "xccdf"],
    "env": {"A": "b"},
    "outputs": ["results.xml"],
    "unpack": {"content.xml": "content/x.xml.gz"},
    "timeout": 60.0,
    "remote_mounts": False,
    "trust_target": False,
}
_FILE = frame(Kind.FILE, {"name": "profile/controls/one.rb", "size": 5, "mode": 0o644}) + frame(
    Kind.DATA, b"puts\n"
)
_IN_A_POD = {key: value for key, value in _JOB.items() if key != "pid"} | {
    "container": {"id": "c" * 64, "name": "app", "shared": False},
    "keep": 60.0,
}
HONEST = frame(Kind.JOB, _JOB) + _FILE


def run(data: bytes) -> Outcome:
    """Take a job; what is taken must be of the types that the rest of the agent relies on."""
    with frames.peer(frames.sealed(data)) as stream:
        found = job.receive(stream)
    words = [found.bundle, *found.argv, *found.outputs, *found.env, *found.env.values(), *found.unpack]
    assert all(isinstance(word, str) for word in words)
    assert isinstance(found.argv, list)
    assert found.argv
    assert 0 <= found.timeout < float("inf")
    assert [found.pid, found.rootfs, found.container].count(None) == 2
    assert all("/" not in name and name not in {"", ".", ".."} for name in (*found.outputs, *found.unpack))
    for name, (mode, content) in found.files.items():
        assert not {"", ".", ".."} & set(name.split("/"))
        assert 0 <= mode <= 0o777
        assert isinstance(content, bytes)
    return Outcome.TAKEN


TARGET = Target(run, lambda: [HONEST, frame(Kind.JOB, _IN_A_POD) + _FILE], frames.mutate)
