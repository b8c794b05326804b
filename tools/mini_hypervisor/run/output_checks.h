/* Checks of the paths that the command line names for output, made before anything is opened or created. */
#ifndef MH_TOOL_OUTPUT_CHECKS_H
#define MH_TOOL_OUTPUT_CHECKS_H

#include "options/options.h"

/* Refuse output that would overwrite an image, a shared file or other output, and a --files-dir that is no directory.
 * MH_OK, MH_ERR_USAGE with what to change, or MH_ERR_HOST without memory. */
enum mh_status output_checks(const struct options *options, struct mh_error *err);

/* Create the directory for core files, unless it exists, and make sure that files can be created in it: when a guest
 * crashes it would be too late. `path` may be NULL. MH_OK, or MH_ERR_IO. */
enum mh_status output_make_core_directory(const char *path, struct mh_error *err);

#endif
