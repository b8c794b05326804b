/*
 * The files one guest may reach: those shared with all (read only), and its own, in a directory of its own. Writing to
 * a shared file makes the guest an own copy of it under the same name, which it finds from then on. Descriptors that
 * may write to the file lead to the copy as soon as there is one; those that may only read still read the original.
 *
 * At the start of a run a guest has no files of its own: what an earlier run left in the directory is not seen, and
 * replaced when the guest makes a file of that name. The directory itself is made when it is first needed.
 *
 * All calls return a value >= 0, or minus an enum mh_file_error.
 */
#ifndef MH_CORE_DEVICES_FILE_STORE_H
#define MH_CORE_DEVICES_FILE_STORE_H

#include "devices/file_copy.h"
#include "devices/input_log.h"
#include "mh/vm.h"

#include <stdatomic.h>

#define FILE_STORE_OPEN_MAX 1024u
#define FILE_STORE_NAMES_MAX 1024u /* own files a guest may make */

/* A file the guest made. */
struct own_file {
    char *name;
    struct file_copy *copy; /* what it holds, for snapshots; NULL when it was changed since, or never copied */
};

struct open_file {
    int fd;               /* on the host; -1: free */
    struct own_file *own; /* NULL: a shared one, whose descriptor belongs to the set; also when it is open for writing
                             and has not been written to */
    uint32_t flags;
    uint64_t position;
};

struct file_store {
    const struct mh_shared_files *shared;
    const char *parent;
    const char *directory_name;
    int directory; /* descriptor of this VM's directory, locked; -1 until it is needed */
    struct mh_file_limits limits;
    uint64_t written;       /* bytes written or copied so far */
    struct open_file *open; /* limits.open_files of them, NULL until the first is opened */
    struct own_file *own;   /* FILE_STORE_NAMES_MAX of them, NULL until there is one */
    size_t own_count;
    const atomic_uint *stop; /* breaks off long copies */
    void (*notice)(void *ctx, const char *text);
    void *notice_ctx;
    bool noticed;
};

void file_store_init(struct file_store *store, const struct mh_vm_config *config, const atomic_uint *stop);
void file_store_destroy(struct file_store *store);

/* Close all files, and forget the guest's own files; the contents of its directory remain. */
void file_store_clear(struct file_store *store);

/* Open the directory, and create it if necessary: 0, or minus an errno. */
int file_store_need_directory(struct file_store *store);

/* Have `open` there, all free: 0 or -ENOMEM. */
int file_store_need_open(struct file_store *store);

/* Append to the list of own files, which has space; its name is copied. NULL without memory. */
struct own_file *file_store_add_own(struct file_store *store, const char *name);

/* Call `told` for each of the guest's own files, with its size in bytes, -1 when that is not known. */
void file_store_list(const struct file_store *store, void (*told)(void *ctx, const char *name, int64_t size),
                     void *ctx);

/* A file that the guest has open, for a debugger. */
struct file_store_descriptor {
    int32_t fd;       /* the guest's */
    const char *name; /* as long as the file store is not cleared */
    uint32_t flags;   /* MH_O_* */
    uint64_t position;
    int64_t size;   /* in bytes, -1 when it is not known */
    bool is_shared; /* one that all machines may read, not the guest's own */
};

/* Call `told` for each file that the guest has open, the lowest descriptor first. */
void file_store_list_open(const struct file_store *store,
                          void (*told)(void *ctx, const struct file_store_descriptor *descriptor), void *ctx);

/* For a debugger: a host descriptor for reading what the guest finds under `name`, or minus an errno. */
int file_store_open_on_host(const struct file_store *store, const char *name);

/* The guest's name of the file open as `fd`; "" if there is none. Valid until the file store is cleared. */
const char *file_store_name(const struct file_store *store, int32_t fd);

/* `name` need not end in a NUL and may hold any bytes. Returns a descriptor, the lowest that is free. */
int64_t file_store_open(struct file_store *store, const char *name, size_t length, uint32_t flags);
int64_t file_store_close(struct file_store *store, int32_t fd);
/* The bytes enter the guest through `inbound`; NULL: they do not enter it yet. */
int64_t file_store_read(struct file_store *store, int32_t fd, void *to, size_t length, struct input_log *inbound);
int64_t file_store_write(struct file_store *store, int32_t fd, const void *from, size_t length);
int64_t file_store_seek(struct file_store *store, int32_t fd, uint32_t whence, int64_t offset);
int64_t file_store_size(struct file_store *store, int32_t fd);

#endif
