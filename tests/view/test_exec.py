"""Programs are started from the bundle, in command position, whichever way they are asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import Bundle

TOOL = '#!/bin/sh\necho "bundle:$0:$*"\n'


@pytest.fixture
def shelled(bundle: Bundle) -> Bundle:
    """A bundle with a shell, a tool of its own, and PATH pointing at a target without it."""
    bundle.link_tool("bash")
    (bundle.prefix / "bin" / "sh").symlink_to("bash")
    bundle.tool("probe", TOOL)
    bundle.environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    return bundle


def expected(bundle: Bundle, *arguments: str) -> str:
    return f"bundle:{bundle.prefix}/bin/probe:{' '.join(arguments)}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["env", "probe", "a", "b"],
        ["env", "/usr/sbin/probe", "a", "b"],
        ["env", "-i", "/usr/sbin/probe", "a", "b"],
        ["env", "bash", "-c", "probe a b"],
        ["env", "sh", "-c", "set -eu; probe a b | cat"],
        ["bash", "-c", "echo $(/usr/bin/probe a b)"],
        ["bash", "-c", "echo a b | xargs probe"],
        ["sh", "-c", "/sbin/probe a b; true"],
        ["find", "/dev/null", "-exec", "probe", "a", "b", ";"],
        ["timeout", "5", "probe", "a", "b"],
        ["perl", "-e", "system('probe', 'a', 'b')"],
        ["perl", "-e", "print `probe a b`"],
        ["python3", "-c", "import subprocess; subprocess.run(['probe', 'a', 'b'])"],
        ["python3", "-c", "import subprocess; subprocess.run('probe a b', shell=True)"],
        ["python3", "-c", "import os; os.system('probe a b')"],
        ["python3", "-c", "import os; os.execvp('probe', ['probe', 'a', 'b'])"],
        ["python3", "-c", "import os; os.waitpid(os.posix_spawnp('probe', ['probe', 'a', 'b'], {}), 0)"],
        ["python3", "-c", "import os; os.waitpid(os.posix_spawn('/bin/probe', ['probe', 'a', 'b'], {}), 0)"],
        ["gawk", 'BEGIN { system("probe a b") }'],
        ["gawk", 'BEGIN { "probe a b" | getline line; print line }'],
        ["gawk", 'BEGIN { print "a b" | "xargs probe" }'],
        ["ruby", "-e", "exec '/usr/bin/probe', 'a', 'b'"],
        ["ruby", "-e", "puts `/usr/bin/probe a b; true`"],
    ],
    ids=" ".join,
)
def test_a_tool_that_the_target_lacks(shelled: Bundle, command: list[str]) -> None:
    assert shelled.run(*command).stdout == expected(shelled, "a", "b")
    assert "bundle" not in shelled.run(*command, preload=False).stdout


def test_the_bundles_tool_runs_instead_of_the_targets(shelled: Bundle) -> None:
    target = shelled.outside / "target" / "probe"
    target.parent.mkdir()
    target.write_text("#!/bin/sh\necho target\n")
    assert shelled.run("env", str(target)).returncode == 126
    target.chmod(0o755)
    assert shelled.text("env", f"PATH={target.parent}", "probe") == expected(shelled)
    assert shelled.text("env", str(target)) == expected(shelled)
    assert shelled.text("env", str(target), preload=False) == "target\n"


def test_a_path_that_is_no_place_for_programs_does_not_exist(shelled: Bundle) -> None:
    assert shelled.run("env", "/nowhere/probe").returncode == 127


def test_arguments_and_argv0_are_left_alone(shelled: Bundle) -> None:
    assert shelled.text("bash", "-c", "exec -a other /bin/bash -c 'echo /bin/cat \"$@\"' zero /bin/sh") == (
        "/bin/cat /bin/sh\n"
    )
    code = "import os; os.execv('/bin/bash', ['other', '-c', 'echo $0'])"
    assert shelled.text("python3", "-c", code) == "other\n"


def test_the_targets_path_answers_what_is_there(shelled: Bundle) -> None:
    """The bundle is no part of PATH: a shell says that a tool of ours does not exist."""
    done = shelled.run("bash", "-c", "command -v probe; type probe; hash probe")
    assert done.stdout == ""
    assert done.returncode == 1


def test_an_unknown_command_reads_as_in_any_bash(shelled: Bundle) -> None:
    with_library = shelled.run("env", "bash", "-c", "\nno-such-tool a")
    without = shelled.run("env", "bash", "-c", "\nno-such-tool a", preload=False)
    assert with_library.returncode == without.returncode == 127
    assert with_library.stderr == without.stderr


@pytest.mark.parametrize("name", ["oscap", "ruby3.9", "python9"])
def test_the_engines_are_not_the_targets(shelled: Bundle, name: str) -> None:
    shelled.tool(name, TOOL)
    assert "bundle:" not in shelled.run("env", name).stdout
    assert "bundle:" not in shelled.run("env", f"/usr/bin/{name}").stdout
    assert "bundle:" not in shelled.run("env", "bash", "-c", f"{name} || true").stdout
    assert shelled.text("env", f"{shelled.prefix}/bin/{name}").startswith("bundle")


@pytest.mark.parametrize(
    ("first_line", "seen"),
    [
        ("#!/bin/probe", "SCRIPT x"),
        ("#! /usr/local/bin/probe -e -u \t", "-e -u SCRIPT x"),
        ("#!/usr/bin/env probe", "SCRIPT x"),
    ],
)
@pytest.mark.parametrize("place", ["job", "tmp"])
def test_scripts_of_the_job_run_with_the_bundles_interpreter(
    shelled: Bundle, place: str, first_line: str, seen: str
) -> None:
    script = shelled.prefix / place / "check"
    script.write_text(f"{first_line}\nnothing\n")
    script.chmod(0o755)
    wanted = expected(shelled, seen.replace("SCRIPT", str(script)))
    assert shelled.text("env", str(script), "x") == wanted
    assert shelled.text("bash", "-c", f"{script} x") == wanted
    assert shelled.text("env", "./check", "x", cwd=script.parent) == wanted.replace(str(script), "./check")
    script.chmod(0o644)
    assert shelled.run("env", str(script), "x").returncode == 126


def test_a_tool_that_is_a_script_finds_its_interpreter(shelled: Bundle) -> None:
    shelled.tool("wrapper", "#!/no/such/place/probe first\n")
    assert shelled.text("env", "/usr/bin/wrapper", "x") == expected(
        shelled, "first", f"{shelled.prefix}/bin/wrapper", "x"
    )


def test_a_text_without_first_line_is_run_by_the_shell(shelled: Bundle) -> None:
    script = shelled.outside / "text"
    script.write_text('echo "$0" "$1" ${BASH_VERSION:+bash}\n')
    script.chmod(0o755)
    code = "import ctypes, sys; ctypes.CDLL(None).execlp(sys.argv[1].encode(), b'text', b'one', None)"
    assert shelled.text("python3", "-c", code, str(script)) == f"{script} one bash\n"


CALLER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int through_pipes(void)
{
    char line[99];
    FILE *to = popen("cat; exit 3", "w"), *from = popen("probe a", "re");
    fputs(fgets(line, sizeof line, from), to);
    return pclose(from) != 0 || WEXITSTATUS(pclose(to)) != 3;
}

int main(int count, char **words)
{
    char *arguments[] = {"probe", "a", 0}, *environment[] = {"K=V", 0};
    switch (*words[count - 1]) {
    case 'l': execl("/bin/probe", "probe", "a", (char *)0); break;
    case 'p': execlp("probe", "probe", "a", (char *)0); break;
    case 'e': execle("/bin/probe", "probe", "a", (char *)0, environment); break;
    case 'v': execv("/bin/probe", arguments); break;
    case 'x': execvpe("probe", arguments, environment); break;
    case 'a': execveat(AT_FDCWD, "/bin/probe", arguments, environment, 0); break;
    case 'f':
        if (vfork() == 0) {
            execve("/bin/probe", arguments, environment);
            _exit(1);
        }
        wait(0);
        return 0;
    case 'o': return through_pipes();
    case 's': return WEXITSTATUS(system("probe a; exit 5")) != 5 || !system(0);
    }
    return 9;
}
"""


def test_exec_family_of_c(shelled: Bundle, tmp_path: Path) -> None:
    source, program = tmp_path / "x.c", tmp_path / "x"
    source.write_text(CALLER)
    subprocess.run(["gcc", "-w", "-o", str(program), str(source)], check=True, timeout=60)
    for letter in "lpevxafos":
        assert shelled.text(program, letter) == expected(shelled, "a"), letter
    assert shelled.run(program, "l", preload=False).returncode == 9


def test_without_a_bundles_shell_the_machines_own_is_used(bundle: Bundle) -> None:
    assert bundle.text("python3", "-c", "import os; os.system('echo host')") == "host\n"


def test_executable_answers_of_job_scripts(bundle: Bundle) -> None:
    script = bundle.prefix / "job" / "check"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert bundle.run("test", "-x", script).returncode == 0
    script.chmod(0o644)
    assert bundle.run("test", "-x", script).returncode == 1
