"""Which process is a container's main one: told by its cgroup, by nothing that a container can make up."""

from __future__ import annotations

import pytest

from toolkit.agent import search
from toolkit.agent.failure import AgentError
from toolkit.agent.search import Wanted

_OWN, _WANTED, _OTHER = "a" * 64, "b" * 64, "d" * 64
_POD = "/kubepods/burstable/pod5f2b1f5e"
_V1 = "9:name=systemd:{0}\n8:memory:{0}\n0::/\n"
_V2 = "0::{0}\n"


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (_V1.format(f"{_POD}/{_OWN}"), _V1.format(f"{_POD}/{_WANTED}")),
        (_V1.format(f"{_POD}/{_OWN}"), _V1.format(f"{_POD}/{_WANTED}/made/by/itself")),
        (_V2.format("/"), _V2.format(f"/../cri-containerd-{_WANTED}.scope")),
        (
            _V2.format(f"{_POD}/crio-{_OWN}.scope/container"),
            _V2.format(f"{_POD}/crio-{_WANTED}.scope/container"),
        ),
        (_V2.format(f"/docker/{_OWN}"), _V2.format(f"/docker/{_WANTED}")),
    ],
)
def test_a_process_in_the_cgroup_beside_ours_is_of_the_container(own: str, theirs: str) -> None:
    assert search.beside(own, theirs, _WANTED)


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (_V1.format(f"{_POD}/{_OWN}"), _V1.format(f"{_POD}/{_OTHER}")),
        (_V1.format(f"{_POD}/{_OWN}"), _V1.format(f"{_POD}/{_OTHER}/{_WANTED}")),
        (_V1.format(f"{_POD}/{_OWN}"), _V1.format(f"{_POD}/{_OTHER}").replace("0::/", f"0::/{_WANTED}")),
        (_V1.format(f"{_POD}/{_OWN}"), _V1.format("/").replace("0::/", f"0::/{_WANTED}")),
        (_V2.format("/"), _V2.format(f"/../cri-containerd-{_OTHER}.scope/{_WANTED}")),
        (_V2.format("/"), _V2.format(f"/{_WANTED}")),
        (_V2.format(f"{_POD}/{_OWN}"), _V2.format(f"{_POD}/{_OWN}/{_WANTED}")),
        (_V2.format(f"{_POD}/{_OWN}"), _V2.format(f"{_POD}/{_OWN}")),
        (_V2.format(f"{_POD}/{_OWN}"), ""),
        (_V2.format(f"{_POD}/{_OWN}"), f"no cgroup {_WANTED}\n"),
    ],
)
def test_what_a_container_makes_up_below_its_own_cgroup_says_nothing(own: str, theirs: str) -> None:
    assert not search.beside(own, theirs, _WANTED)


def test_a_container_of_which_nothing_is_seen_is_no_other() -> None:
    with pytest.raises(AgentError, match="no process of the container web") as raised:
        search.find(Wanted(_WANTED, "web", shared=True))
    assert raised.value.remedy.startswith("did it end?")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"id": "a", "name": "c"},
        {"id": "", "name": "c", "shared": True},
        {"id": "a", "name": "c", "shared": True, "more": 1},
    ],
)
def test_what_does_not_name_a_container_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(AgentError):
        Wanted.parse(said)
