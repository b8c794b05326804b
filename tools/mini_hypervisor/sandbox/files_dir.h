/*
 * The directory of --files-dir, held while the process is confined to it. Landlock allows only what exists when it is
 * enabled, so the directory is created then, and removed at the end when no guest has written.
 */
#ifndef MH_TOOL_FILES_DIR_H
#define MH_TOOL_FILES_DIR_H

#include <stdbool.h>

struct files_dir {
    const char *path;
    int fd;    /* -1: not held */
    bool made; /* by this process */
};

/* Create the directory if it is missing, and keep other runs from removing it. When that fails it is not held: the
 * first guest that writes gets the error. `path` must outlive the hold. */
void files_dir_hold(struct files_dir *dir, const char *path);

/* Release it, and remove it if this process made it, it is empty and no other run holds it. Harmless when not held. */
void files_dir_release(struct files_dir *dir);

#endif
