/* The files every guest may read: opened once, read through pread() by all machines. */
#ifndef MH_CORE_DEVICES_SHARED_FILES_H
#define MH_CORE_DEVICES_SHARED_FILES_H

#include "mh/vm.h"

/* The descriptor of the shared file a guest calls `name`, or -1. It belongs to the set. */
int shared_files_find(const struct mh_shared_files *files, const char *name);

/* The name of the shared file with that descriptor, "" when none has it. Lives as long as the set. */
const char *shared_files_name(const struct mh_shared_files *files, int fd);

/* True when `name` is valid: 1 to MH_FILE_NAME_MAX bytes, no '/', no control bytes, not "." or "..". */
bool file_name_is_allowed(const char *name, size_t length);

#endif
