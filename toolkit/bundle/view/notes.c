/*
 * What happened to programs of the audit, for the agent to judge when the engine has ended. A note is the name
 * of an empty file, KIND.NUMBER.NUMBER: making one needs neither a descriptor nor space, of both of which a
 * hostile target may have deprived us (prlimit(2)). Safe in a child of vfork(2) and in signal handlers.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *put_number(char *end, unsigned long value)
{
    char digits[24];
    size_t count = 0;
    *end++ = '.';
    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (count > 0)
        *end++ = digits[--count];
    return end;
}

static void put_path(const char *kind, pid_t pid, int number, char out[PATH_MAX])
{
    char *end = stpcpy(stpcpy(out, VIEW_NOTES), kind);
    end = put_number(end, (unsigned long)pid);
    *put_number(end, (unsigned long)number) = '\0';
}

pid_t view_self(void)
{
    return (pid_t)syscall(SYS_getpid);
}

void view_note(const char *kind, pid_t pid, int number)
{
    char path[PATH_MAX];
    int saved = errno;
    put_path(kind, pid, number, path);
    (void)syscall(SYS_mknodat, AT_FDCWD, path, S_IFREG | 0600, 0);
    errno = saved;
}

static bool strike(const char *kind, pid_t pid)
{
    char path[PATH_MAX];
    int saved = errno;
    put_path(kind, pid, 0, path);
    bool there = syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0;
    errno = saved;
    return there;
}

void view_note_limit(void)
{
    if (errno == EMFILE || errno == ENFILE)
        view_note("limit", view_self(), errno);
}

/*
 * A program that is started and never gets to our constructor was held up in its loader, and ends like a command
 * that was not found. Who becomes one says `start`, and the constructor strikes that out. Of posix_spawn(3) the
 * number is known only afterwards, when the constructor may have run or not: `spawned` goes with its `began`.
 */
static bool has_constructor(const char *path)
{
    return view_starts(path, VIEW_BIN) && strstr(path, "/../") == NULL;
}

void view_starting(const char *path)
{
    if (has_constructor(path))
        view_note("start", view_self(), 0);
}

void view_not_started(const char *path)
{
    if (has_constructor(path))
        (void)strike("start", view_self());
}

void view_spawned(const char *path, pid_t pid)
{
    if (has_constructor(path) && !strike("began", pid))
        view_note("spawned", pid, 0);
}

__attribute__((constructor)) static void begin(void)
{
    pid_t self = view_self();
    if (!strike("start", self))
        view_note("began", self, 0);
}
