/* posix_spawn(3), system(3) and popen(3): the C library starts /bin/sh for the last two, which is the target's. */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

VIEW_REAL(posix_spawn)
VIEW_REAL(pclose)

static const char shell[] = "/bin/sh";

struct request {
    pid_t *pid;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
};

static int start(const char *path, char *const argv[], char *const envp[], void *context)
{
    struct request *request = context;
    pid_t pid;
    int error = real_posix_spawn()(&pid, path, request->actions, request->attributes, argv, envp);
    if (error != 0)
        return error;
    view_spawned(path, pid);
    if (request->pid != NULL)
        *request->pid = pid;
    return 0;
}

int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *restrict actions,
                const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const envp[restrict])
{
    struct request request = {pid, actions, attributes};
    return view_start(path, argv, envp, start, &request);
}

int posix_spawnp(pid_t *restrict pid, const char *restrict name, const posix_spawn_file_actions_t *restrict actions,
                 const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const envp[restrict])
{
    struct request request = {pid, actions, attributes};
    return view_search(name, argv, envp, start, &request);
}

static int spawn_shell(pid_t *pid, const char *command, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes)
{
    char *argv[] = {"sh", "-c", (char *)(uintptr_t)command, NULL};
    return posix_spawn(pid, shell, actions, attributes, argv, environ);
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* As POSIX has it: the caller ignores SIGINT and SIGQUIT meanwhile and does not see SIGCHLD, the child does. */
int system(const char *command)
{
    struct sigaction ignore = {0}, interrupt, quit;
    sigset_t child, before, reset;
    posix_spawnattr_t attributes;
    pid_t pid;
    if (command == NULL)
        return view_is_tool("sh") || access(shell, X_OK) == 0;
    if (view_runs_foreign_commands()) {
        errno = EPERM;
        return -1;
    }
    ignore.sa_handler = SIG_IGN;
    sigemptyset(&ignore.sa_mask);
    sigemptyset(&reset);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigaction(SIGINT, &ignore, &interrupt);
    sigaction(SIGQUIT, &ignore, &quit);
    pthread_sigmask(SIG_BLOCK, &child, &before);
    if (interrupt.sa_handler != SIG_IGN)
        sigaddset(&reset, SIGINT);
    if (quit.sa_handler != SIG_IGN)
        sigaddset(&reset, SIGQUIT);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &before);
    posix_spawnattr_setsigdefault(&attributes, &reset);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int error = spawn_shell(&pid, command, NULL, &attributes);
    posix_spawnattr_destroy(&attributes);
    int status = error == 0 ? wait_for(pid) : W_EXITCODE(127, 0);
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGQUIT, &quit, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        errno = error;
    return status;
}

/* The children behind streams of popen(), for pclose(). */
struct pipe_child {
    struct pipe_child *next;
    FILE *stream;
    pid_t pid;
};
static struct pipe_child *pipe_children;
static pthread_mutex_t pipe_lock = PTHREAD_MUTEX_INITIALIZER;

static int spawn_piped(pid_t *pid, const char *command, int child_end, int child_fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, child_end, child_fd);
    int error = spawn_shell(pid, command, &actions, NULL);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static void remember(struct pipe_child *child)
{
    pthread_mutex_lock(&pipe_lock);
    child->next = pipe_children;
    pipe_children = child;
    pthread_mutex_unlock(&pipe_lock);
}

/* Fills in child from a pipe; gives 0 or an errno, and then our end is closed. */
static int open_piped(struct pipe_child *child, const char *command, bool reading, int ours, int theirs)
{
    child->stream = fdopen(ours, reading ? "r" : "w");
    if (child->stream == NULL) {
        int error = errno;
        close(ours);
        return error;
    }
    int error = spawn_piped(&child->pid, command, theirs, reading ? STDOUT_FILENO : STDIN_FILENO);
    if (error != 0)
        fclose(child->stream);
    return error;
}

/* Our end is always close-on-exec: it says the same for "e", and keeps later children out of this pipe. */
FILE *popen(const char *command, const char *mode)
{
    int ends[2];
    bool reading = strchr(mode, 'r') != NULL;
    if (reading == (strchr(mode, 'w') != NULL) || strspn(mode, "rwe") != strlen(mode)) {
        errno = EINVAL;
        return NULL;
    }
    struct pipe_child *child = malloc(sizeof *child);
    if (child == NULL || pipe2(ends, O_CLOEXEC) != 0) {
        free(child);
        return NULL;
    }
    int error = open_piped(child, command, reading, ends[reading ? 0 : 1], ends[reading ? 1 : 0]);
    close(ends[reading ? 1 : 0]);
    if (error != 0) {
        free(child);
        errno = error;
        return NULL;
    }
    remember(child);
    return child->stream;
}

int pclose(FILE *stream)
{
    pthread_mutex_lock(&pipe_lock);
    struct pipe_child **link = &pipe_children;
    while (*link != NULL && (*link)->stream != stream)
        link = &(*link)->next;
    struct pipe_child *child = *link;
    if (child != NULL)
        *link = child->next;
    pthread_mutex_unlock(&pipe_lock);
    if (child == NULL)
        return real_pclose()(stream);
    pid_t pid = child->pid;
    free(child);
    fclose(stream);
    return wait_for(pid);
}
