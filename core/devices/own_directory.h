/*
 * The directory on the host that holds one guest's own files. Every name is resolved beneath it by openat2() with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, and nothing but a regular file is ever opened.
 */
#ifndef MH_CORE_DEVICES_OWN_DIRECTORY_H
#define MH_CORE_DEVICES_OWN_DIRECTORY_H

#include <stdbool.h>

/*
 * Make `parent` and `name` in it where they do not exist, open the latter and lock it for this process.
 * Returns a descriptor, or minus an errno: -EWOULDBLOCK when another process holds the lock.
 */
int own_directory_open(const char *parent, const char *name);

/* Replace `name` by a new empty file. Returns a descriptor for reading and writing, or minus an errno. */
int own_directory_create(int directory, const char *name);

/* Open a file that is there. Returns a descriptor, or minus an errno: -EACCES for anything but a regular file. */
int own_directory_reopen(int directory, const char *name, bool for_writing);

#endif
