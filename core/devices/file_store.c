#include "devices/file_store.h"

#include "devices/own_directory.h"
#include "devices/shared_files.h"
#include "mh/guest_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_CHUNK (1u << 20)

void file_store_init(struct file_store *store, const struct mh_vm_config *config, const atomic_uint *stop)
{
    *store = (struct file_store){
        .shared = config->shared,
        .parent = config->files_parent,
        .directory_name = config->files_name,
        .directory = -1,
        .limits = config->limits,
        .stop = stop,
        .notice = config->notice,
        .notice_ctx = config->notice_ctx,
    };
}

static void release(struct open_file *file)
{
    if (file->fd >= 0 && file->own != NULL)
        close(file->fd);
    file->fd = -1;
}

void file_store_clear(struct file_store *store)
{
    for (size_t i = 0; store->open != NULL && i < store->limits.open_files; i++)
        release(&store->open[i]);
    for (size_t i = 0; i < store->own_count; i++) {
        free(store->own[i].name);
        file_copy_release(store->own[i].copy);
    }
    store->own_count = 0;
}

void file_store_destroy(struct file_store *store)
{
    file_store_clear(store);
    free(store->open);
    free(store->own);
    if (store->directory >= 0)
        close(store->directory);
}

/* The guest's error number for a failure on the host. */
static int64_t guest_error(int host_errno)
{
    switch (host_errno) {
    case ENOENT:
        return -MH_ENOENT;
    case ENOSPC:
    case EDQUOT:
        return -MH_ENOSPC;
    case EFBIG:
        return -MH_EFBIG;
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV:
    case EISDIR:
    case ENOTDIR:
    case EROFS:
        return -MH_EACCES;
    case EMFILE:
    case ENFILE:
        return -MH_EMFILE;
    default:
        return -MH_EIO;
    }
}

static void notice_once(struct file_store *store, const char *what, int error)
{
    if (store->noticed || store->notice == NULL)
        return;
    store->noticed = true;
    char text[512];
    snprintf(text, sizeof text, "%s '%s/%s': %s", what, store->parent, store->directory_name,
             error == EWOULDBLOCK ? "another run is using it; give this one its own --files-dir" : strerror(error));
    store->notice(store->notice_ctx, text);
}

int file_store_need_directory(struct file_store *store)
{
    if (store->directory >= 0)
        return 0;
    int directory = own_directory_open(store->parent, store->directory_name);
    if (directory < 0) {
        notice_once(store, "cannot use the guest's directory", -directory);
        return directory;
    }
    store->directory = directory;
    return 0;
}

static struct own_file *find_own(const struct file_store *store, const char *name)
{
    for (size_t i = 0; i < store->own_count; i++) {
        if (strcmp(store->own[i].name, name) == 0)
            return &store->own[i];
    }
    return NULL;
}

struct own_file *file_store_add_own(struct file_store *store, const char *name)
{
    if (store->own == NULL)
        store->own = calloc(FILE_STORE_NAMES_MAX, sizeof *store->own);
    char *copy = strdup(name);
    if (store->own == NULL || copy == NULL) {
        free(copy);
        return NULL;
    }
    store->own[store->own_count] = (struct own_file){.name = copy};
    return &store->own[store->own_count++];
}

/* A file is about to be changed: its copy is no longer current. */
static void forget_copy(struct own_file *own)
{
    file_copy_release(own->copy);
    own->copy = NULL;
}

static uint64_t may_still_write(const struct file_store *store)
{
    return store->written < store->limits.bytes_written ? store->limits.bytes_written - store->written : 0;
}

/* One step of a copy: the kernel's own way, which shares blocks where the file system can, else through memory. */
static ssize_t copy_step(int from, int to, off_t position)
{
    off_t in = position, out = position;
    ssize_t moved = copy_file_range(from, &in, to, &out, COPY_CHUNK, 0);
    if (moved >= 0 || (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP))
        return moved;
    char buffer[4096];
    ssize_t got = pread(from, buffer, sizeof buffer, position);
    return got <= 0 ? got : pwrite(to, buffer, (size_t)got, position);
}

