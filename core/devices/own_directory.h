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

/*
 * A file that is to have its whole contents before it has a name: own_directory_begin() makes an empty one and returns
 * a descriptor for reading and writing, own_directory_name() puts it in the place of `name`. Whatever ends the process
 * between the two, no part of a file is found under `name`; and nothing at all is left where the file system has files
 * without a name. On others one is left that no guest can name, and own_directory_open() removes it.
 * Both return minus an errno on failure; after one of own_directory_name() there is no file called `name`. Begin one at
 * a time, and give up with own_directory_forget().
 */
int own_directory_begin(int directory);
int own_directory_name(int directory, int fd, const char *name);
void own_directory_forget(int directory);

/* Open an existing file. Returns a descriptor, or minus an errno: -EACCES for anything but a regular file. */
int own_directory_reopen(int directory, const char *name, bool for_writing);

#endif
