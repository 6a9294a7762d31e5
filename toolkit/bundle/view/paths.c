/* Questions about paths, and reading of small files; safe in a child of vfork(2) and in signal handlers. */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

bool view_starts(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

const char *view_last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool view_in_bundle(const char *path)
{
    return view_starts(path, BARESCAN_PREFIX "/");
}

/* The two writable or caller-supplied places, which are mounted noexec. */
bool view_in_scratch(const char *path)
{
    return view_starts(path, BARESCAN_PREFIX "/job/") || view_starts(path, BARESCAN_PREFIX "/tmp/");
}

int view_open(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC | O_LARGEFILE, 0);
}

ssize_t view_read_start(const char *path, char *out, size_t size)
{
    int saved = errno;
    ssize_t got = -1;
    int fd = view_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0) {
        got = read(fd, out, size - 1);
        close(fd);
    }
    out[got > 0 ? got : 0] = '\0';
    errno = saved;
    return got;
}

static bool read_link(const char *link, char out[PATH_MAX])
{
    int saved = errno;
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    errno = saved;
    if (length < 0 || length >= PATH_MAX - 1)
        return false;
    out[length] = '\0';
    return true;
}

/* "/proc/self/fd/N" without printf, which may allocate. */
static void fd_link(int fd, char out[40])
{
    char digits[12];
    size_t count = 0;
    unsigned value = (unsigned)fd;
    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    char *end = stpcpy(out, "/proc/self/fd/");
    while (count > 0)
        *end++ = digits[--count];
    *end = '\0';
}

bool view_fd_path(int fd, char out[PATH_MAX])
{
    char link[40];
    if (fd < 0)
        return false;
    fd_link(fd, link);
    return read_link(link, out) && out[0] == '/';
}

/* Makes a path absolute as openat(2) would read it; symbolic links in it stay as they are. */
bool view_absolute(int dirfd, const char *path, char out[PATH_MAX])
{
    size_t used = 0;
    if (path[0] != '/') {
        bool known = dirfd == AT_FDCWD ? read_link("/proc/self/cwd", out) && out[0] == '/' : view_fd_path(dirfd, out);
        if (!known)
            return false;
        used = strlen(out);
        while (view_starts(path, "./"))
            path += 2;
        if (used + 1 >= PATH_MAX)
            return false;
        out[used++] = '/';
    }
    size_t length = strlen(path);
    if (used + length >= PATH_MAX)
        return false;
    memcpy(out + used, path, length + 1);
    return true;
}

/*
 * What the kernel refuses to a visitor without CAP_SYS_PTRACE (proc(5): fd, exe, cwd, root, environ …
 * of other processes) may have been recorded before the privileges were dropped, under the same name
 * below job/view/proc. True when path is a refused one of that kind; call it right after the refusal.
 */
bool view_snapshot(int dirfd, const char *path, char out[PATH_MAX])
{
    static const char place[] = VIEW_DATA "/proc/";
    char absolute[PATH_MAX];
    if ((errno != EACCES && errno != EPERM) || !view_absolute(dirfd, path, absolute))
        return false;
    if (!view_starts(absolute, "/proc/") || strstr(absolute, "/../") != NULL)
        return false;
    const char *rest = absolute + strlen("/proc/");
    while (*rest == '/')
        rest++;
    size_t length = strlen(rest);
    if (*rest < '1' || *rest > '9' || sizeof place + length > PATH_MAX)
        return false;
    memcpy(stpcpy(out, place), rest, length + 1);
    return true;
}