static int64_t copy_contents(struct file_store *store, int from, int to)
{
    off_t position = 0;
    for (;;) {
        if (atomic_load(store->stop))
            return -MH_EIO;
        ssize_t moved = copy_step(from, to, position);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved <= 0)
            return moved == 0 ? 0 : guest_error(errno);
        if ((uint64_t)moved > may_still_write(store))
            return -MH_EDQUOT;
        store->written += (uint64_t)moved;
        position += moved;
    }
}

static int64_t guest_result(int result)
{
    return result < 0 ? guest_error(-result) : result;
}

/* A copy that gets its name when it is complete: this process may be killed at any time. Returns a host descriptor. */
static int64_t copy_own(struct file_store *store, const char *name, int original)
{
    int fd = own_directory_begin(store->directory);
    if (fd < 0)
        return guest_error(-fd);
    int64_t result = copy_contents(store, original, fd);
    if (result == 0)
        result = guest_result(own_directory_name(store->directory, fd, name));
    if (result == 0)
        return fd;
    own_directory_forget(store->directory);
    close(fd);
    return result;
}

/* Make the guest's own file `name`, empty or as a copy of `original` (-1: none), after which something may still be
 * written. Returns a host descriptor. */
static int64_t make_own(struct file_store *store, const char *name, int original)
{
    if (store->own_count == FILE_STORE_NAMES_MAX)
        return -MH_EDQUOT;
    int failed = file_store_need_directory(store);
    if (failed < 0)
        return failed == -ENOENT ? -MH_EIO : guest_error(-failed); /* it is not the guest's file that is missing */
    struct stat info;
    if (original >= 0 && fstat(original, &info) != 0)
        return guest_error(errno);
    if (original >= 0 && (uint64_t)info.st_size >= may_still_write(store))
        return -MH_EDQUOT;
    int64_t fd =
        original < 0 ? guest_result(own_directory_create(store->directory, name)) : copy_own(store, name, original);
    if (fd < 0)
        return fd;
    int64_t result = file_store_add_own(store, name) != NULL ? 0 : -MH_EIO;
    if (result < 0) {
        unlinkat(store->directory, name, 0);
        close((int)fd);
        return result;
    }
    return fd;
}

static int64_t open_own(struct file_store *store, struct own_file *own, uint32_t flags)
{
    int fd = own_directory_reopen(store->directory, own->name, (flags & MH_O_WRITE) != 0);
    /* removed on the host: created again, as any that is missing */
    bool is_made_again = fd == -ENOENT && (flags & (MH_O_WRITE | MH_O_CREATE)) != 0;
    if (is_made_again)
        fd = own_directory_create(store->directory, own->name);
    if (fd < 0)
        return guest_error(-fd);
    if ((flags & MH_O_TRUNCATE) == 0 && !is_made_again)
        return fd;
    forget_copy(own);
    if (ftruncate(fd, 0) != 0) {
        int error = errno;
        close(fd);
        return guest_error(error);
    }
    return fd;
}

/* Returns a host descriptor, or minus an enum mh_file_error; *own is the guest's own file, NULL when it is shared. */
static int64_t open_on_host(struct file_store *store, const char *name, uint32_t flags, struct own_file **own)
{
    *own = find_own(store, name);
    if (*own != NULL)
        return open_own(store, *own, flags);
    int shared = shared_files_find(store->shared, name);
    if (shared >= 0 && (flags & MH_O_TRUNCATE) == 0)
        return shared; /* copied when it is written to */
    if ((flags & (MH_O_WRITE | MH_O_CREATE)) == 0)
        return -MH_ENOENT;
    int64_t fd = make_own(store, name, -1);
    if (fd >= 0)
        *own = &store->own[store->own_count - 1];
    return fd;
}

void file_store_list(const struct file_store *store, void (*told)(void *ctx, const char *name, int64_t size), void *ctx)
{
    for (size_t i = 0; i < store->own_count; i++) {
        struct stat info;
        int result = fstatat(store->directory, store->own[i].name, &info, AT_SYMLINK_NOFOLLOW);
        told(ctx, store->own[i].name, result == 0 ? info.st_size : -1);
    }
}

