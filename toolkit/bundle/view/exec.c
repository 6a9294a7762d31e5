/* execve(2) and the exec(3) family. The kernel is called directly: dlsym(3) is not safe in a child of vfork(2). */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int start(const char *path, char *const argv[], char *const envp[], void *context)
{
    (void)context;
    view_starting(path);
    (void)syscall(SYS_execve, path, argv, envp);
    view_not_started(path);
    return errno;
}

static int failed(int error)
{
    errno = error;
    return -1;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    return failed(view_start(path, argv, envp, start, NULL));
}

int execv(const char *path, char *const argv[])
{
    return failed(view_start(path, argv, environ, start, NULL));
}

int execvpe(const char *name, char *const argv[], char *const envp[])
{
    return failed(view_search(name, argv, envp, start, NULL));
}

int execvp(const char *name, char *const argv[])
{
    return failed(view_search(name, argv, environ, start, NULL));
}

/* Without flags and with the path alone it is execve(); a program given as a descriptor is taken as it is. */
int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    if (flags == 0 && (dirfd == AT_FDCWD || path[0] == '/'))
        return execve(path, argv, envp);
    return (int)syscall(SYS_execveat, dirfd, path, argv, envp, flags);
}

/* Collects the variable arguments into argv; envp follows the null pointer in execle(). */
#define COLLECT(after)                                          \
    va_list rest;                                               \
    size_t count = 1;                                           \
    va_start(rest, argument);                                   \
    while (va_arg(rest, const char *) != NULL)                  \
        count++;                                                \
    va_end(rest);                                               \
    char *argv[count + 1];                                      \
    argv[0] = (char *)(uintptr_t)argument;                      \
    va_start(rest, argument);                                   \
    for (size_t i = 1; i <= count; i++)                         \
        argv[i] = va_arg(rest, char *);                         \
    after;                                                      \
    va_end(rest);

int execl(const char *path, const char *argument, ...)
{
    COLLECT((void)0)
    return execv(path, argv);
}

int execlp(const char *name, const char *argument, ...)
{
    COLLECT((void)0)
    return execvp(name, argv);
}

int execle(const char *path, const char *argument, ...)
{
    char *const *envp;
    COLLECT(envp = va_arg(rest, char *const *))
    return execve(path, argv, envp);
}
