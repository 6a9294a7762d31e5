/*
 * The captured options of a mount. Our own view of the target is read-only, nosuid, nodev and noexec
 * throughout; job/view/flags holds one line "MOUNT-ID OPTIONS" for each mount, with the mount id of
 * our view (statx(2), STATX_MNT_ID) and the options as /proc/PID/mounts showed them before.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

static const struct {
    const char *name;
    unsigned long flag;
} known[] = {
    {"ro", ST_RDONLY},       {"nosuid", ST_NOSUID},         {"nodev", ST_NODEV},       {"noexec", ST_NOEXEC},
    {"noatime", ST_NOATIME}, {"nodiratime", ST_NODIRATIME}, {"relatime", ST_RELATIME},
};

/* Mapped once and for good: a lookup needs no lock and no allocation then. */
static const char *flags_file(size_t *size)
{
    static _Atomic(const char *) mapped;
    static _Atomic(size_t) mapped_size;
    static const char absent[] = "";
    const char *text = atomic_load(&mapped);
    if (text == NULL) {
        struct stat file;
        text = absent;
        int fd = view_open(VIEW_DATA "/flags", O_RDONLY);
        if (fd >= 0 && fstat(fd, &file) == 0 && file.st_size > 0) {
            void *place = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
            if (place != MAP_FAILED) {
                text = place;
                atomic_store(&mapped_size, (size_t)file.st_size);
            }
        }
        if (fd >= 0)
            close(fd);
        atomic_store(&mapped, text); /* a thread that loses the race leaves a mapping of the same file behind */
    }
    *size = text == absent ? 0 : atomic_load(&mapped_size);
    return text;
}

static unsigned long parse_options(const char *text, const char *end)
{
    unsigned long flags = 0;
    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t length = (size_t)((comma ? comma : end) - text);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i].name) == length && memcmp(known[i].name, text, length) == 0)
                flags |= known[i].flag;
        text += length + 1;
    }
    return flags;
}

static bool find_mount(uint64_t wanted, unsigned long *flags)
{
    size_t size;
    const char *line = flags_file(&size);
    const char *end = line + size;
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (stop == NULL)
            stop = end;
        uint64_t id = 0;
        const char *digit = line;
        for (; digit < stop && *digit >= '0' && *digit <= '9'; digit++)
            id = id * 10 + (uint64_t)(*digit - '0');
        if (digit > line && digit < stop && *digit == ' ' && id == wanted) {
            *flags = parse_options(digit + 1, stop);
            return true;
        }
        line = stop + 1;
    }
    return false;
}

bool view_captured(int dirfd, const char *path, int at_flags, unsigned long *flags, struct statx *file)
{
    int saved = errno;
    bool found = statx(dirfd, path, at_flags, STATX_BASIC_STATS | STATX_MNT_ID, file) == 0
        && (file->stx_mask & STATX_MNT_ID) && find_mount(file->stx_mnt_id, flags);
    errno = saved;
    return found;
}
