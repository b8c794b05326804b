#include "ram/ram_snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct page {
    unsigned users; /* images that have it */
    size_t *copies; /* how many such pages there are */
    uint8_t bytes[PAGE_4K];
};

struct ram_snapshot {
    size_t count;
    struct page *pages[]; /* in the order of guest_memory.host; NULL: all zeros */
};

static struct ram_snapshot *make_image(size_t count)
{
    struct ram_snapshot *image = calloc(1, sizeof *image + count * sizeof(struct page *));
    if (image != NULL)
        image->count = count;
    return image;
}

static struct page *share(struct page *page)
{
    if (page != NULL)
        page->users++;
    return page;
}

static void release(struct page *page)
{
    if (page == NULL || --page->users > 0)
        return;
    --*page->copies;
    free(page);
}

void ram_snapshot_free(struct ram_snapshot *image)
{
    for (size_t i = 0; image != NULL && i < image->count; i++)
        release(image->pages[i]);
    free(image);
}

static bool is_changed(const struct guest_ram *ram, size_t number)
{
    return (ram->changed[number / 64] >> number % 64 & 1) != 0;
}

static void forget_change(struct guest_ram *ram, size_t number)
{
    ram->changed[number / 64] &= ~(1ull << number % 64);
}

static bool is_zero(const uint8_t *bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, PAGE_4K - 1) == 0;
}

static bool holds(const struct page *page, const uint8_t *bytes)
{
    return page == NULL ? is_zero(bytes) : memcmp(page->bytes, bytes, PAGE_4K) == 0;
}

/* A page that was marked may hold what it held: some hosts mark too many. */
static int copy_page(struct ram_snapshot *base, struct guest_ram *ram, size_t number)
{
    const uint8_t *bytes = ram->host + number * PAGE_4K;
    struct page *page = NULL;
    if (holds(base->pages[number], bytes))
        return 0;
    if (!is_zero(bytes)) {
        page = malloc(sizeof *page);
        if (page == NULL)
            return -ENOMEM;
        page->users = 1;
        page->copies = &ram->copies;
        ++ram->copies;
        memcpy(page->bytes, bytes, PAGE_4K);
    }
    release(base->pages[number]);
    base->pages[number] = page;
    return 0;
}

static int bring_up_to_date(struct ram_snapshot *base, struct guest_ram *ram)
{
    for (size_t i = 0; i < base->count; i++) {
        if (!is_changed(ram, i))
            continue;
        int result = copy_page(base, ram, i);
        if (result < 0)
            return result;
        forget_change(ram, i);
    }
    return 0;
}

int ram_snapshot_take(struct ram_snapshot **base, struct guest_ram *ram, struct ram_snapshot **image)
{
    struct ram_snapshot *made = make_image(ram_pages(ram));
    if (*base == NULL) {
        *base = make_image(ram_pages(ram));
        ram_note_written(ram, ram->host, ram_pages(ram) * PAGE_4K);
    }
    int result = made == NULL || *base == NULL ? -ENOMEM : bring_up_to_date(*base, ram);
    if (result < 0) {
        ram_snapshot_free(made);
        return result;
    }
    for (size_t i = 0; i < made->count; i++)
        made->pages[i] = share((*base)->pages[i]);
    *image = made;
    return 0;
}

static void restore_page(struct guest_ram *ram, size_t number, const struct page *page)
{
    uint8_t *to = ram->host + number * PAGE_4K;
    if (page != NULL)
        memcpy(to, page->bytes, PAGE_4K);
    else
        memset(to, 0, PAGE_4K);
    ram_note_written(ram, to, PAGE_4K);
}

void ram_snapshot_restore(struct ram_snapshot *base, struct guest_ram *ram, const struct ram_snapshot *image)
{
    for (size_t i = 0; i < image->count; i++) {
        if (!is_changed(ram, i) && base->pages[i] == image->pages[i])
            continue;
        restore_page(ram, i, image->pages[i]);
        forget_change(ram, i);
        struct page *before = base->pages[i];
        base->pages[i] = share(image->pages[i]);
        release(before);
    }
}

bool ram_snapshot_differs(const struct ram_snapshot *base, const struct guest_ram *ram,
                          const struct ram_snapshot *image, size_t *page, const uint8_t **was)
{
    for (; *page < image->count; ++*page) {
        const struct page *there = image->pages[*page];
        if ((!is_changed(ram, *page) && base->pages[*page] == there) || holds(there, ram->host + *page * PAGE_4K))
            continue;
        *was = there == NULL ? NULL : there->bytes;
        return true;
    }
    return false;
}

size_t ram_snapshot_pages(const struct ram_snapshot *image)
{
    size_t pages = 0;
    for (size_t i = 0; i < image->count; i++)
        pages += image->pages[i] != NULL;
    return pages;
}
