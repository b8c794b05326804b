#include "run/images.h"

#include "console/message.h"

#include <stdlib.h>
#include <string.h>

/* The first machine with the same path; `index` itself when there is none before it. */
static size_t images_first_same(const struct images *images, size_t index)
{
    size_t i = 0;
    while (strcmp(images->paths->words[i], images->paths->words[index]) != 0)
        i++;
    return i;
}

enum mh_status images_load(struct images *images, const struct word_list *paths, uint64_t ram_size, uint64_t address,
                           struct mh_error *err)
{
    *images = (struct images){.paths = paths};
    images->of_machine = calloc(paths->count, sizeof *images->of_machine);
    if (images->of_machine == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory for %zu VMs", paths->count);
    for (size_t i = 0; i < paths->count; i++) {
        const size_t first = images_first_same(images, i);
        enum mh_status status = MH_OK;
        if (first < i)
            images->of_machine[i] = images->of_machine[first];
        else
            status = mh_image_load(paths->words[i], ram_size, address, &images->of_machine[i], err);
        if (status != MH_OK)
            return status;
        images->count++;
    }
    return MH_OK;
}

void images_close_files(struct images *images)
{
    for (size_t i = 0; i < images->count; i++)
        mh_image_close_file(images->of_machine[i]);
}

void images_free(struct images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        if (images_first_same(images, i) == i)
            mh_image_free(images->of_machine[i]);
    }
    free(images->of_machine);
}

void image_label(const char *path, char *label, size_t size)
{
    char copy[512];
    message_printable(path, copy, sizeof copy);
    char *slash = strrchr(copy, '/');
    char *base = slash == NULL ? copy : slash + 1;
    char *dot = strrchr(base, '.');
    if (dot != NULL && dot != base && (strcmp(dot, ".img") == 0 || strcmp(dot, ".elf") == 0))
        *dot = '\0';
    if (strcmp(base, "guest") == 0 && slash != NULL) {
        *slash = '\0';
        char *parent = strrchr(copy, '/');
        parent = parent == NULL ? copy : parent + 1;
        if (*parent != '\0' && *parent != '.')
            base = parent;
    }
    snprintf(label, size, "%.*s", (int)size - 1, base);
}
