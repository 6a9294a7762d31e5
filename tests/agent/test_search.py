"""Which process is a container's main one: told by what the kernel says of real processes."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.agent import search
from toolkit.agent.failure import AgentError
from toolkit.agent.search import Wanted

pytestmark = pytest.mark.root
_UID = "5f2b1f5e-6a51-4f0c-9a52-8c6b2b1f4a11"


@contextlib.contextmanager
def _sleeping(*prefix: str) -> Iterator[int]:
    process = subprocess.Popen([*prefix, "sleep", "60"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def message(tmp_path: Path) -> Path:
    """Return a file where the kubelet would keep a container's last words; `_in_container` mounts it."""
    file = tmp_path / "pods" / _UID / "containers" / "app" / "f3a1"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


@contextlib.contextmanager
def _in_container(message: Path) -> Iterator[int]:
    script = f"touch /dev/termination-log && mount --bind {message} /dev/termination-log && exec sleep 60"
    script = f"mount -t tmpfs none /dev && {script}"
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script], start_new_session=True
    ) as process:
        try:
            while b"sleep" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
                assert process.poll() is None
            yield process.pid
        finally:
            process.kill()


def _wanted(name: str = "app", identity: str = "", *, shared: bool = True) -> Wanted:
    return Wanted(identity or secrets.token_hex(32), _UID, name, shared)


def test_a_container_is_found_by_where_its_last_words_are_kept(message: Path) -> None:
    with _in_container(message) as pid:
        assert search.find(_wanted()) == pid


def test_of_its_processes_the_first_is_the_main_one(message: Path) -> None:
    with _in_container(message) as pid, _sleeping("nsenter", "--mount", "--target", str(pid)):
        assert search.find(_wanted()) == pid


def test_another_container_of_the_pod_is_not_it(message: Path) -> None:
    with _in_container(message), pytest.raises(AgentError, match="no process of the container web"):
        search.find(_wanted("web"))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"id": "a", "pod": "b", "name": "c"},
        {"id": "", "pod": "b", "name": "c", "shared": True},
        {"id": "a", "pod": "b", "name": "c", "shared": True, "more": 1},
    ],
)
def test_what_does_not_name_a_container_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(AgentError):
        Wanted.parse(said)


def test_it_does_not_look_at_what_has_gone(message: Path) -> None:
    with _in_container(message) as pid:
        pass
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(AgentError) as raised:
        search.find(_wanted())
    assert raised.value.remedy.startswith("did it end?")
