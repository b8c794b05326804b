#include "temp_dir.h"

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct temp_dir temp_dir_make(void)
{
    struct temp_dir dir = {.path = "/tmp/mh-unit-XXXXXX"};
    assert_non_null(mkdtemp(dir.path));
    assert_int_equal(chmod(dir.path, 0755), 0); /* for drop_root() */
    return dir;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

void temp_dir_remove(const struct temp_dir *dir)
{
    nftw(dir->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int temp_dir_tear_down_fixture(void **state)
{
    temp_dir_remove(*state);
    test_free(*state);
    return 0;
}

const char *temp_path(const struct temp_dir *dir, const char *name, char *path)
{
    snprintf(path, PATH_MAX, "%s/%s", dir->path, name);
    return path;
}

void temp_file(const struct temp_dir *dir, const char *name, const void *bytes, size_t length)
{
    char path[PATH_MAX];
    FILE *file = fopen(temp_path(dir, name, path), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

void temp_text(const struct temp_dir *dir, const char *name, const char *text)
{
    temp_file(dir, name, text, strlen(text));
}

long temp_read(const struct temp_dir *dir, const char *name, void *to, size_t length)
{
    char path[PATH_MAX];
    FILE *file = fopen(temp_path(dir, name, path), "rb");
    if (file == NULL)
        return -1;
    size_t got = fread(to, 1, length, file);
    fclose(file);
    return (long)got;
}

bool temp_file_is(const struct temp_dir *dir, const char *name, const char *text)
{
    char content[4096];
    long got = temp_read(dir, name, content, sizeof content);
    return got == (long)strlen(text) && memcmp(content, text, (size_t)got) == 0;
}

bool temp_exists(const struct temp_dir *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat info;
    return lstat(temp_path(dir, name, path), &info) == 0;
}

unsigned count_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    unsigned count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 3; /* ".", ".." and the directory itself */
}

#define SOME_USER 65534u

void drop_root(void)
{
    if (geteuid() == 0 && seteuid(SOME_USER) != 0) {
        print_message("root cannot become another user here\n");
        skip();
    }
}

int regain_root(void **state)
{
    (void)state;
    return getuid() == 0 && geteuid() != 0 ? seteuid(0) : 0;
}
