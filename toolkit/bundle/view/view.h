/*
 * Shared by the files of libbarescan-view.so, which is preloaded into every program of the bundle
 * while it runs inside the confined view of a target (docs/view.md says what is answered how).
 *
 * Two habits hold in all files:
 *  - the real function is asked first wherever possible, so that a bad pointer ends in the kernel's
 *    EFAULT and not in a crash of ours;
 *  - inside the library only system calls and functions that are not interposed here are used.
 */
#ifndef BARESCAN_VIEW_H
#define BARESCAN_VIEW_H

/* The interposed names must be plain symbols, not the headers' inline or redirected variants. */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Where the bundle is mounted; tests compile the library with another place. */
#ifndef BARESCAN_PREFIX
#define BARESCAN_PREFIX "/sys/firmware"
#endif
#define VIEW_BIN BARESCAN_PREFIX "/bin/"
#define VIEW_DATA BARESCAN_PREFIX "/job/view"
#define VIEW_NOTES BARESCAN_PREFIX "/tmp/.notes/"

#pragma GCC visibility push(hidden)

/* real.c */
uintptr_t view_resolve(_Atomic(uintptr_t) *slot, const char *name);

/* Defines real_NAME(), which gives the next definition of NAME after ours. */
#define VIEW_REAL(name)                                                  \
    static __typeof__(&name) real_##name(void)                           \
    {                                                                    \
        static _Atomic(uintptr_t) slot;                                  \
        return (__typeof__(&name))view_resolve(&slot, #name);            \
    }

/* paths.c: no allocation, no lock, errno is kept. */
bool view_starts(const char *text, const char *start);
const char *view_last(const char *path);
bool view_in_bundle(const char *path);
bool view_in_scratch(const char *path);
bool view_fd_path(int fd, char out[PATH_MAX]);
bool view_absolute(int dirfd, const char *path, char out[PATH_MAX]);
bool view_snapshot(int dirfd, const char *path, char out[PATH_MAX]);
int view_open(const char *path, int flags);
ssize_t view_read_start(const char *path, char *out, size_t size);

/* mounts.c */
void view_swap_table(int fd, const char *path);

/* flags.c: captured options of a mount, as ST_* bits of statvfs(3). */
#define VIEW_FLAGS                                                                                     \
    (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME | ST_RELATIME)
bool view_captured(int dirfd, const char *path, int at_flags, unsigned long *flags, struct statx *file);

/* foreign.c */
bool view_runs_foreign_commands(void);

/* program.c */
struct view_program {
    char file[PATH_MAX];   /* the bundle's file, or the script as it was named */
    char path[PATH_MAX];   /* what the kernel is asked to start: file, or the interpreter of a script */
    char interpreter[256]; /* of a script: as its first line names it, the new argv[0] */
    char option[256];      /* of a script: the one argument of its first line, or "" */
    bool script;
};
bool view_is_tool(const char *name);
bool view_executable(int dirfd, const char *path, int at_flags);
typedef int view_starter(const char *path, char *const argv[], char *const envp[], void *context);
int view_start(const char *path, char *const argv[], char *const envp[], view_starter *start, void *context);
int view_search(const char *name, char *const argv[], char *const envp[], view_starter *start, void *context);

/* own.c */
bool view_own_namespace(int proc_fd, char out[64]);
bool view_own_process(int proc_fd, const char *name, const char *own);

/* notes.c: errno is kept. */
pid_t view_self(void);
void view_note(const char *kind, pid_t pid, int number);
void view_note_limit(void);
void view_starting(const char *path);
void view_not_started(const char *path);
void view_spawned(const char *path, pid_t pid);

#pragma GCC visibility pop

#endif
