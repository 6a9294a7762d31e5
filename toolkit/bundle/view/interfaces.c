/*
 * oscap describes the machine by its interfaces, asks for them through a socket of AF_INET, and gives up when it
 * gets none. The engine may open no such socket; one of netlink answers the same requests (netdevice(7)) and
 * reaches nobody but the kernel.
 */
#include "view.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

VIEW_REAL(socket)

static bool is_oscap;

__attribute__((constructor)) static void find_oscap(void)
{
    is_oscap = dlsym(RTLD_DEFAULT, "oscap_init") != NULL;
}

int socket(int domain, int type, int protocol)
{
    int fd = real_socket()(domain, type, protocol);
    if (fd < 0 && is_oscap && domain == AF_INET && errno == EAFNOSUPPORT)
        fd = real_socket()(AF_NETLINK, SOCK_RAW | (type & ~SOCK_DGRAM), 0);
    return fd;
}
