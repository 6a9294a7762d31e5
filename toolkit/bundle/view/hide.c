/*
 * Nobody looks through a program of the bundle: a process of the target that may trace others, or whose
 * capabilities include ours, would otherwise reach scratch and bundle through /proc/PID/root, or write in our
 * memory (ptrace(2), "Ptrace access mode checking").
 */
#include "view.h"

#include <sys/prctl.h>

__attribute__((constructor)) static void hide(void)
{
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
