/* open(2), openat(2) and readlink(2) in all their spellings: mount tables, and what was recorded of /proc. */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t object_size);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *buffer, size_t size, size_t object_size);

/* Takes the real answer and gives ours. */
static int answer(int fd, int dirfd, const char *path, int flags)
{
    char snapshot[PATH_MAX];
    if (fd >= 0) {
        view_swap_table(fd, path);
    } else if ((flags & (O_ACCMODE | O_CREAT)) == O_RDONLY && view_snapshot(dirfd, path, snapshot)) {
        int saved = errno;
        fd = view_open(snapshot, flags);
        if (fd >= 0 && !(flags & O_CLOEXEC))
            fcntl(fd, F_SETFD, 0);
        errno = saved;
    }
    if (fd < 0)
        view_note_limit();
    return fd;
}

#define MODE(mode, last)                                                \
    mode_t mode = 0;                                                    \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {        \
        va_list rest;                                                   \
        va_start(rest, last);                                           \
        mode = (mode_t)va_arg(rest, int);                               \
        va_end(rest);                                                   \
    }

#define OPEN(name)                                                                  \
    VIEW_REAL(name)                                                                 \
    int name(const char *path, int flags, ...)                                      \
    {                                                                               \
        MODE(mode, flags)                                                           \
        return answer(real_##name()(path, flags, mode), AT_FDCWD, path, flags);     \
    }

#define OPENAT(name)                                                                \
    VIEW_REAL(name)                                                                 \
    int name(int dirfd, const char *path, int flags, ...)                           \
    {                                                                               \
        MODE(mode, flags)                                                           \
        return answer(real_##name()(dirfd, path, flags, mode), dirfd, path, flags); \
    }

/* What a fortified program calls when it gives no mode. */
#define OPEN_2(name)                                                                \
    VIEW_REAL(name)                                                                 \
    int name(const char *path, int flags)                                           \
    {                                                                               \
        return answer(real_##name()(path, flags), AT_FDCWD, path, flags);           \
    }

#define OPENAT_2(name)                                                              \
    VIEW_REAL(name)                                                                 \
    int name(int dirfd, const char *path, int flags)                                \
    {                                                                               \
        return answer(real_##name()(dirfd, path, flags), dirfd, path, flags);       \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
OPEN_2(__open_2)
OPEN_2(__open64_2)
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)

VIEW_REAL(readlink)
VIEW_REAL(readlinkat)
VIEW_REAL(__readlink_chk)
VIEW_REAL(__readlinkat_chk)

static ssize_t recorded_link(ssize_t length, int dirfd, const char *path, char *buffer, size_t size)
{
    char snapshot[PATH_MAX];
    if (length < 0 && view_snapshot(dirfd, path, snapshot)) {
        int saved = errno;
        length = real_readlink()(snapshot, buffer, size);
        errno = saved;
    }
    return length;
}

ssize_t readlink(const char *path, char *buffer, size_t size)
{
    return recorded_link(real_readlink()(path, buffer, size), AT_FDCWD, path, buffer, size);
}

ssize_t readlinkat(int dirfd, const char *path, char *buffer, size_t size)
{
    return recorded_link(real_readlinkat()(dirfd, path, buffer, size), dirfd, path, buffer, size);
}

ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t object_size)
{
    return recorded_link(real___readlink_chk()(path, buffer, size, object_size), AT_FDCWD, path, buffer, size);
}

ssize_t __readlinkat_chk(int dirfd, const char *path, char *buffer, size_t size, size_t object_size)
{
    return recorded_link(
        real___readlinkat_chk()(dirfd, path, buffer, size, object_size), dirfd, path, buffer, size);
}
