/*
 * Directory listings without ourselves: the bundle's root looks empty, as the directory it covers does
 * in the target, and /proc lists no process of ours. Below its root the bundle can be listed, for
 * its own programs look for their modules there.
 */
#include "view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* readdir_r */

VIEW_REAL(fstatfs)
VIEW_REAL(opendir)
VIEW_REAL(fdopendir)
VIEW_REAL(closedir)

enum kind { ORDINARY, FILLING, BUNDLE, PROC };

/* Streams on one of the two directories; a program rarely has more than one, and a full table hides nothing. */
static struct slot {
    _Atomic(int) kind;
    _Atomic(DIR *) stream;
    char own[64];
} slots[32];
static _Atomic(int) slots_used;

static bool is_bundle(uint64_t dev, uint64_t ino)
{
    static _Atomic(uint64_t) bundle_dev, bundle_ino;
    if (atomic_load(&bundle_ino) == 0) {
        struct stat64 root;
        int saved = errno;
        bool found = stat64(BARESCAN_PREFIX, &root) == 0;
        errno = saved;
        if (!found)
            return false;
        atomic_store(&bundle_dev, (uint64_t)root.st_dev);
        atomic_store(&bundle_ino, (uint64_t)root.st_ino);
    }
    return ino == atomic_load(&bundle_ino) && dev == atomic_load(&bundle_dev);
}

/* own receives our PID namespace when the directory is /proc and there is something to hide. */
static enum kind classify(int fd, char own[64])
{
    struct stat64 directory;
    struct statfs system;
    int saved = errno;
    enum kind kind = ORDINARY;
    if (fstat64(fd, &directory) == 0) {
        if (is_bundle((uint64_t)directory.st_dev, (uint64_t)directory.st_ino))
            kind = BUNDLE;
        else if (directory.st_ino == 1 && real_fstatfs()(fd, &system) == 0 /* PROC_ROOT_INO */
                 && (unsigned long)system.f_type == PROC_SUPER_MAGIC && view_own_namespace(fd, own))
            kind = PROC;
    }
    errno = saved;
    return kind;
}

static bool hidden(enum kind kind, int fd, const char *name, const char *own)
{
    if (kind == BUNDLE)
        return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    return kind == PROC && view_own_process(fd, name, own);
}

static DIR *remember(DIR *stream)
{
    char own[64] = "";
    enum kind kind = stream ? classify(dirfd(stream), own) : ORDINARY;
    for (size_t i = 0; kind != ORDINARY && i < sizeof slots / sizeof *slots; i++) {
        int free_slot = ORDINARY;
        if (!atomic_compare_exchange_strong(&slots[i].kind, &free_slot, FILLING))
            continue;
        memcpy(slots[i].own, own, sizeof own);
        atomic_store(&slots[i].stream, stream);
        atomic_fetch_add(&slots_used, 1);
        atomic_store(&slots[i].kind, (int)kind);
        break;
    }
    return stream;
}

static struct slot *find(DIR *stream)
{
    if (atomic_load(&slots_used) == 0)
        return NULL;
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if (atomic_load(&slots[i].kind) > FILLING && atomic_load(&slots[i].stream) == stream)
            return &slots[i];
    return NULL;
}

static bool skipped(DIR *stream, const char *name)
{
    struct slot *slot = find(stream);
    return slot != NULL && hidden((enum kind)atomic_load(&slot->kind), dirfd(stream), name, slot->own);
}

DIR *opendir(const char *path)
{
    char snapshot[PATH_MAX];
    DIR *stream = real_opendir()(path);
    if (stream == NULL && view_snapshot(AT_FDCWD, path, snapshot)) {
        int saved = errno;
        stream = real_opendir()(snapshot);
        errno = saved;
    }
    if (stream == NULL)
        view_note_limit();
    return remember(stream);
}

DIR *fdopendir(int fd)
{
    return remember(real_fdopendir()(fd));
}

