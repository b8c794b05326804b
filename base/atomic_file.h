/* A file that appears under its name when it is whole, or not at all. */
#ifndef MH_CORE_WHOLE_FILE_H
#define MH_CORE_WHOLE_FILE_H

#include <limits.h>

struct atomic_file {
    int directory;           /* the caller's; stays open until the file is finished or abandoned */
    int fd;                  /* what is written to */
    char name[NAME_MAX + 1]; /* what it will be called */
    char part[NAME_MAX + 1]; /* and is called until then */
};

/*
 * Begin a file to be called `name` in `directory`, a single component. What a try that was
 * killed has left under the same name is replaced.
 * Returns 0, or minus an errno (-EINVAL: no such name can be) with nothing to be undone.
 */
int atomic_file_begin(struct atomic_file *file, int directory, const char *name);

/* Give it its name, in the place of what has that name now. Returns 0, or minus an errno and the file is gone. */
int atomic_file_finish(struct atomic_file *file);

/* Remove it. */
void atomic_file_abandon(struct atomic_file *file);

#endif
