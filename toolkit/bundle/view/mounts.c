/*
 * The mount table as the target sees it: a descriptor just opened on /proc/PID/mounts or
 * /proc/PID/mountinfo (proc(5)) of our own mount namespace is exchanged for the captured file.
 * What was opened is judged, not the name, so links such as /etc/mtab and relative paths count too;
 * other processes have the target's own table, which is true as it is.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

VIEW_REAL(fstatfs)

/* Only names that can lead to a mount table pay for a closer look. */
static bool likely(const char *path)
{
    const char *name = view_last(path);
    return strcmp(name, "mounts") == 0 || strcmp(name, "mountinfo") == 0 || strcmp(name, "mtab") == 0;
}

static bool same_mount_namespace(const char *process)
{
    char own[64], other[64], link[PATH_MAX + 16];
    stpcpy(stpcpy(link, process), "/ns/mnt");
    ssize_t a = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/mnt", own, sizeof own);
    ssize_t b = syscall(SYS_readlinkat, AT_FDCWD, link, other, sizeof other);
    return a > 0 && a == b && memcmp(own, other, (size_t)a) == 0;
}

static const char *captured_table(int fd)
{
    char opened[PATH_MAX];
    struct statfs system;
    if (!view_fd_path(fd, opened) || real_fstatfs()(fd, &system) != 0)
        return NULL;
    if ((unsigned long)system.f_type != PROC_SUPER_MAGIC)
        return NULL;
    char *slash = strrchr(opened, '/');
    const char *table = NULL;
    if (strcmp(slash, "/mounts") == 0)
        table = VIEW_DATA "/mounts";
    else if (strcmp(slash, "/mountinfo") == 0)
        table = VIEW_DATA "/mountinfo";
    *slash = '\0';
    return table != NULL && same_mount_namespace(opened) ? table : NULL;
}

void view_swap_table(int fd, const char *path)
{
    if (fd < 0 || !likely(path))
        return;
    int saved = errno;
    const char *table = captured_table(fd);
    int flags = table ? fcntl(fd, F_GETFL) : -1;
    int captured = flags >= 0 ? view_open(table, flags & (O_PATH | O_NONBLOCK)) : -1;
    if (captured >= 0) {
        dup3(captured, fd, fcntl(fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0);
        close(captured);
    }
    errno = saved;
}
