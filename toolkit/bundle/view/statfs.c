/* statfs(2), statvfs(3) and their kin: the mount flags become those of the target's own mount. */
#include "view.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

/* Who opened a mount table and makes sure that it is procfs (oscap does) holds the captured file. */
static bool is_captured_table(int fd)
{
    char path[PATH_MAX];
    return view_fd_path(fd, path)
           && (strcmp(path, VIEW_DATA "/mounts") == 0 || strcmp(path, VIEW_DATA "/mountinfo") == 0);
}

/* struct statfs has f_flags, struct statvfs f_flag. */
#define BY_PATH(name, type, field)                                                          \
    VIEW_REAL(name)                                                                         \
    int name(const char *path, struct type *result)                                         \
    {                                                                                       \
        struct statx file;                                                                  \
        unsigned long flags;                                                                \
        int status = real_##name()(path, result);                                           \
        if (status == 0 && view_captured(AT_FDCWD, path, 0, &flags, &file))                 \
            result->field = (__typeof__(result->field))(((unsigned long)result->field       \
                                                         & ~(unsigned long)VIEW_FLAGS)      \
                                                        | flags);                           \
        return status;                                                                      \
    }

#define BY_FD(name, type, field, also)                                                      \
    VIEW_REAL(name)                                                                         \
    int name(int fd, struct type *result)                                                   \
    {                                                                                       \
        struct statx file;                                                                  \
        unsigned long flags;                                                                \
        int status = real_##name()(fd, result);                                             \
        if (status == 0 && view_captured(fd, "", AT_EMPTY_PATH, &flags, &file))             \
            result->field = (__typeof__(result->field))(((unsigned long)result->field       \
                                                         & ~(unsigned long)VIEW_FLAGS)      \
                                                        | flags);                           \
        also;                                                                               \
        return status;                                                                      \
    }

#define TABLE_IS_PROC                                                                       \
    if (status == 0 && is_captured_table(fd))                                               \
        result->f_type = PROC_SUPER_MAGIC

BY_PATH(statfs, statfs, f_flags)
BY_PATH(statfs64, statfs64, f_flags)
BY_PATH(statvfs, statvfs, f_flag)
BY_PATH(statvfs64, statvfs64, f_flag)
BY_FD(fstatfs, statfs, f_flags, TABLE_IS_PROC)
BY_FD(fstatfs64, statfs64, f_flags, TABLE_IS_PROC)
BY_FD(fstatvfs, statvfs, f_flag, (void)0)
BY_FD(fstatvfs64, statvfs64, f_flag, (void)0)
