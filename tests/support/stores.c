#include "stores.h"

#include "mh/guest_abi.h"
#include "unit.h"
#include "wrapped_io.h"

#include <string.h>

int stores_set_up(void **state)
{
    struct stores *f = test_calloc(1, sizeof *f);
    f->files = guest_files_make();
    for (unsigned i = 0; i < 2; i++)
        file_store_init(&f->store[i], &f->files->config[i], &f->files->stop);
    *state = f;
    return 0;
}

int stores_tear_down(void **state)
{
    struct stores *f = *state;
    wrapped_io_reset();
    regain_root(NULL);
    for (unsigned i = 0; i < 2; i++)
        file_store_destroy(&f->store[i]);
    guest_files_remove(f->files);
    test_free(f);
    return 0;
}

void stores_restart(struct stores *f, unsigned open_files, uint64_t bytes)
{
    file_store_destroy(&f->store[0]);
    f->files->config[0].limits = (struct mh_file_limits){.open_files = open_files, .bytes_written = bytes};
    file_store_init(&f->store[0], &f->files->config[0], &f->files->stop);
}

int64_t open_named(struct stores *f, const char *name, uint32_t flags)
{
    return file_store_open(&f->store[0], name, strlen(name), flags);
}

int32_t opened(struct stores *f, const char *name, uint32_t flags)
{
    int64_t fd = open_named(f, name, flags);
    assert_in_range(fd, 0, 1023);
    return (int32_t)fd;
}

int64_t put(struct stores *f, int32_t fd, const char *text)
{
    return file_store_write(&f->store[0], fd, text, strlen(text));
}

int64_t get(struct stores *f, int32_t fd, void *to, size_t length)
{
    return file_store_read(&f->store[0], fd, to, length, &f->inbound);
}

int64_t seek(struct stores *f, int32_t fd, uint32_t whence, int64_t offset)
{
    return file_store_seek(&f->store[0], fd, whence, offset);
}

void close_file(struct stores *f, int32_t fd)
{
    assert_int_equal(file_store_close(&f->store[0], fd), 0);
}

void reads(struct stores *f, int32_t fd, const char *text)
{
    char content[256];
    int64_t got = get(f, fd, content, sizeof content);
    assert_int_equal(got, strlen(text));
    assert_memory_equal(content, text, strlen(text));
    assert_int_equal(get(f, fd, content, sizeof content), 0);
}

void holds(struct stores *f, const char *name, const char *text)
{
    int32_t fd = opened(f, name, MH_O_READ);
    reads(f, fd, text);
    close_file(f, fd);
}

void make(struct stores *f, const char *name, const char *text)
{
    int32_t fd = opened(f, name, MH_O_WRITE | MH_O_TRUNCATE);
    assert_int_equal(put(f, fd, text), strlen(text));
    close_file(f, fd);
}

bool on_host(const struct stores *f, const char *path, const char *text)
{
    return temp_file_is(&f->files->dir, path, text);
}
