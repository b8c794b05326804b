/* Two guests' file stores, and the first one's calls. */
#ifndef MH_TEST_STORES_H
#define MH_TEST_STORES_H

#include "guest_files.h"

#include "devices/file_store.h"

/* Two guests and what they may reach. */
struct stores {
    struct guest_files *files;
    struct file_store store[2];
    struct input_log inbound;
};

int stores_set_up(void **state);
int stores_tear_down(void **state);

/* Start the first guest anew with other limits, as a run of its own. */
void stores_restart(struct stores *f, unsigned open_files, uint64_t bytes);

/* Its calls: opened() and close_file() have to succeed. */
int64_t open_named(struct stores *f, const char *name, uint32_t flags);
int32_t opened(struct stores *f, const char *name, uint32_t flags);
int64_t put(struct stores *f, int32_t fd, const char *text);
int64_t get(struct stores *f, int32_t fd, void *to, size_t length);
int64_t seek(struct stores *f, int32_t fd, uint32_t whence, int64_t offset);
void close_file(struct stores *f, int32_t fd);

/* From its position on, or from its start, the file holds exactly this. */
void reads(struct stores *f, int32_t fd, const char *text);
void holds(struct stores *f, const char *name, const char *text);

/* The file is to hold exactly this. */
void make(struct stores *f, const char *name, const char *text);

/* A file of the host holds exactly this; the path is one from the tests' directory. */
bool on_host(const struct stores *f, const char *path, const char *text);

#endif
