#include "devices/file_snapshot.h"

#include "devices/own_directory.h"
#include "mh/guest_abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARED SIZE_MAX

struct saved_open {
    size_t number; /* the guest's descriptor */
    size_t own;    /* which own file it is, or SHARED */
    int shared_fd; /* SHARED: of the set, which outlives all snapshots */
    uint32_t flags;
    uint64_t position;
};

struct file_snapshot {
    uint64_t written;
    size_t own_count, open_count;
    struct own_file *own;
    struct saved_open *open;
};

static struct file_snapshot *make_snapshot(const struct file_store *store)
{
    struct file_snapshot *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->written = store->written;
    made->own = calloc(store->own_count + 1, sizeof *made->own);
    made->open = calloc(store->limits.open_files, sizeof *made->open);
    if (made->own != NULL && made->open != NULL)
        return made;
    file_snapshot_free(made);
    return NULL;
}

void file_snapshot_free(struct file_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    for (size_t i = 0; i < snapshot->own_count; i++) {
        free(snapshot->own[i].name);
        file_copy_release(snapshot->own[i].copy);
    }
    free(snapshot->own);
    free(snapshot->open);
    free(snapshot);
}

/* Make sure that own->copy is what the file holds now. */
static int bring_copy_up_to_date(const struct file_store *store, struct own_file *own, uint64_t *room)
{
    if (own->copy != NULL)
        return 0;
    int fd = own_directory_reopen(store->directory, own->name, false);
    if (fd < 0)
        return fd;
    int result = file_copy_make(fd, room, &own->copy);
    close(fd);
    return result;
}

static int save_own(struct file_store *store, uint64_t *room, struct file_snapshot *snapshot)
{
    for (size_t i = 0; i < store->own_count; i++) {
        int result = bring_copy_up_to_date(store, &store->own[i], room);
        char *name = result < 0 ? NULL : strdup(store->own[i].name);
        if (name == NULL)
            return result < 0 ? result : -ENOMEM;
        snapshot->own[i] = (struct own_file){.name = name, .copy = file_copy_share(store->own[i].copy)};
        snapshot->own_count++;
    }
    return 0;
}

static void save_open(const struct file_store *store, struct file_snapshot *snapshot)
{
    for (size_t i = 0; store->open != NULL && i < store->limits.open_files; i++) {
        const struct open_file *file = &store->open[i];
        if (file->fd < 0)
            continue;
        snapshot->open[snapshot->open_count++] = (struct saved_open){
            .number = i,
            .own = file->own == NULL ? SHARED : (size_t)(file->own - store->own),
            .shared_fd = file->fd,
            .flags = file->flags,
            .position = file->position,
        };
    }
}

int file_snapshot_take(struct file_store *store, uint64_t *room, struct file_snapshot **snapshot)
{
    struct file_snapshot *made = make_snapshot(store);
    if (made == NULL)
        return -ENOMEM;
    int result = save_own(store, room, made);
    if (result < 0) {
        file_snapshot_free(made);
        return result;
    }
    save_open(store, made);
    *snapshot = made;
    return 0;
}

static const struct own_file *find(const struct own_file *own, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(own[i].name, name) == 0)
            return &own[i];
    }
    return NULL;
}

static int remove_newer(const struct file_store *store, const struct file_snapshot *snapshot)
{
    for (size_t i = 0; i < store->own_count; i++) {
        const char *name = store->own[i].name;
        if (find(snapshot->own, snapshot->own_count, name) == NULL && unlinkat(store->directory, name, 0) != 0 &&
            errno != ENOENT)
            return -errno;
    }
    return 0;
}

static int write_file(const struct file_store *store, const struct own_file *saved)
{
    int fd = own_directory_begin(store->directory);
    if (fd < 0)
        return fd;
    int result = file_copy_write(saved->copy, fd);
    if (result == 0)
        result = own_directory_name(store->directory, fd, saved->name);
    if (result < 0)
        own_directory_forget(store->directory);
    close(fd);
    return result;
}

/* A file that still has the snapshot's copy is unchanged. */
static int write_changed(const struct file_store *store, const struct file_snapshot *snapshot)
{
    int result = 0;
    for (size_t i = 0; i < snapshot->own_count && result == 0; i++) {
        const struct own_file *saved = &snapshot->own[i];
        const struct own_file *now = find(store->own, store->own_count, saved->name);
        if (now == NULL || now->copy != saved->copy)
            result = write_file(store, saved);
    }
    return result;
}

static int list_own(struct file_store *store, const struct file_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->own_count; i++) {
        struct own_file *own = file_store_add_own(store, snapshot->own[i].name);
        if (own == NULL)
            return -ENOMEM;
        own->copy = file_copy_share(snapshot->own[i].copy);
    }
    return 0;
}

static int open_again(struct file_store *store, const struct saved_open *saved)
{
    struct own_file *own = saved->own == SHARED ? NULL : &store->own[saved->own];
    int fd = own == NULL ? saved->shared_fd
                         : own_directory_reopen(store->directory, own->name, (saved->flags & MH_O_WRITE) != 0);
    if (fd < 0)
        return fd;
    store->open[saved->number] =
        (struct open_file){.fd = fd, .own = own, .flags = saved->flags, .position = saved->position};
    return 0;
}

int file_snapshot_restore(struct file_store *store, const struct file_snapshot *snapshot)
{
    int result = snapshot->own_count > 0 ? file_store_need_directory(store) : 0;
    if (result == 0)
        result = remove_newer(store, snapshot);
    if (result == 0)
        result = write_changed(store, snapshot);
    if (result < 0)
        return result;
    file_store_clear(store);
    store->written = snapshot->written;
    result = list_own(store, snapshot);
    if (result == 0)
        result = file_store_need_open(store);
    for (size_t i = 0; i < snapshot->open_count && result == 0; i++)
        result = open_again(store, &snapshot->open[i]);
    return result;
}
