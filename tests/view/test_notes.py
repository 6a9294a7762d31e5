"""What is noted of the audit's programs: who ended by a signal, who sent one, who ran into a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.agent.failure import AgentError
from toolkit.agent.notes import check

from .conftest import Bundle, program


@pytest.fixture
def noting(bundle: Bundle) -> Bundle:
    """A bundle with a shell and a place for notes."""
    (bundle.prefix / "tmp" / ".notes").mkdir()
    for name in ("bash", "sleep"):
        bundle.link_tool(name)
    (bundle.prefix / "bin" / "sh").symlink_to("bash")
    return bundle


def judge(bundle: Bundle) -> None:
    """Have the agent look at the notes."""
    scratch = os.open(bundle.prefix / "tmp", os.O_PATH | os.O_DIRECTORY)
    try:
        check(scratch, [], set())
    finally:
        os.close(scratch)


def notes(bundle: Bundle) -> list[tuple[str, int]]:
    """The notes of all kinds but those of starting, without the numbers of processes."""
    names = [path.name.split(".") for path in (bundle.prefix / "tmp" / ".notes").iterdir()]
    asked = ("killed", "sent", "all", "limit", "own-limit")
    return sorted((kind, int(number)) for kind, _, number in names if kind in asked)


KILLED_BY = "import os, signal; os.kill(os.getpid(), signal.{})"


@pytest.mark.parametrize(
    "waiting",
    [
        ["bash", "-c", "{child}; true"],
        ["bash", "-c", "true | {child} | true"],
        ["xargs", "-a", "/dev/null", "python3", "-c", "{code}"],
        ["find", "/dev/null", "-exec", "python3", "-c", "{code}", ";"],
        ["perl", "-e", "system('python3', '-c', q({code}))"],
        ["perl", "-e", "`{child}`"],
        ["mawk", 'BEGIN {{ system("{escaped}; true") }}'],
        ["timeout", "9", "python3", "-c", "{code}"],
        ["python3", "-c", "import os; os.system('''{child}; true''')"],
        ["python3", "-c", "import os; os.popen('''{child}; true''').close()"],
        ["python3", "-c", "import subprocess; subprocess.run(['python3', '-c', '''{code}'''])"],
        [
            "python3",
            "-c",
            "import os; os.spawnlp(os.P_NOWAIT, 'python3', 'python3', '-c', '''{code}''')\n"
            "os.waitid(os.P_ALL, 0, os.WEXITED)",
        ],
        ["ruby", "-e", "system('python3', '-c', %q({code}))"],
    ],
    ids=lambda command: " ".join(command)[:40],
)
def test_whoever_waits_notes_a_child_that_a_signal_ended(noting: Bundle, waiting: list[str]) -> None:
    code = KILLED_BY.format("SIGUSR1")
    child = f'{program("python3")} -c "{code}"'
    escaped = child.replace('"', '\\"')
    noting.run(*(word.format(code=code, child=child, escaped=escaped) for word in waiting))
    assert ("killed", 10) in notes(noting)
    assert ("sent", 10) not in notes(noting)


@pytest.mark.parametrize(
    ("command", "noted"),
    [
        ("sleep 9 & kill $!; wait", [("killed", 15), ("sent", 15)]),
        ("sleep 9 & kill -9 $!; wait", [("killed", 9), ("sent", 9)]),
        ("bash -c 'kill -9 $$'; true", [("killed", 9), ("sent", 9)]),
        ("bash -c 'kill $$'; true", [("killed", 15)]),
        ("kill -0 $$; true", []),
        ("yes | head -1", []),
        ("(yes; true) | head -1", []),
        ("false; ls /nowhere; no-such-command", []),
        ("ulimit -n 64; ulimit -c 0", [("own-limit", 7)]),
    ],
)
def test_what_a_profile_does_itself_is_told_apart(
    noting: Bundle, command: str, noted: list[tuple[str, int]]
) -> None:
    noting.run("bash", "-c", command)
    assert notes(noting) == noted


def test_what_runs_out_of_time_was_ended_by_the_audit(noting: Bundle) -> None:
    assert noting.run("timeout", "0.2", "sleep", "9").returncode == 124
    noted = notes(noting)
    assert ("killed", 15) in noted
    assert ("sent", 15) in noted


def test_descriptors_that_ran_out_are_noted(noting: Bundle) -> None:
    lower = "import resource; resource.prlimit({}, resource.RLIMIT_NOFILE, (0, 0)); "
    noting.run("bash", "-c", f'{program("python3")} -c "{lower.format("$$")}"; echo > /dev/null; true')
    assert ("limit", 24) in notes(noting)


@pytest.mark.parametrize(
    "command", ["yes | head -1; echo ${PIPESTATUS[0]}", "trap -p; trap '' PIPE; trap -p"]
)
def test_broken_pipes_are_as_ever(noting: Bundle, command: str) -> None:
    assert noting.text("bash", "-c", command) == noting.text("bash", "-c", command, preload=False)


def test_python_sees_the_default_of_a_broken_pipe(noting: Bundle) -> None:
    code = (
        "import os, signal\n"
        "print(signal.signal(signal.SIGPIPE, signal.SIG_DFL), signal.getsignal(signal.SIGPIPE))\n"
        "print(os.waitstatus_to_exitcode(os.system('kill -PIPE $$')))\n"
    )
    assert noting.text("python3", "-c", code) == noting.text("python3", "-c", code, preload=False)


def test_a_broken_pipe_that_another_process_sent_is_noted(noting: Bundle) -> None:
    send = "import os, time; time.sleep(.3); os.kill({}, 13)"
    noting.run("bash", "-c", f'sleep 9 & {program("python3")} -c "{send.format("$!")}"; wait')
    assert notes(noting) == [("killed", 13), ("sent", 13)]


@pytest.mark.parametrize(
    "command",
    [
        ["bash", "-c", "{program}; true"],
        ["python3", "-c", "import os; os.system('{program}; true')"],
        ["python3", "-c", "import os; os.waitpid(os.posix_spawn('{program}', ['x'], {{}}), 0)"],
    ],
)
def test_a_program_that_never_begins_is_noted(noting: Bundle, command: list[str]) -> None:
    held_up = noting.prefix / "bin" / "held-up"
    content = Path(program("true")).read_bytes()
    held_up.write_bytes(content.replace(b"libc.so.6", b"none.so.6"))  # its loader does not find that
    held_up.chmod(0o755)
    noting.run(*(word.format(program=held_up) for word in command))
    with pytest.raises(AgentError, match="was started and did not begin"):
        judge(noting)


def test_programs_that_begin_leave_nothing(noting: Bundle) -> None:
    noting.run("bash", "-c", "sleep 0; sh -c 'sleep 0 | sleep 0'; no-such-command; /nowhere; exec sleep 0")
    judge(noting)
