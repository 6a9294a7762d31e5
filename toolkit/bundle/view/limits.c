/* Limits that a program of the audit lowers itself: then it is no wonder that something runs into one. */
#include "view.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int change(pid_t pid, int resource, const struct rlimit *limit, struct rlimit *before)
{
    struct rlimit old = {0, 0};
    int result = (int)syscall(SYS_prlimit64, pid, resource, limit, &old);
    if (result == 0 && limit != NULL && limit->rlim_cur < old.rlim_cur)
        view_note("own-limit", view_self(), resource);
    if (result == 0 && before != NULL)
        *before = old;
    return result;
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    return change(0, (int)resource, limit, NULL);
}

int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *limit, struct rlimit *before)
{
    return change(pid, (int)resource, limit, before);
}

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
    return change(0, (int)resource, (const struct rlimit *)limit, NULL);
}

int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *limit, struct rlimit64 *before)
{
    return change(pid, (int)resource, (const struct rlimit *)limit, (struct rlimit *)before);
}