int file_store_open_on_host(const struct file_store *store, const char *name)
{
    if (find_own(store, name) != NULL)
        return own_directory_reopen(store->directory, name, false);
    int shared = shared_files_find(store->shared, name);
    if (shared < 0)
        return -ENOENT;
    int copy = fcntl(shared, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : copy;
}

int file_store_need_open(struct file_store *store)
{
    if (store->open != NULL)
        return 0;
    store->open = calloc(store->limits.open_files, sizeof *store->open);
    if (store->open == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < store->limits.open_files; i++)
        store->open[i].fd = -1;
    return 0;
}

static struct open_file *free_slot(struct file_store *store)
{
    for (size_t i = 0; file_store_need_open(store) == 0 && i < store->limits.open_files; i++) {
        if (store->open[i].fd < 0)
            return &store->open[i];
    }
    return NULL;
}

static bool flags_make_sense(uint32_t flags)
{
    if ((flags & ~(uint32_t)MH_O_ALL) != 0 || (flags & (MH_O_READ | MH_O_WRITE)) == 0)
        return false;
    return (flags & MH_O_WRITE) != 0 || (flags & (MH_O_TRUNCATE | MH_O_APPEND)) == 0;
}

int64_t file_store_open(struct file_store *store, const char *name, size_t length, uint32_t flags)
{
    if (!flags_make_sense(flags))
        return -MH_EINVAL;
    if (length > MH_FILE_STREAM_MAX) /* the byte-at-a-time path keeps no more of a name */
        return -MH_ENAMETOOLONG;
    while (length > 2 && name[0] == '.' && name[1] == '/') {
        name += 2;
        length -= 2;
    }
    if (length > MH_FILE_NAME_MAX)
        return -MH_ENAMETOOLONG;
    if (!file_name_is_allowed(name, length))
        return length == 0 ? -MH_ENOENT : -MH_EACCES;
    char text[MH_FILE_NAME_MAX + 1];
    memcpy(text, name, length);
    text[length] = '\0';
    struct open_file *file = free_slot(store);
    if (file == NULL)
        return -MH_EMFILE;
    struct own_file *own;
    int64_t fd = open_on_host(store, text, flags, &own);
    if (fd < 0)
        return fd;
    *file = (struct open_file){.fd = (int)fd, .own = own, .flags = flags};
    return file - store->open;
}

static struct open_file *find_open(const struct file_store *store, int32_t fd)
{
    if (store->open == NULL || fd < 0 || (uint32_t)fd >= store->limits.open_files || store->open[fd].fd < 0)
        return NULL;
    return &store->open[fd];
}

const char *file_store_name(const struct file_store *store, int32_t fd)
{
    const struct open_file *file = find_open(store, fd);
    if (file == NULL)
        return "";
    return file->own != NULL ? file->own->name : shared_files_name(store->shared, file->fd);
}

void file_store_list_open(const struct file_store *store,
                          void (*told)(void *ctx, const struct file_store_descriptor *descriptor), void *ctx)
{
    for (int32_t fd = 0; store->open != NULL && (uint32_t)fd < store->limits.open_files; fd++) {
        const struct open_file *file = find_open(store, fd);
        struct stat info;
        if (file == NULL)
            continue;
        const struct file_store_descriptor descriptor = {
            .fd = fd,
            .name = file_store_name(store, fd),
            .flags = file->flags,
            .position = file->position,
            .size = fstat(file->fd, &info) == 0 ? info.st_size : -1,
            .is_shared = file->own == NULL,
        };
        told(ctx, &descriptor);
    }
}

int64_t file_store_close(struct file_store *store, int32_t fd)
{
    struct open_file *file = find_open(store, fd);
    if (file == NULL)
        return -MH_EBADF;
    release(file);
    return 0;
}

/* Open for writing, and still the shared file: not written to yet, as far as this descriptor knows. */
static bool is_uncopied(const struct open_file *file)
{
    return file->own == NULL && (file->flags & MH_O_WRITE) != 0;
}

/* If the guest has its own copy by now, a descriptor that may write refers to the copy. */
static int64_t follow_copy(struct file_store *store, struct open_file *file)
{
    if (!is_uncopied(file))
        return 0;
    struct own_file *own = find_own(store, shared_files_name(store->shared, file->fd));
    if (own == NULL)
        return 0;
    int64_t fd = open_own(store, own, MH_O_WRITE);
    if (fd < 0)
        return fd;
    file->fd = (int)fd;
    file->own = own;
    return 0;
}

/* The first write to a shared file: make the guest's own copy. */
static int64_t copy_to_write(struct file_store *store, struct open_file *file)
{
    if (!is_uncopied(file))
        return 0;
    int64_t fd = make_own(store, shared_files_name(store->shared, file->fd), file->fd);
    if (fd < 0)
        return fd;
    file->fd = (int)fd;
    file->own = &store->own[store->own_count - 1];
    return 0;
}

static int64_t host_source(void *source_ctx, void *to, size_t length)
{
    struct open_file *file = source_ctx;
    const uint64_t room = (uint64_t)INT64_MAX - file->position; /* the kernel refuses to look past the last position */
    ssize_t got;
    do {
        got = pread(file->fd, to, length < room ? length : (size_t)room, (off_t)file->position);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? guest_error(errno) : got;
}

int64_t file_store_read(struct file_store *store, int32_t fd, void *to, size_t length, struct input_log *inbound)
{
    struct open_file *file = find_open(store, fd);
    if (file == NULL || (file->flags & MH_O_READ) == 0)
        return -MH_EBADF;
    int64_t got = follow_copy(store, file);
    if (got < 0)
        return got;
    got = inbound == NULL ? host_source(file, to, length) : input_log_fill(inbound, to, length, host_source, file);
    if (got > 0)
        file->position += (uint64_t)got;
    return got;
}

static int64_t host_size(const struct open_file *file)
{
    struct stat info;
    return fstat(file->fd, &info) != 0 ? guest_error(errno) : info.st_size;
}

int64_t file_store_write(struct file_store *store, int32_t fd, const void *from, size_t length)
{
    struct open_file *file = find_open(store, fd);
    if (file == NULL || (file->flags & MH_O_WRITE) == 0)
        return -MH_EBADF;
    int64_t result = follow_copy(store, file);
    if (result < 0)
        return result;
    if ((file->flags & MH_O_APPEND) != 0) {
        int64_t end = host_size(file);
        if (end < 0)
            return end;
        file->position = (uint64_t)end;
    }
    if (length == 0)
        return 0;
    if (may_still_write(store) == 0)
        return -MH_EDQUOT;
    if (file->position >= store->limits.bytes_written)
        return -MH_EFBIG;
    result = copy_to_write(store, file);
    if (result < 0)
        return result;
    uint64_t room = store->limits.bytes_written - file->position;
    uint64_t allowed = room < may_still_write(store) ? room : may_still_write(store);
    ssize_t put;
    forget_copy(file->own);
    do {
        put = pwrite(file->fd, from, length < allowed ? length : (size_t)allowed, (off_t)file->position);
    } while (put < 0 && errno == EINTR);
    if (put < 0)
        return guest_error(errno);
    store->written += (uint64_t)put;
    file->position += (uint64_t)put;
    return put;
}

int64_t file_store_seek(struct file_store *store, int32_t fd, uint32_t whence, int64_t offset)
{
    struct open_file *file = find_open(store, fd);
    if (file == NULL)
        return -MH_EBADF;
    int64_t base = follow_copy(store, file);
    if (base < 0)
        return base;
    if (whence == MH_SEEK_CUR)
        base = (int64_t)file->position;
    else if (whence == MH_SEEK_END)
        base = host_size(file);
    else if (whence != MH_SEEK_SET)
        return -MH_EINVAL;
    if (base < 0)
        return base;
    int64_t position;
    if (__builtin_add_overflow(base, offset, &position) || position < 0)
        return -MH_EINVAL;
    file->position = (uint64_t)position;
    return position;
}

int64_t file_store_size(struct file_store *store, int32_t fd)
{
    struct open_file *file = find_open(store, fd);
    if (file == NULL)
        return -MH_EBADF;
    int64_t result = follow_copy(store, file);
    return result < 0 ? result : host_size(file);
}
