#include "anywhere_confine.h"

#include "confine.h"
#include "serial_ends.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)
#define OVERWRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_FS_TRUNCATE)

/* Where programs' libraries are: the emulator's, and, in its machine, those of mini_hypervisor. */
static const char *const libraries[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache"};

/* Where the emulator was installed: "/opt/qemu" for "/opt/qemu/bin/qemu-system-x86_64". */
static void allow_prefix(struct landlock *landlock, const char *emulator)
{
    char path[PATH_MAX];
    if (realpath(emulator, path) == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash == path)
            break;
        *slash = '\0';
    }
    landlock_allow(landlock, path, RUN);
}

static void allow_emulator(struct landlock *landlock, const char *emulator)
{
    const char *directory = getenv("PATH");
    while (directory != NULL && *directory != '\0') {
        char path[PATH_MAX];
        size_t length = strcspn(directory, ":");
        int size = snprintf(path, sizeof path, "%.*s/%s", (int)length, directory, emulator);
        if (size > 0 && (size_t)size < sizeof path && access(path, X_OK) == 0) {
            allow_prefix(landlock, path);
            return;
        }
        directory += length + (directory[length] == ':');
    }
}

/* Landlock allows only what exists: the file is made now, and emptied when the machine opens it. */
static void allow_output(struct landlock *landlock, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd >= 0)
        close(fd);
    landlock_allow(landlock, path, OVERWRITE);
}

static void allow_serial_file(struct landlock *landlock, const struct options *options, size_t number)
{
    char *path = serial_end_path(options->serial_path, number);
    if (path != NULL) /* without memory whoever opens it is refused */
        allow_output(landlock, path);
    free(path);
}

static void allow_words(struct landlock *landlock, const struct word_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        landlock_allow(landlock, list->words[i], LANDLOCK_ACCESS_FS_READ_FILE);
}

/* What the command line names. */
static void allow_named(struct landlock *landlock, const struct options *options)
{
    allow_words(landlock, &options->guests);
    allow_words(landlock, &options->files);
    landlock_allow(landlock, options->files_dir, CONFINE_KEEP_FILES);
    if (options->core_dir != NULL)
        landlock_allow(landlock, options->core_dir, CONFINE_KEEP_FILES);
    if (options->trace_path != NULL)
        allow_output(landlock, options->trace_path);
    for (size_t i = 1; options->serial == SERIAL_FILE && i <= options->guests.count; i++)
        allow_serial_file(landlock, options, i);
}

int anywhere_confine(const struct options *options, const char *emulator, const char *directory)
{
    struct landlock landlock;
    int abi = landlock_abi();
    if (abi == 0)
        return 0;
    landlock_begin(&landlock, abi);
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++)
        landlock_allow(&landlock, libraries[i], RUN);
    allow_emulator(&landlock, emulator);
    landlock_allow(&landlock, directory, LANDLOCK_ACCESS_FS_READ_FILE);
    landlock_allow(&landlock, "/proc/self/exe", LANDLOCK_ACCESS_FS_READ_FILE); /* runs in the machine too */
    landlock_allow(&landlock, "/", LANDLOCK_ACCESS_FS_READ_DIR); /* 9p begins by opening it: names can be read */
    allow_named(&landlock, options);
    return landlock_enforce(&landlock);
}
