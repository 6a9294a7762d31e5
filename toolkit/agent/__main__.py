"""The supervisor: takes one job from the stream, enters the target, gives up its power, watches the engine.

Started by whatever runtime brought it beside the target, see `toolkit.auditor`; with `wait SECONDS` it is
what keeps an auditor's container in a pod, with `session` a scan that enters such a container by exec, with
`end` what ends such a container.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from toolkit.agent import confine, engine, job, kernel, layers, locate, search, wait
from toolkit.agent.enter import Entered, enter, join_user_namespace
from toolkit.agent.failure import AgentError
from toolkit.agent.source import source_sha256
from toolkit.agent.stream import VERSION, Kind, Stream, StreamError

HELLO_SECONDS = 120  # the client may yet have to read its profile
_FROM_ENGINE = {
    Kind.FACTS,
    Kind.PHASE,
    Kind.STDOUT,
    Kind.STDERR,
    Kind.FILE,
    Kind.DATA,
    Kind.RESULT,
    Kind.FAIL,
}
_OBEYING_SECONDS = 2.0
_WAKING_SECONDS = 0.02
_DYING_SECONDS = 1.0
_ENDING_SECONDS = 20  # for the last frames of a run that was ended by the deadline


def main() -> int:
    """Serve one job on standard input and output; return 0 when the client acknowledged the outcome."""
    confine.load_nothing_more()
    confine.hide_memory()  # inherited by every fork: nobody looks through one that still has power
    match sys.argv[2:]:  # after the directory of our package
        case ["wait", seconds]:
            return wait.main(seconds)
        case ["end"]:
            return wait.kill_all_else()
        case ["session"]:
            return _serve_one(Path(sys.argv[1]).parent)
        case _:
            return _serve_one(None)


def _serve_one(bundle: Path | None) -> int:
    """Serve one job; `bundle` is the bundle's directory in a container that waits for scans."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the client, which closes the stream
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    client = Stream(0, 1, time.monotonic() + HELLO_SECONDS)
    with contextlib.ExitStack() as ending:  # after the client was told: what is to end may not obey
        return _answer(client, ending, bundle)


def _answer(client: Stream, ending: contextlib.ExitStack, bundle: Path | None) -> int:
    try:
        waiting = _greet(client, bundle)
        outcome = _serve(client, ending, waiting)
        client.deadline = time.monotonic() + _ENDING_SECONDS
        client.send(Kind.RESULT, outcome)
        client.end()
    except AgentError as error:
        return _fail(client, error)
    except StreamError as error:
        os.write(2, f"barescan agent: {error}\n".encode())  # there is nobody else to tell
        return 1
    except Exception as error:
        cause = f"the target could not be entered: {confine.describe(error)}"
        return _fail(client, AgentError(cause, "see docs/entering.md"))
    return 0


def _greet(client: Stream, bundle: Path | None) -> wait.Waiting | None:
    said = client.expect(Kind.HELLO).json()
    about: dict[str, object] = {"version": VERSION, "agent": source_sha256()}
    waiting = None
    if bundle:
        about["bundle"] = json.loads((bundle / "bundle.json").read_bytes())  # or the client would not know
        waiting = wait.Waiting()
        if said.get("agent") == about["agent"]:  # one of our kind, after whom the container need not wait
            waiting.announce(HELLO_SECONDS, 0)
    client.send(Kind.HELLO, about)
    if said.get("version") != VERSION:
        raise AgentError(
            f"the client speaks version {said.get('version')} of the stream, this agent {VERSION}",
            "use client and auditor of one version",
        )
    return waiting


def _fail(client: Stream, error: AgentError) -> int:
    client.deadline = time.monotonic() + _ENDING_SECONDS
    with contextlib.suppress(StreamError):
        client.send(Kind.FAIL, error.as_json())
        client.end()
    return 0


def _serve(client: Stream, ending: contextlib.ExitStack, waiting: wait.Waiting | None) -> dict[str, object]:
    work = job.receive(client)
    deadline = client.deadline = time.monotonic() + work.timeout
    if waiting:
        waiting.announce(work.timeout, work.keep)
    _check_power()
    plan = layers.plan(work)
    client.send(Kind.FACTS, {"confinement": plan.states})
    client.send(Kind.PHASE, {"phase": "enter"})
    begun = time.perf_counter()
    target = _pin(work)
    about = locate.identity(target) if target else {"rootfs": work.rootfs}
    confine.yield_to_workload()
    null = os.open("/dev/null", os.O_RDWR)
    entered = enter(work, plan, target, deadline)
    held = [target.pidfd] if target else []
    held += [waiting.fileno()] if waiting else []
    kernel.close_all_but([0, 1, 2, null, *entered.held(), *held])
    confine.keep_only(engine.TO_START)
    if plan.on(layers.NO_NEW_PRIVILEGES):
        confine.gain_nothing_more()
    keeper, inner = _start(work, plan, entered, null, [waiting.pid] if waiting else [])
    ending.callback(keeper.end)
    join_user_namespace(entered)  # as the keeper does: who is to be able to kill it must be the same user
    confine.hide_memory(hidden=plan.on(layers.HIDDEN_MEMORY))  # that may have undone it
    confine.keep_only(0)
    about |= {
        "entered_ms": round((time.perf_counter() - begun) * 1000, 2),
        "left_out": [locate.printable(point) for point in entered.left_out],
    }
    if entered.incomplete:
        about["incomplete"] = entered.incomplete
    client.send(Kind.FACTS, {"target": about})
    finished = _relay(client, inner, keeper, target, deadline)
    if target and not target.alive():
        raise AgentError(
            "the target ended or was restarted during the scan",
            "scan again once it keeps running",
            transient=True,
        )
    return {"complete": finished}


