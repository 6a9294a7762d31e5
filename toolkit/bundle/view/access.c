/*
 * access(2), faccessat(2) and euidaccess(3), answered as the target's own root would be. The confined
 * engine differs from that root in two ways only: its mounts are read-only and noexec, and it has
 * CAP_DAC_READ_SEARCH but not CAP_DAC_OVERRIDE (capabilities(7)). So a yes of the kernel stands, and a
 * no is looked at again when it can come from one of the two. Reading is not touched by either.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

VIEW_REAL(access)
VIEW_REAL(faccessat)
VIEW_REAL(eaccess)
VIEW_REAL(euidaccess)

/* The kernel's rule (fs/open.c, do_faccessat): devices, pipes and sockets may be written on a read-only mount. */
static bool special(unsigned mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

/* Gives 0 or the errno that root of the target would see. */
static int judge(const struct statx *file, unsigned long flags, int mode)
{
    if (mode & X_OK) {
        if (!S_ISDIR(file->stx_mode) && (file->stx_mode & 0111) == 0)
            return EACCES;
        if (S_ISREG(file->stx_mode) && (flags & ST_NOEXEC))
            return EACCES;
    }
    if ((mode & W_OK) && (flags & ST_RDONLY) && !special(file->stx_mode))
        return EROFS;
    return 0;
}

/* The scratch and job mounts are noexec, but scripts there do run (program.c). */
static bool runnable_script(int dirfd, const char *path, int at_flags)
{
    char absolute[PATH_MAX];
    return view_absolute(dirfd, path, absolute) && view_in_scratch(absolute)
        && view_executable(dirfd, path, at_flags);
}

static int answer(int status, int dirfd, const char *path, int mode, int flags)
{
    if (status == 0 || (errno != EACCES && errno != EROFS))
        return status;
    int refused = errno;
    struct statx file;
    unsigned long captured;
    int lookup = flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
    if ((flags & AT_EACCESS ? geteuid() : getuid()) != 0)
        return status;
    if ((mode & R_OK) && real_faccessat()(dirfd, path, R_OK, flags) != 0)
        return status;
    if (view_captured(dirfd, path, lookup, &captured, &file))
        refused = judge(&file, captured, mode);
    else if (!(mode & W_OK) && runnable_script(dirfd, path, lookup))
        refused = 0;
    errno = refused;
    return refused == 0 ? 0 : -1;
}

int access(const char *path, int mode)
{
    return answer(real_access()(path, mode), AT_FDCWD, path, mode, 0);
}

int faccessat(int dirfd, const char *path, int mode, int flags)
{
    return answer(real_faccessat()(dirfd, path, mode, flags), dirfd, path, mode, flags);
}

int eaccess(const char *path, int mode)
{
    return answer(real_eaccess()(path, mode), AT_FDCWD, path, mode, AT_EACCESS);
}

int euidaccess(const char *path, int mode)
{
    return answer(real_euidaccess()(path, mode), AT_FDCWD, path, mode, AT_EACCESS);
}
