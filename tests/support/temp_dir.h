/* Directories and files for one test, removed with everything in them afterwards. */
#ifndef MH_TEST_TEMP_DIR_H
#define MH_TEST_TEMP_DIR_H

#include <stdbool.h>
#include <stddef.h>

struct temp_dir {
    char path[64];
};

/* Make a fresh directory. The test fails when there is none to be had. */
struct temp_dir temp_dir_make(void);
void temp_dir_remove(const struct temp_dir *dir);

/* The tear-down of a test_calloc()ed state that begins with a directory. */
int temp_dir_tear_down_fixture(void **state);

/* "DIR/NAME" in a buffer of PATH_MAX bytes. Returns `path`. */
const char *temp_path(const struct temp_dir *dir, const char *name, char *path);

/* Make a file that holds `bytes`. */
void temp_file(const struct temp_dir *dir, const char *name, const void *bytes, size_t length);
void temp_text(const struct temp_dir *dir, const char *name, const char *text);

/* Read a file from its start. Returns how many bytes there were, at most `length`; -1 when there is no such file. */
long temp_read(const struct temp_dir *dir, const char *name, void *to, size_t length);

/* True when the file holds exactly this text. */
bool temp_file_is(const struct temp_dir *dir, const char *name, const char *text);
bool temp_exists(const struct temp_dir *dir, const char *name);

/* How many descriptors this process has open. */
unsigned count_open_fds(void);

/*
 * Root may do what others may not. Continue as an ordinary user until regain_root(), which is called in the test's
 * tear-down; the test is skipped where root cannot become one.
 */
void drop_root(void);
int regain_root(void **state);

#endif
