/*
 * A command without a slash: looked for in PATH as execvp(3) does. PATH is the target's, so that what is
 * found there is known not to start (noexec) and the bundle's tool of that name runs instead; the
 * bundle's own directories count where somebody has put them in PATH.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* Takes the next element of PATH; an empty one is the current directory. False at the end. */
static bool next_candidate(const char **path, const char *name, char out[PATH_MAX])
{
    while (*path != NULL) {
        size_t length = strcspn(*path, ":"), name_length = strlen(name);
        const char *directory = *path;
        *path = directory[length] == ':' ? directory + length + 1 : NULL;
        if (length + 1 + name_length >= PATH_MAX)
            continue;
        memcpy(out, directory, length);
        if (length > 0)
            out[length++] = '/';
        memcpy(out + length, name, name_length + 1);
        return true;
    }
    return false;
}

static bool named_in_bundle(const char *path, const char *name, char out[PATH_MAX])
{
    while (next_candidate(&path, name, out))
        if (view_in_bundle(out) && view_executable(AT_FDCWD, out, 0))
            return true;
    return false;
}

/* A file without "#!" is run by the shell (execvp(3), ENOEXEC). */
static int start_text(const char *path, char *const argv[], char *const envp[], view_starter *start, void *context)
{
    size_t count = 0;
    while (argv != NULL && argv[count] != NULL)
        count++;
    char *arguments[count + 3];
    arguments[0] = (char *)(uintptr_t)(count > 0 ? argv[0] : "sh");
    arguments[1] = (char *)(uintptr_t)path;
    for (size_t i = 1; i < count; i++)
        arguments[i + 1] = argv[i];
    arguments[(count > 0 ? count : 1) + 1] = NULL;
    return view_start("/bin/sh", arguments, envp, start, context);
}

/* Tries one file; true when the search goes on with the next. The failure is in *failure (an errno). */
static bool try_next(const char *path, char *const argv[], char *const envp[], view_starter *start, void *context,
                     int *failure)
{
    int error = view_start(path, argv, envp, start, context);
    if (error == ENOEXEC)
        error = start_text(path, argv, envp, start, context);
    if (error == EACCES || *failure != EACCES)
        *failure = error;
    return error == EACCES || error == ENOENT || error == ENOTDIR || error == ESTALE || error == ENODEV
        || error == ETIMEDOUT;
}

/* Gives what start gives: 0, or an errno. */
int view_search(const char *name, char *const argv[], char *const envp[], view_starter *start, void *context)
{
    char candidate[PATH_MAX];
    int failure = ENOENT;
    const char *path = getenv("PATH");
    if (path == NULL)
        path = default_path;
    if (*name == '\0')
        return ENOENT;
    if (strchr(name, '/') != NULL) {
        (void)try_next(name, argv, envp, start, context, &failure);
        return failure;
    }
    if (strlen(name) > NAME_MAX)
        return ENAMETOOLONG;
    if (named_in_bundle(path, name, candidate)) {
        (void)try_next(candidate, argv, envp, start, context, &failure);
        return failure;
    }
    if (view_is_tool(name)) {
        strcpy(stpcpy(candidate, "/bin/"), name);
        (void)try_next(candidate, argv, envp, start, context, &failure);
        return failure;
    }
    while (next_candidate(&path, name, candidate))
        if (!try_next(candidate, argv, envp, start, context, &failure))
            break;
    return failure;
}
