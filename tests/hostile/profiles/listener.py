"""A target that listens on every kind of socket that a profile might talk to, and notes each visit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.hostile.conftest import Container, capabilities
from tests.hostile.profiles.engine import plant

DOCKER_SOCKET, ABSTRACT = "/run/docker.sock", "control"
METADATA = "169.254.169.254"
TCP, UDP = 8080, 53
_CAPABILITIES = capabilities(10, 12)  # NET_BIND_SERVICE, NET_ADMIN for the address of a metadata service
_SETTLING_SECONDS = 0.2
SOURCE = r"""
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
static int inet(int type, int port)
{
    struct sockaddr_in at = {AF_INET, htons(port)};
    int fd = socket(AF_INET, type, 0);
    bind(fd, (void *)&at, sizeof at);
    listen(fd, 9);
    return fd;
}
static int local(const char *name, int size)
{
    struct sockaddr_un at = {AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(at.sun_path, name, size);
    bind(fd, (void *)&at, sizeof(sa_family_t) + size);
    listen(fd, 9);
    return fd;
}
int main(void)
{
    static const char *names[] = {"tcp", "udp", "pathname", "abstract"};
    FILE *log = fopen("/tmp/log", "w");
    struct ifreq second = {.ifr_name = "lo:1"};
    struct sockaddr_in *address = (void *)&second.ifr_addr;
    address->sin_family = AF_INET;
    inet_aton("169.254.169.254", &address->sin_addr);
    struct pollfd on[] = {{inet(SOCK_STREAM, 8080), POLLIN}, {inet(SOCK_DGRAM, 53), POLLIN},
        {local("/run/docker.sock", 17), POLLIN}, {local("\0control", 8), POLLIN}};
    ioctl(on[0].fd, SIOCSIFADDR, &second);
    chmod("/run/docker.sock", 0666);
    fprintf(log, "ready\n");
    for (char data[999];; fflush(log)) {
        fflush(log);
        poll(on, 4, -1);
        for (int i = 0; i < 4; i++) {
            if (!(on[i].revents & POLLIN))
                continue;
            int from = i == 1 ? dup(on[i].fd) : accept(on[i].fd, 0, 0);
            recv(from, data, sizeof data, 0);
            close(from);
            fprintf(log, "visit: %s\n", names[i]);
        }
    }
}
"""


def _prepare(root: Path) -> None:
    plant(root)
    (root / "run").mkdir()


def listening(container: Callable[..., Container]) -> Container:
    """Start the target and wait until it listens."""
    target = container(SOURCE, caps=_CAPABILITIES, prepare=_prepare)
    target.wait_for("ready")
    return target


def visits(target: Container) -> list[str]:
    """Return which of its sockets were visited, in order."""
    time.sleep(_SETTLING_SECONDS)  # for a visit that is on its way
    return [line.removeprefix("visit: ") for line in target.log().splitlines() if line.startswith("visit")]
