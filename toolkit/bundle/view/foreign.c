/*
 * Code that a tool takes out of the target's records and would run: what modprobe(8) is told to run in
 * place of loading a module, the verify scripts that rpm(8) finds in its database, and aliases of its options.
 */
#include "view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int rpmluaRunScript(void *lua, const char *script, const char *name, const char *options, void *arguments);
int poptReadDefaultConfig(void *context, int use_environment);

VIEW_REAL(rpmluaRunScript)

bool view_runs_foreign_commands(void)
{
    return strcmp(program_invocation_short_name, "modprobe") == 0;
}

/*
 * A script of a package is called "%KIND(PACKAGE)" (rpm's lib/rpmscript.c), Lua in rpm's own macros never. Those
 * for a shell fail by themselves: they are to be written to a temporary file, for which there is no place.
 */
int rpmluaRunScript(void *lua, const char *script, const char *name, const char *options, void *arguments)
{
    if (name == NULL || name[0] != '%')
        return real_rpmluaRunScript()(lua, script, name, options, arguments);
    dprintf(2, "error: %s is not run: it is code of the target\n", name);
    return -1;
}

/* Reads /etc/popt and ~/.popt (popt(3)), where "--version" may mean "--eval %(COMMAND)". */
int poptReadDefaultConfig(void *context, int use_environment)
{
    (void)context;
    (void)use_environment;
    return 0;
}
