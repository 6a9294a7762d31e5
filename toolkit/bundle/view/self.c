/*
 * The number of this process as /proc has it, for programs that look themselves up there. The engine's PID
 * namespace is nested in the target's, whose /proc numbers us otherwise: procps' library reads /proc/N of
 * getpid() before anything else, finds another process or none, and ps would list nothing.
 *
 * Only for programs with that library: to others the number is for kill(2), waitpid(2) and the like.
 */
#include "view.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

VIEW_REAL(getpid)

static bool looks_itself_up;

__attribute__((constructor)) static void find_procps(void)
{
    looks_itself_up = dlsym(RTLD_DEFAULT, "fatal_proc_unmounted") != NULL;
}

pid_t getpid(void)
{
    char link[32];
    if (!looks_itself_up)
        return real_getpid()();
    int saved = errno;
    long length = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self", link, sizeof link - 1);
    errno = saved;
    if (length <= 0)
        return real_getpid()();
    link[length] = '\0';
    int number = atoi(link);
    return number > 0 ? number : real_getpid()();
}
