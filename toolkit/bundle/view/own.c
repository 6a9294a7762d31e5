/*
 * Which processes are ours. The engine runs in a PID namespace nested in the target's, under the
 * target's /proc, so that its processes are the ones whose /proc/PID/ns/pid (namespaces(7)) is our own.
 * job/view/target-pid-ns holds the target's ("pid:[…]"): without it, or when it is our own too, nothing
 * can be told apart and nothing is hidden. job/view/own-pids (optional, one number a line, as /proc
 * numbers them) names those of ours that stand outside the nested namespace. What runs in it descends from
 * them: that is how programs of the bundle, whose ns/pid is closed to one another, are told.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

bool view_own_namespace(int proc_fd, char out[64])
{
    char target[64];
    int saved = errno;
    ssize_t length = syscall(SYS_readlinkat, proc_fd, "self/ns/pid", out, 63);
    errno = saved;
    if (length <= 0 || view_read_start(VIEW_DATA "/target-pid-ns", target, sizeof target) <= 0)
        return false;
    out[length] = '\0';
    target[strcspn(target, "\n")] = '\0';
    return strcmp(out, target) != 0;
}

static bool listed(const char *name)
{
    char text[4096];
    size_t length = strlen(name);
    if (view_read_start(VIEW_DATA "/own-pids", text, sizeof text) <= 0)
        return false;
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && (line[length] == '\n' || line[length] == '\0'))
            return true;
    }
    return false;
}

/* The number of a process' parent, as a name in /proc; false where it has none there or can't be asked. */
static bool find_parent(int proc_fd, const char *name, char parent[17])
{
    char path[32], text[1024];
    stpcpy(stpcpy(path, name), "/status");
    int saved = errno;
    int fd = (int)syscall(SYS_openat, proc_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : syscall(SYS_read, fd, text, sizeof text - 1);
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
    if (length <= 0)
        return false;
    text[length] = '\0';
    const char *line = strstr(text, "\nPPid:\t");
    if (line == NULL)
        return false;
    line += strlen("\nPPid:\t");
    size_t digits = strspn(line, "0123456789");
    if (digits == 0 || digits > 16 || line[0] == '0') /* 0: a parent outside of this /proc */
        return false;
    memcpy(parent, line, digits);
    parent[digits] = '\0';
    return true;
}

/* Whether it is one of those, or descends from one: every process of the engine has its init above it. */
static bool descends_from_listed(int proc_fd, const char *name)
{
    char at[17];
    stpcpy(at, name);
    for (int generations = 0; generations < 64; generations++) {
        if (listed(at))
            return true;
        if (!find_parent(proc_fd, at, at))
            return false;
    }
    return false;
}

bool view_own_process(int proc_fd, const char *name, const char *own)
{
    char link[32], other[64];
    if (name[0] < '1' || name[0] > '9' || strlen(name) > 16)
        return false;
    int saved = errno;
    stpcpy(stpcpy(link, name), "/ns/pid");
    ssize_t length = syscall(SYS_readlinkat, proc_fd, link, other, sizeof other - 1);
    errno = saved;
    if (length > 0) {
        other[length] = '\0';
        if (strcmp(other, own) == 0)
            return true;
    }
    return descends_from_listed(proc_fd, name);
}
