/*
 * Which file is really started when a program asks for another one. Commands of profiles name tools by
 * the target's paths (/bin/sh, /sbin/sysctl), which are absent there or, the mounts being noexec, refused:
 * a tool of the bundle stands in, in command position only. Everything here may run in a child of
 * vfork(2): no allocation, no lock, bounded stack.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where a command is looked for even in a target that has no such directory. */
static const char *const program_places[] = {
    "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/",
};

/* There for the engines: a question such as "python3 --version" is about the target's, never about these. */
static bool is_engine(const char *name)
{
    return view_starts(name, "python") || view_starts(name, "ruby") || strcmp(name, "oscap") == 0;
}

static bool in_bundle_bin(const char *name, char out[PATH_MAX])
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX || name[0] == '.')
        return false;
    memcpy(stpcpy(out, VIEW_BIN), name, length + 1);
    int saved = errno;
    bool found = syscall(SYS_faccessat, AT_FDCWD, out, F_OK) == 0;
    errno = saved;
    return found;
}

bool view_is_tool(const char *name)
{
    char path[PATH_MAX];
    return !is_engine(name) && in_bundle_bin(name, path);
}

/* A file that a target without our noexec could start. */
bool view_executable(int dirfd, const char *path, int at_flags)
{
    struct statx file;
    int saved = errno;
    bool found = statx(dirfd, path, at_flags, STATX_TYPE | STATX_MODE, &file) == 0 && S_ISREG(file.stx_mode)
        && (file.stx_mode & 0111) != 0;
    errno = saved;
    return found;
}

static bool in_program_place(const char *path, const char *name)
{
    size_t length = (size_t)(name - path);
    for (size_t i = 0; i < sizeof program_places / sizeof *program_places; i++)
        if (strlen(program_places[i]) == length && memcmp(program_places[i], path, length) == 0)
            return true;
    return false;
}

/* Splits "#!interpreter [option]" (execve(2)); text is changed. */
static bool first_line(char *text, char **interpreter, char **option)
{
    char *end = strpbrk(text, "\n");
    if (!view_starts(text, "#!") || end == NULL)
        return false;
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    *interpreter = text + 2 + strspn(text + 2, " \t");
    *option = *interpreter + strcspn(*interpreter, " \t");
    if (**option != '\0') {
        *(*option)++ = '\0';
        *option += strspn(*option, " \t");
    }
    return **interpreter == '/';
}

/*
 * A script inside the bundle is started through the bundle's interpreter of the name in its first
 * line: the one that it names is the target's, and on the noexec mounts the kernel starts none.
 */
static void map_script(const char *path, struct view_program *program)
{
    char text[256], *interpreter, *option;
    if (!view_executable(AT_FDCWD, path, 0) || view_read_start(path, text, sizeof text) < 3)
        return;
    if (!first_line(text, &interpreter, &option))
        return;
    if (!view_in_scratch(path) && view_in_bundle(interpreter))
        return;
    if (strcmp(view_last(interpreter), "env") == 0 && strpbrk(option, " \t=-") == NULL
        && in_bundle_bin(option, program->path)) {
        interpreter = option;
        option += strlen(option);
    } else if (!in_bundle_bin(view_last(interpreter), program->path)) {
        strcpy(program->path, program->file);
        return;
    }
    strcpy(program->interpreter, interpreter);
    strcpy(program->option, option);
    program->script = true;
}

/* False when the path is to be started as it is. */
static bool map(const char *path, struct view_program *program)
{
    char absolute[PATH_MAX];
    program->script = false;
    if (!view_absolute(AT_FDCWD, path, absolute))
        return false;
    if (view_in_bundle(absolute)) {
        strcpy(program->file, path);
    } else {
        const char *name = view_last(absolute);
        if (!view_is_tool(name))
            return false;
        if (!in_program_place(absolute, name) && !view_executable(AT_FDCWD, path, 0))
            return false;
        (void)in_bundle_bin(name, program->file);
        strcpy(absolute, program->file);
    }
    strcpy(program->path, program->file);
    map_script(absolute, program);
    return true;
}

/*
 * bash looks for a command in PATH, which is the target's, by itself; what it does not find there it
 * hands to this function. It runs in a child of its own (bash(1), COMMAND EXECUTION).
 */
#define HANDLER_NAME "BASH_FUNC_command_not_found_handle%%="
static const char handler[] = HANDLER_NAME
    "() {  case $1 in python*|ruby*|oscap) ;;\n"
    " *) [[ -f " VIEW_BIN "$1 ]] && exec -a \"$1\" \"" VIEW_BIN "$1\" \"${@:2}\" ;;\n"
    " esac\n"
    " printf '%s: line %s: %s: command not found\\n' \"$0\" \"${BASH_LINENO[0]}\" \"$1\" >&2\n"
    " return 127\n"
    "}";

enum { MOST_VARIABLES = 16384 }; /* 128 KiB of stack; an environment beyond that is left as it is */

static int start_with_handler(const char *path, char *const argv[], char *const envp[], view_starter *start,
                              void *context)
{
    size_t count = 0;
    const char *name = view_last(path);
    bool shell = view_starts(path, VIEW_BIN) && (strcmp(name, "bash") == 0 || strcmp(name, "sh") == 0);
    for (; shell && envp != NULL && envp[count] != NULL; count++)
        if (view_starts(envp[count], HANDLER_NAME))
            shell = false;
    if (!shell || count > MOST_VARIABLES)
        return start(path, argv, envp, context);
    char *extended[count + 2];
    if (count > 0)
        memcpy(extended, envp, count * sizeof *envp);
    extended[count] = (char *)(uintptr_t)handler;
    extended[count + 1] = NULL;
    return start(path, argv, extended, context);
}

enum { MOST_ARGUMENTS = 65536 };

static int start_script(struct view_program *program, char *const argv[], char *const envp[],
                        view_starter *start, void *context)
{
    size_t count = 0, used = 0;
    while (argv != NULL && argv[count] != NULL)
        count++;
    if (count > MOST_ARGUMENTS)
        return start(program->file, argv, envp, context);
    char *arguments[count + 4];
    arguments[used++] = program->interpreter;
    if (program->option[0] != '\0')
        arguments[used++] = program->option;
    arguments[used++] = program->file;
    for (size_t i = 1; i < count; i++)
        arguments[used++] = argv[i];
    arguments[used] = NULL;
    return start_with_handler(program->path, arguments, envp, start, context);
}

/* Calls start with what is to be started in place of path (which has a slash in it, or is of the current directory). */
int view_start(const char *path, char *const argv[], char *const envp[], view_starter *start, void *context)
{
    struct view_program program;
    if (path == NULL || !map(path, &program))
        return start(path, argv, envp, context);
    if (program.script)
        return start_script(&program, argv, envp, start, context);
    return start_with_handler(program.path, argv, envp, start, context);
}
