/* An archive of files in memory, as Linux unpacks it into its first file system (cpio, "newc"). */
#ifndef MH_TOOL_ANYWHERE_ARCHIVE_H
#define MH_TOOL_ANYWHERE_ARCHIVE_H

#include "mh/status.h"

#include <stddef.h>
#include <stdio.h>

/* Add a directory, or a file with these contents. What fails is seen when `to` is closed. */
void archive_add_directory(FILE *to, const char *name);
void archive_add(FILE *to, const char *name, const void *contents, size_t length);

/* Add what the file at `path` holds. MH_OK, or MH_ERR_HOST when it cannot be read. */
enum mh_status archive_add_file(FILE *to, const char *name, const char *path, struct mh_error *err);

/* What every archive ends with. */
void archive_finish(FILE *to);

#endif
