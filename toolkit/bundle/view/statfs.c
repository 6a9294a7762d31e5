/* statfs(2), statvfs(3) and their kin: the mount flags become those of the target's own mount. */
#include "view.h"

#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

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

#define BY_FD(name, type, field)                                                            \
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
        return status;                                                                      \
    }

BY_PATH(statfs, statfs, f_flags)
BY_PATH(statfs64, statfs64, f_flags)
BY_PATH(statvfs, statvfs, f_flag)
BY_PATH(statvfs64, statvfs64, f_flag)
BY_FD(fstatfs, statfs, f_flags)
BY_FD(fstatfs64, statfs64, f_flags)
BY_FD(fstatvfs, statvfs, f_flag)
BY_FD(fstatvfs64, statvfs64, f_flag)
