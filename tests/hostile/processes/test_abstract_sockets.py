"""A target that listens under the abstract name of a daemon of the host and answers for it, unix(7)."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import joined

pytestmark = [pytest.mark.root, pytest.mark.bundle]

NAME = "/run/daemon-of-the-host"
IMPERSONATE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    struct sockaddr_un name = {AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), log = open("/tmp/log", O_WRONLY | O_CREAT, 0644);
    strcpy(name.sun_path + 1, arguments[1]);
    bind(listener, (void *)&name, sizeof(sa_family_t) + 1 + strlen(arguments[1]));
    listen(listener, 5);
    write(log, "ready\n", 6);
    for (;;) {
        int client = accept(listener, 0, 0);
        write(client, "all is well\n", 12);
        dprintf(log, "asked\n");
        close(client);
    }
}
"""
ASK = f"""
import socket
try:
    asked = socket.socket(socket.AF_UNIX)
    asked.connect(chr(0) + '{NAME}')
    print(asked.recv(100).decode())
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("without", [[], ["system-calls"], ["scopes"]])
def test_the_engine_does_not_ask_it(works, container, scan, without):
    target = container(IMPERSONATE, NAME, caps=DOCKER)
    target.wait_for("ready")
    with joined(target.pid, "python3", "-c", ASK) as naive:
        works(naive.stdout and "all is well\n" in naive.stdout, "it answers for a daemon of the host")
    asked = target.log().count("asked")
    attempt = scan(target.uri, f'{BIN}/python3 -c "{ASK}"', without=without)
    assert attempt.outcome.complete, attempt.error
    if "scopes" not in without and attempt.outcome.facts["confinement"]["scopes"] != "on":
        pytest.skip(attempt.outcome.facts["confinement"]["scopes"])
    assert len(attempt.lines) == 1
    assert attempt.lines != ["all is well"]
    assert target.log().count("asked") == asked
    assert target.written() == {"tmp/log"}