int closedir(DIR *stream)
{
    struct slot *slot = find(stream);
    if (slot != NULL) {
        atomic_store(&slot->stream, NULL);
        atomic_store(&slot->kind, ORDINARY);
        atomic_fetch_sub(&slots_used, 1);
    }
    return real_closedir()(stream);
}

#define READDIR(name, type)                                         \
    VIEW_REAL(name)                                                 \
    struct type *name(DIR *stream)                                  \
    {                                                               \
        struct type *entry;                                         \
        do                                                          \
            entry = real_##name()(stream);                          \
        while (entry != NULL && skipped(stream, entry->d_name));    \
        return entry;                                               \
    }

#define READDIR_R(name, type)                                                       \
    VIEW_REAL(name)                                                                 \
    int name(DIR *stream, struct type *entry, struct type **result)                 \
    {                                                                               \
        int error;                                                                  \
        do                                                                          \
            error = real_##name()(stream, entry, result);                           \
        while (error == 0 && *result != NULL && skipped(stream, (*result)->d_name)); \
        return error;                                                               \
    }

READDIR(readdir, dirent)
READDIR(readdir64, dirent64)
READDIR_R(readdir_r, dirent)
READDIR_R(readdir64_r, dirent64)

/* The C library reads directories for scandir(3) without calling readdir(): strike the entries out afterwards. */
#define SCANDIR(name, type, parameters, arguments, dirfd_value)                     \
    VIEW_REAL(name)                                                                 \
    int name parameters                                                             \
    {                                                                               \
        int count = real_##name() arguments;                                        \
        char own[64] = "";                                                          \
        int fd = count > 0 ? openat(dirfd_value, path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1; \
        enum kind kind = fd >= 0 ? classify(fd, own) : ORDINARY;                    \
        int kept = 0;                                                               \
        for (int i = 0; kind != ORDINARY && i < count; i++) {                       \
            struct type *entry = (*list)[i];                                        \
            if (hidden(kind, fd, entry->d_name, own))                               \
                free(entry);                                                        \
            else                                                                    \
                (*list)[kept++] = entry;                                            \
        }                                                                           \
        if (fd >= 0)                                                                \
            close(fd);                                                              \
        return kind == ORDINARY ? count : kept;                                     \
    }

#define SELECT(type) int (*select)(const struct type *)
#define COMPARE(type) int (*compare)(const struct type **, const struct type **)
SCANDIR(scandir, dirent,
        (const char *restrict path, struct dirent ***restrict list, SELECT(dirent), COMPARE(dirent)),
        (path, list, select, compare), AT_FDCWD)
SCANDIR(scandir64, dirent64,
        (const char *restrict path, struct dirent64 ***restrict list, SELECT(dirent64), COMPARE(dirent64)),
        (path, list, select, compare), AT_FDCWD)
SCANDIR(scandirat, dirent,
        (int dir, const char *restrict path, struct dirent ***restrict list, SELECT(dirent), COMPARE(dirent)),
        (dir, path, list, select, compare), dir)
SCANDIR(scandirat64, dirent64,
        (int dir, const char *restrict path, struct dirent64 ***restrict list, SELECT(dirent64), COMPARE(dirent64)),
        (dir, path, list, select, compare), dir)

/* fts(3) too has its own way to the directory: it is told not to descend (GNU find and ls bring their own fts). */
#define FTS_READ(name, set, stream_type, entry_type)                                            \
    VIEW_REAL(name)                                                                             \
    entry_type *name(stream_type *tree)                                                         \
    {                                                                                           \
        entry_type *entry = real_##name()(tree);                                                \
        if (entry != NULL && entry->fts_info == FTS_D                                           \
            && is_bundle((uint64_t)entry->fts_dev, (uint64_t)entry->fts_ino))                   \
            set(tree, entry, FTS_SKIP);                                                         \
        return entry;                                                                           \
    }

FTS_READ(fts_read, fts_set, FTS, FTSENT)
FTS_READ(fts64_read, fts64_set, FTS64, FTSENT64)
