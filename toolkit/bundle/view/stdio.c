/* fopen(3), freopen(3) and setmntent(3): the C library opens files for them without calling open(). */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>

VIEW_REAL(fopen)
VIEW_REAL(fopen64)
VIEW_REAL(freopen)
VIEW_REAL(freopen64)
VIEW_REAL(setmntent)

typedef FILE *opener(const char *path, const char *mode);

/* Nothing has been read yet, so that the descriptor under the stream can still be exchanged. */
static FILE *answer(FILE *stream, const char *path, const char *mode, opener *again)
{
    char snapshot[PATH_MAX];
    if (stream != NULL) {
        view_swap_table(fileno(stream), path);
    } else if (again != NULL && view_snapshot(AT_FDCWD, path, snapshot)) {
        int saved = errno;
        stream = again(snapshot, mode);
        errno = saved;
    } else if (again != NULL && errno == ENOENT && strcmp(path, "/var/lib/dpkg/status") == 0) {
        /* oscap reads package records from this file only; of status.d the agent has made one. */
        stream = again(BARESCAN_PREFIX "/tmp/dpkg/status", mode);
    }
    if (stream == NULL)
        view_note_limit();
    return stream;
}

FILE *fopen(const char *path, const char *mode)
{
    return answer(real_fopen()(path, mode), path, mode, real_fopen());
}

FILE *fopen64(const char *path, const char *mode)
{
    return answer(real_fopen64()(path, mode), path, mode, real_fopen64());
}

/* A null path means "the same file in another mode". */
FILE *freopen(const char *path, const char *mode, FILE *stream)
{
    FILE *opened = real_freopen()(path, mode, stream);
    return path != NULL ? answer(opened, path, mode, NULL) : opened;
}

FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
    FILE *opened = real_freopen64()(path, mode, stream);
    return path != NULL ? answer(opened, path, mode, NULL) : opened;
}

FILE *setmntent(const char *path, const char *mode)
{
    return answer(real_setmntent()(path, mode), path, mode, NULL);
}
