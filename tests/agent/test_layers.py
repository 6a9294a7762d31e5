"""Each layer of the confinement on its own, all others left out; what it holds back works without it."""

from __future__ import annotations

import errno
import os
import re

import pytest

from tests.hostile.conftest import BIN, DOCKER, NOBODY
from toolkit import confinement
from toolkit.agent import cgroup, landlock, layers
from toolkit.agent.job import Job

pytestmark = [pytest.mark.root, pytest.mark.bundle]

PYTHON = f"{BIN}/python3 -I -S -c"
CALL = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def said(name, *arguments):
    ctypes.set_errno(0)
    print(name, ctypes.get_errno() if getattr(libc, name)(*arguments) < 0 else 0)
def tried(name, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        print(name, error.errno)
    else:
        print(name, 0)
"""


def _python(code: str) -> str:
    return f"{PYTHON} '{CALL}{code}'"


def _needs_landlock(version: int = 1) -> None:
    found, why = landlock.version()
    if found < version:
        pytest.skip(why or f"needs Landlock's interface {version}, this kernel has {found}")


@pytest.fixture
def both(container, scan):
    """Run a script with one layer only, and with none; return both outputs."""

    def run(layer: str, script: str, *besides: str, user: int = 0, caps: int = DOCKER) -> list[list[str]]:
        target = container(user=user, caps=caps)
        kept = {layer, *besides}
        answers = []
        for off in ([name for name in layers.NAMES if name not in kept], list(layers.NAMES)):
            attempt = scan(target.uri, script, without=off)
            assert attempt.outcome.complete, attempt.error
            states = attempt.outcome.facts["confinement"]
            assert [name for name, state in states.items() if state == layers.ON] == sorted(
                set(layers.NAMES) - set(off), key=layers.NAMES.index
            )
            answers.append(attempt.lines)
        return answers

    return run


WRITE = (
    "(: > /tmp/x) 2>/dev/null && echo wrote; (: > $HOME/x) && (: > /dev/null) && echo scratch; "
    f"{BIN}/rm -f /tmp/x 2>/dev/null; :"
)


def test_read_only(both):
    assert both("read-only", WRITE) == [["scratch"], ["wrote", "scratch"]]


def test_landlock_on_writes(both):
    _needs_landlock()
    assert both("landlock", WRITE) == [["scratch"], ["wrote", "scratch"]]


@pytest.mark.parametrize("layer", ["noexec", "landlock"])
def test_programs_of_the_target(container, scan, layer):
    _needs_landlock()
    target = container(
        "int main(int count, char **arguments) { for (;;) { if (count == 2) return 7; pause(); } }"
    )
    script = "/attack now; echo $?"
    for kept, ended in (({layer}, "126"), (set(), "7")):
        off = [name for name in layers.NAMES if name not in kept]
        assert scan(target.uri, script, without=off).lines == [ended]


def test_nodev(container, scan):
    """A device node that the target made, of the kernel's random source, is read by number 1:9."""

    def node(root):
        os.mknod(root / "tmp" / "node", 0o666 | 0o020000, os.makedev(1, 9))

    target = container(prepare=node)
    script = f"{BIN}/head -c 3 /tmp/node 2>/dev/null | {BIN}/wc -c"
    for kept, read in (({"nodev"}, "0"), (set(), "3")):
        off = [name for name in layers.NAMES if name not in kept]
        assert scan(target.uri, script, without=off).lines == [read]


@pytest.mark.parametrize("layer", ["nosuid", "no-new-privileges"])
def test_programs_with_file_capabilities_or_set_id(compiled, container, scan, layer):
    """A set-id program of the target, were it started, gains nothing."""
    source = "#include <stdio.h>\n#include <unistd.h>\nint main(int c, char **a) {" + (
        'if (c == 2) { printf("%d\\n", geteuid()); return 0; } for (;;) pause(); }'
    )

    def set_id(root):
        os.chown(root / "attack", NOBODY, NOBODY)
        (root / "attack").chmod(0o6755)

    target = container(source, prepare=set_id)
    for kept, user in (({layer}, "0"), (set(), str(NOBODY))):
        off = [name for name in layers.NAMES if name not in kept]
        assert scan(target.uri, "/attack now", without=off).lines == [user]


MOUNT = _python('said("mount", b"x", b"/tmp", b"tmpfs", 0, None)')


def test_capabilities(both):
    alone, without = both("capabilities", MOUNT + f"; {BIN}/grep ^Cap /proc/self/status")
    assert alone[0] == f"mount {errno.EPERM}"
    assert without[0] == "mount 0"
    sets = dict(line.split(":\t") for line in alone[1:])
    assert {int(sets[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {4}  # DAC_READ_SEARCH
    assert {int(sets[name], 16) for name in ("CapInh", "CapAmb")} == {0}


def test_system_calls(both):
    assert both("system-calls", MOUNT, "network") == [[f"mount {errno.EPERM}"], ["mount 0"]]


def test_scopes(container, scan):
    """A signal, and a look through the root, of a process that the engine has not started."""
    _needs_landlock(landlock.SCOPES)
    target = container()
    init = _python('tried("kill", os.kill, 1, 0)')
    for kept, answer in (({"landlock", "scopes"}, errno.EPERM), ({"landlock"}, 0)):
        off = [name for name in layers.NAMES if name not in kept]
        assert scan(target.uri, init, without=off).lines == [f"kill {answer}"]


def test_landlock_on_other_processes(container, scan):
    _needs_landlock()
    target = container(caps=0)
    look = f"{BIN}/ls /proc/$BARESCAN_TARGET_PID/root/tmp >/dev/null 2>&1; echo $?"
    assert scan(target.uri, look, without=["landlock"]).lines == ["0"]
    assert scan(target.uri, look).lines == ["2"]


SOCKETS = _python(
    """
for family, kind in (("AF_UNIX", "SOCK_STREAM"), ("AF_INET", "SOCK_STREAM"), ("AF_INET", "SOCK_DGRAM"),
                     ("AF_INET6", "SOCK_STREAM"), ("AF_NETLINK", "SOCK_RAW")):
    tried(family, socket.socket, getattr(socket, family), getattr(socket, kind))
"""
)


def test_network(both):
    alone, without = both("network", SOCKETS, "system-calls")
    assert [line.split()[1] for line in alone] == [str(errno.EAFNOSUPPORT)] * 4 + ["0"]
    assert {line.split()[1] for line in without} == {"0"}


def test_landlock_on_tcp(both):
    """Behind the filter: a socket that is there all the same connects nowhere."""
    _needs_landlock(4)
    connect = _python('tried("connect", socket.socket().connect, ("127.0.0.1", 9))')
    alone, without = both("landlock", connect)
    assert alone == [f"connect {errno.EACCES}"]
    assert without == [f"connect {errno.ECONNREFUSED}"]


def test_network_that_is_allowed_is_that_of_the_internet_only(container, scan):
    attempt = scan(container().uri, SOCKETS, allow_network=True)
    assert [line.split()[1] for line in attempt.lines] == [str(errno.EAFNOSUPPORT), "0", "0", "0", "0"]
    assert attempt.outcome.facts["confinement"]["network"] == "lifted by --allow-network"
    assert confinement.lacking(attempt.outcome.facts) == ["network: lifted by --allow-network"]


LIMITS = "ulimit -v; ulimit -f; ulimit -n; ulimit -c; ulimit -l; ulimit -t"


def test_limits(both):
    alone, without = both("limits", LIMITS)
    assert alone == [str(4 << 20), str(1 << 20), "1024", "0", "0", "20"]
    assert alone != without


def test_cgroup(container, scan):
    """More processes than the group may hold; the first refusal is what bash says of it."""
    script = f"for i in {{1..300}}; do {BIN}/sleep 2 & done; wait"
    attempt = scan(container().uri, script)
    if attempt.outcome.facts["confinement"]["cgroup"] != layers.ON:
        pytest.skip(attempt.outcome.facts["confinement"]["cgroup"])
    assert re.search(r"fork: (retry: )?Resource temporarily unavailable", attempt.outcome.stderr)
    assert attempt.outcome.complete


def test_hidden_memory(container, scan, watch):
    """Root of the target with the engine's own capability opens what a dumpable keeper is."""
    for off, looked in ((["hidden-memory"], True), ([], False)):
        target = container(LOOK, caps=DOCKER)
        target.wait_for("ready")
        scan(target.uri, f"{BIN}/sleep 0.5", without=off)
        assert ("looked through" in target.log()) is looked


LOOK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    FILE *log = fopen("/tmp/log", "w");
    setvbuf(log, 0, _IONBF, 0);
    fputs("ready\n", log);
    for (int pid = 2;; pid = pid < 40 ? pid + 1 : 2) {
        char path[40];
        sprintf(path, "/proc/%d/exe", pid);
        if (open(path, O_PATH) >= 0) {
            fprintf(log, "looked through %s\n", path);
            pause();
        }
    }
}
"""


def test_a_layer_that_is_none_is_refused(container, scan):
    assert "there is no layer 'moat'" in str(scan(container().uri, "exit 0", without=["moat"]).error)


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ({"id": "x"}, "does not apply: the pod's own bounds hold"),
        (None, "no control group of the scan's own"),
    ],
)
def test_a_missing_control_group_is_a_lack_but_in_a_pod(monkeypatch, tmp_path, container, said):
    monkeypatch.setattr(cgroup, "loose", lambda: "no control group of the scan's own bounds memory here")
    target = {"container": container} if container else {"pid": 1}
    plan = layers.plan(Job(str(tmp_path), ["x"], {}, [], 1.0, **target))
    assert plan.states[layers.CGROUP].startswith(said)
    assert any(each.startswith("cgroup") for each in layers.lacking(plan.states)) is (container is None)


def test_the_full_confinement_is_refused_where_a_layer_is_missing(container, scan):
    attempt = scan(container().uri, "echo ran", without=["landlock"], require_confinement="full")
    assert "the full confinement is required, and not to be had here: landlock: left out" in str(
        attempt.error
    )
    assert attempt.lines == []


def test_the_full_confinement_is_had_here(container, scan):
    _needs_landlock(landlock.SCOPES)
    attempt = scan(container().uri, "echo ran", require_confinement="full")
    assert attempt.lines == ["ran"]
    assert confinement.lacking(attempt.outcome.facts) == []


def test_without_landlock_the_agent_says_so_and_scans(container, scan):
    attempt = scan(container().uri, "echo ran", without=["landlock"])
    assert attempt.lines == ["ran"]
    assert confinement.lacking(attempt.outcome.facts) == [
        "landlock: left out, as was asked",
        "scopes: left out, as was asked",
    ]