def _pin(work: job.Job) -> locate.Target | None:
    if work.container:
        return locate.pin(search.find(search.Wanted.parse(work.container)))
    return None if work.pid is None else locate.pin(work.pid)


def _check_power() -> None:
    own = os.open("/proc/self", os.O_PATH | os.O_CLOEXEC)
    missing = confine.missing_capabilities(int(locate.status(own)["CapEff"], 16))
    os.close(own)
    if missing:
        raise AgentError(
            f"entering a target needs the capabilities {', '.join(missing)}, which this process has not",
            "run as root (sudo), or give the auditor container these capabilities",
        )


def _ended(pidfd: int, seconds: float) -> bool:
    """Wait for a process to end, and say whether it has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


@dataclass
class _Keeper:
    """The process in the target's PID namespace that holds the engine's."""

    pid: int
    pidfd: int
    control: int

    def end(self) -> None:
        """Order it to end, and kill it if it does not. Never wait for long.

        Root of the target may have stopped it, and the engine's init before that was tied to it: so it is
        woken up again and again, since it alone can end both.
        """
        os.close(self.control)
        until = time.monotonic() + _OBEYING_SECONDS
        while not _ended(self.pidfd, _WAKING_SECONDS) and time.monotonic() < until:
            self._send(signal.SIGCONT)
        self._send(signal.SIGKILL)
        self.reap()

    def _send(self, number: int) -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> None:
        """Take its status once it has ended: a target ends only when no zombie is left, pid_namespaces(7)."""
        _ended(self.pidfd, _DYING_SECONDS)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


def _start(
    work: job.Job, plan: layers.Layers, entered: Entered, null: int, beside: list[int]
) -> tuple[_Keeper, Stream]:
    """Fork the keeper into the target's PID namespace; return it and the engine's stream.

    `beside` are other processes of ours in that namespace, which are none of the target's.
    """
    control, control_inside = (end.detach() for end in socket.socketpair())
    ours, theirs = (end.detach() for end in socket.socketpair())
    pid = os.fork()
    if pid == 0:
        try:
            confine.die_with_parent()
            for number in (0, 1, 2):  # the client's stream and the host's files are not for the engine's side
                os.dup2(null, number)
            kernel.close_all_but([0, 1, 2, control_inside, theirs, *entered.held()])
            engine.keep(control_inside, work, plan, Stream(theirs, theirs, hashed=False), entered, beside)
        except Exception as error:
            cause = f"the target could not be entered: {confine.describe(error)}"
            engine.fail(Stream(theirs, theirs, hashed=False), AgentError(cause, "see docs/entering.md"))
        finally:
            os._exit(1)
    for fd in (control_inside, theirs, null, entered.files, entered.scratch):
        os.close(fd)
    return _Keeper(pid, kernel.pidfd_open(pid), control), Stream(ours, ours, hashed=False)


def _target_ended() -> AgentError:
    cause, remedy = "the target ended during the scan", "scan again once it keeps running"
    return AgentError(cause, remedy, transient=True)


def _broken_off(error: StreamError, keeper: _Keeper, target: locate.Target | None) -> AgentError:
    """Return why the engine's side broke off: a target that ends takes it along before it is seen to end."""
    keeper.reap()
    if target and _ended(target.pidfd, _DYING_SECONDS):
        return _target_ended()
    return AgentError(f"the engine's side of the scan broke off: {error}", "is there memory enough?")


def _relay(
    client: Stream, inner: Stream, keeper: _Keeper, target: locate.Target | None, deadline: float
) -> bool:
    """Pass the engine's frames on until its end frame, and say whether it got there.

    What is not a frame of its kinds ends the scan.
    """
    poll = select.poll()
    poll.register(inner.read_fd, select.POLLIN | select.POLLHUP)
    poll.register(client.read_fd, select.POLLIN | select.POLLHUP)
    if target:
        poll.register(target.pidfd, select.POLLIN)
    inner.deadline = deadline
    while True:
        ready = [fd for fd, _ in poll.poll(max(0, int((deadline - time.monotonic()) * 1000)))]
        if not ready:
            raise AgentError(
                "the scan did not finish in time", "allow more with --timeout, or scan fewer controls"
            )
        if target and target.pidfd in ready:
            raise _target_ended()
        if client.read_fd in ready:
            raise StreamError("the client has gone")
        try:
            frame = inner.receive()
        except StreamError as error:
            raise _broken_off(error, keeper, target) from None
        if frame.kind is Kind.END:
            return True
        if frame.kind not in _FROM_ENGINE:
            raise AgentError("the engine's side sent what it must not", "treat this target as hostile")
        client.send(frame.kind, frame.payload)
        if frame.kind is Kind.FAIL:
            return False


if __name__ == "__main__":
    sys.exit(main())
