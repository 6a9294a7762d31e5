/* Finds the definitions that ours stand in front of (dlsym(3), RTLD_NEXT). */
#include "view.h"

#include <dlfcn.h>
#include <errno.h>

/* In place of a function that this C library does not have. */
static long missing(void)
{
    errno = ENOSYS;
    return -1;
}

/* Threads may race here: all of them find the same address. */
uintptr_t view_resolve(_Atomic(uintptr_t) *slot, const char *name)
{
    uintptr_t address = atomic_load_explicit(slot, memory_order_relaxed);
    if (address == 0) {
        int saved = errno;
        address = (uintptr_t)dlsym(RTLD_NEXT, name);
        if (address == 0)
            address = (uintptr_t)missing;
        atomic_store_explicit(slot, address, memory_order_relaxed);
        errno = saved;
    }
    return address;
}
