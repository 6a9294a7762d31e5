/*
 * Commands that a signal ended. Root of the target may kill one of ours, and what a shell makes of that is
 * "not found": so whoever waits for a child notes how it ended, and whoever sends a signal notes that, by which
 * a profile's own kill(1) is told apart. SIGPIPE ends a writer in a pipeline every day: who gets it tells whether
 * it was the kernel's, whose sender is the process itself.
 *
 * The kernel is called directly: dlsym(3) is not safe in the signal handlers from which shells wait.
 */
#include "view.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void note_end(pid_t pid, int number)
{
    if (pid > 0 && number != SIGPIPE)
        view_note("killed", pid, number);
}

pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    int own;
    if (status == NULL)
        status = &own;
    pid_t ended = (pid_t)syscall(SYS_wait4, pid, status, options, usage);
    if (ended > 0 && WIFSIGNALED(*status))
        note_end(ended, WTERMSIG(*status));
    return ended;
}

pid_t wait3(int *status, int options, struct rusage *usage)
{
    return wait4(-1, status, options, usage);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    return wait4(pid, status, options, NULL);
}

pid_t wait(int *status)
{
    return wait4(-1, status, 0, NULL);
}

pid_t __waitpid(pid_t pid, int *status, int options) __attribute__((alias("waitpid")));
pid_t __wait(int *status) __attribute__((alias("wait")));

int waitid(idtype_t kind, id_t id, siginfo_t *about, int options)
{
    siginfo_t own = {0};
    if (about == NULL)
        about = &own;
    int result = (int)syscall(SYS_waitid, kind, id, about, options, NULL);
    if (result == 0 && (about->si_code == CLD_KILLED || about->si_code == CLD_DUMPED))
        note_end(about->si_pid, about->si_status);
    return result;
}

/*
 * Not what a program sends to itself: it may be passing on what ended it, as shells do; but nobody passes on
 * SIGKILL. To several: `all`, with the sender, who is not meant himself.
 */
static void note_sending(pid_t pid, int number)
{
    pid_t self = view_self();
    if (number <= 0 || (pid == self && number != SIGKILL))
        return;
    view_note(pid > 0 ? "sent" : "all", pid > 0 ? pid : self, number);
}

int kill(pid_t pid, int number)
{
    note_sending(pid, number);
    return (int)syscall(SYS_kill, pid, number);
}

VIEW_REAL(killpg)
VIEW_REAL(sigqueue)

int killpg(pid_t group, int number)
{
    note_sending(0, number);
    return real_killpg()(group, number);
}

int sigqueue(pid_t pid, int number, const union sigval value)
{
    note_sending(pid, number);
    return real_sigqueue()(pid, number, value);
}

VIEW_REAL(sigaction)
VIEW_REAL(signal)

/* In place of SIG_DFL. SA_RESETHAND has restored that before, and SA_NODEFER lets the signal in at once. */
static void end_by_pipe(int number, siginfo_t *about, void *context)
{
    (void)context;
    if (about->si_code != SI_USER || about->si_pid != view_self())
        view_note("killed", view_self(), number);
    (void)syscall(SYS_tgkill, view_self(), (pid_t)syscall(SYS_gettid), number);
}

/* Nothing of it is kept in memory, which a child of vfork(2) shares: it sets SIG_DFL for itself alone. */
static int watch_pipe(const struct sigaction *action, struct sigaction *before)
{
    struct sigaction watch = {.sa_sigaction = end_by_pipe, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
    sigemptyset(&watch.sa_mask);
    if (action != NULL && !(action->sa_flags & SA_SIGINFO) && action->sa_handler == SIG_DFL)
        action = &watch;
    int result = real_sigaction()(SIGPIPE, action, before);
    if (result == 0 && before != NULL && before->sa_sigaction == end_by_pipe) {
        before->sa_handler = SIG_DFL;
        before->sa_flags = 0;
    }
    return result;
}

int sigaction(int number, const struct sigaction *restrict action, struct sigaction *restrict before)
{
    return number == SIGPIPE ? watch_pipe(action, before) : real_sigaction()(number, action, before);
}

sighandler_t signal(int number, sighandler_t handler)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
    if (number != SIGPIPE)
        return real_signal()(number, handler);
    sigemptyset(&action.sa_mask);
    return watch_pipe(&action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

/* Before `begin` (notes.c) says that the program has begun: from then on no signal may go unseen. */
__attribute__((constructor(101))) static void watch(void)
{
    struct sigaction action;
    if (watch_pipe(NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL)
        (void)watch_pipe(&action, NULL);
}
