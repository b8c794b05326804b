/*
 * The directory of --files-dir, held while the process is confined to it. Landlock allows only what exists when it is
 * put in force, so the directory is made then; when no guest has written, it goes again.
 */
#ifndef MH_TOOL_FILES_DIR_H
#define MH_TOOL_FILES_DIR_H

#include <stdbool.h>

struct files_dir {
    const char *path;
    int fd;    /* -1: not held */
    bool made; /* by us */
};

/* Make the directory if it is missing, and keep other runs from removing it. One that cannot be had is not held: the
 * first guest that writes hears why. `path` must outlive the hold. */
void files_dir_hold(struct files_dir *dir, const char *path);

/* Let go; remove a directory we made that is empty and that no other run holds. Harmless when it is not held. */
void files_dir_release(struct files_dir *dir);

#endif
