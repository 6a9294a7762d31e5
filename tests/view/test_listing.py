"""Neither the bundle nor the engine's processes are found by looking around."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import Bundle, program

LISTERS = [
    ["ls", "-A", "ROOT"],
    ["find", "ROOT"],
    ["find", "PARENT", "-name", "marker"],
    ["du", "-a", "ROOT"],
    ["bash", "-c", "shopt -s nullglob; echo ROOT/*"],
    ["perl", "-e", "opendir(D, 'ROOT'); print join ' ', readdir D"],
    ["ruby", "-e", "puts Dir.children('ROOT'), Dir.glob('ROOT/*')"],
    [
        "python3",
        "-c",
        "import os; print(os.listdir('ROOT'), list(os.walk('ROOT')), list(os.scandir(os.open('ROOT', 0))))",
    ],
    ["./fts", "PARENT"],
    ["./scandir", "ROOT"],
]

SOURCES = {
    "fts": r"""
#include <fts.h>
#include <stdio.h>
int main(int count, char **words)
{
    char *paths[] = {words[count - 1], 0};
    FTS *tree = fts_open(paths, FTS_PHYSICAL, 0);
    for (FTSENT *entry; (entry = fts_read(tree)) != 0;)
        puts(entry->fts_path);
    return fts_close(tree);
}
""",
    "scandir": r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
int main(int count, char **words)
{
    struct dirent **list;
    for (int n = scandir(words[count - 1], &list, 0, alphasort); n > 0; n--)
        puts(list[n - 1]->d_name);
    return 0;
}
""",
}


@pytest.fixture
def listers(bundle: Bundle) -> Bundle:
    """A bundle with something to find, beside programs that look for it in the C library's own ways."""
    (bundle.prefix / "marker").mkdir()
    for name, text in SOURCES.items():
        source = bundle.outside / f"{name}.c"
        source.write_text(text)
        subprocess.run(["gcc", "-w", "-o", str(bundle.outside / name), str(source)], check=True, timeout=60)
    return bundle


@pytest.mark.parametrize("command", LISTERS, ids=lambda command: command[0])
def test_the_bundle_looks_empty(listers: Bundle, command: list[str]) -> None:
    words = [
        word.replace("ROOT", str(listers.prefix)).replace("PARENT", str(listers.prefix.parent))
        for word in command
    ]
    if words[0].startswith("./"):
        words[0] = str(listers.outside / words[0])
    assert "marker" not in listers.text(*words)
    assert "marker" in listers.text(*words, preload=False)


def test_directories_of_the_bundle_can_be_listed(listers: Bundle) -> None:
    listers.tool("probe", "")
    assert listers.text("ls", listers.prefix / "bin") == "probe\n"
    assert listers.text("ls", "-a", listers.prefix) == ".\n..\n"


def test_more_streams_than_the_library_remembers(listers: Bundle) -> None:
    """Closed streams are forgotten: many in turn are all hidden, and one of another directory is not."""
    (listers.outside / "here" / "inside").mkdir(parents=True)
    code = (
        "import os, sys\n"
        "print({name for n in range(100) for name in os.listdir(sys.argv[1])})\n"
        "print(os.listdir('here'))"
    )
    assert listers.text("python3", "-c", code, listers.prefix, cwd=listers.outside) == "set()\n['inside']\n"


@pytest.fixture
def nested(listers: Bundle) -> Bundle:
    """A bundle whose programs can be started in a PID namespace of their own, under the outer /proc."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a PID namespace needs root and unshare")
    (listers.view / "target-pid-ns").write_text(f"{Path('/proc/self/ns/pid').readlink()}\n")
    return listers


PROCESS_LISTERS = [
    ["ps", "-eo", "pid="],
    ["pgrep", "."],
    ["bash", "-c", "echo /proc/[0-9]*"],
    ["find", "/proc", "-maxdepth", "1"],
    ["ls", "/proc"],
    ["ruby", "-e", "puts Dir.children('/proc')"],
    ["python3", "-c", "import os; print(os.listdir('/proc'))"],
    ["./scandir", "/proc"],
]


def processes(bundle: Bundle, command: list[str], *, preload: bool = True) -> tuple[int, set[int]]:
    """Start a shell in a nested namespace and command in it; gives the shell's number and those listed."""
    file = str(bundle.outside / command[0]) if command[0].startswith("./") else program(command[0])
    script = "echo $(cut -d' ' -f4 /proc/self/stat); \"$@\"; true"
    listing = bundle.text(
        "unshare", "--pid", "--fork", "bash", "-c", script, "bash", file, *command[1:], preload=preload
    )
    shell, *others = map(int, re.findall(r"\d+", listing))
    return shell, set(others)


@pytest.mark.parametrize("command", PROCESS_LISTERS, ids=lambda command: command[0])
def test_our_processes_are_not_listed(nested: Bundle, command: list[str]) -> None:
    shell, listed = processes(nested, command)
    assert os.getpid() in listed
    assert shell not in listed
    shell, listed = processes(nested, command, preload=False)
    assert {os.getpid(), shell} <= listed


def test_one_named_by_the_agent_is_not_listed(nested: Bundle) -> None:
    (nested.view / "own-pids").write_text(f"1234567\n{os.getpid()}\n")
    shell, listed = processes(nested, ["ls", "/proc"])
    assert not {os.getpid(), shell} & listed
    assert 1 in listed


def _only_child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while not (number := children.read_text().strip()):
        pass
    return int(number)


def test_nor_is_what_descends_from_it(nested: Bundle) -> None:
    """All of the engine does, and what namespaces its processes are in may not be read."""
    shell = subprocess.Popen([program("sh"), "-c", "sh -c 'sleep 30 & wait' & wait"])
    (nested.view / "own-pids").write_text(f"{shell.pid}\n")
    child = _only_child(shell.pid)
    grandchild = _only_child(child)
    try:
        listed = processes(nested, ["ls", "/proc"])[1]
        assert not {shell.pid, child, grandchild} & listed
        assert {os.getpid(), 1} <= listed
    finally:
        os.kill(grandchild, signal.SIGTERM)
        shell.wait()


@pytest.mark.parametrize("known", [None, "own"])
def test_nothing_is_hidden_when_processes_cannot_be_told_apart(nested: Bundle, known: str | None) -> None:
    """Without the target's namespace on record, or when it is our own, all processes would look like ours."""
    if known is None:
        (nested.view / "target-pid-ns").unlink()
        assert os.getpid() in processes(nested, ["ls", "/proc"])[1]
    assert str(os.getpid()) in nested.text("ls", "/proc").split()


def test_ps_finds_itself_where_proc_numbers_it_otherwise(mounting: Bundle) -> None:
    """As in a scan: our PID namespace is nested in that of /proc, where our numbers are others'."""
    inside = "for i in 1 2 3 4 5 6; do (:); done; ps -p 1 -o pid=; :"
    nested = f'unshare --pid --fork sh -c "{inside}"; :'
    done = mounting.run("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", nested)
    assert (done.stdout.strip(), done.stderr) == ("1", "")
