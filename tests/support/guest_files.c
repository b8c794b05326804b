#include "guest_files.h"

#include "unit.h"

#include <stdio.h>

static void keep_notice(void *ctx, const char *text)
{
    struct guest_files *files = ctx;
    files->notices++;
    snprintf(files->notice, sizeof files->notice, "%s", text);
}

struct guest_files *guest_files_make(void)
{
    struct guest_files *files = test_calloc(1, sizeof *files);
    files->dir = temp_dir_make();
    temp_path(&files->dir, "vm-files", files->parent);
    temp_text(&files->dir, "notes.txt", NOTES);
    const char *const paths[] = {temp_path(&files->dir, "notes.txt", files->notes)};
    assert_int_equal(mh_shared_files_open(paths, 1, &files->shared, NULL), MH_OK);
    for (unsigned i = 0; i < 2; i++)
        files->config[i] = (struct mh_vm_config){
            .shared = files->shared,
            .files_parent = files->parent,
            .files_name = i == 0 ? "1-one" : "2-two",
            .limits = {.open_files = GUEST_OPEN_FILES, .bytes_written = GUEST_BYTES},
            .notice = keep_notice,
            .notice_ctx = files,
        };
    return files;
}

void guest_files_remove(struct guest_files *files)
{
    mh_shared_files_close(files->shared);
    temp_dir_remove(&files->dir);
    test_free(files);
}
