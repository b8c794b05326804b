#include "x86/page_tables.h"

#include <string.h>

#define ADDRESS_MASK 0x000ffffffffff000ull

/* Breadth first: each table is queued once for each level. */
struct page_table_queue {
    const struct guest_ram *ram;
    uint64_t seen[PAGING_LEVELS_MAX + 1][(RAM_PAGES_MAX + 63) / 64]; /* by level; [0]: at any */
    struct {
        uint16_t page; /* in the order of ram->host */
        uint8_t level;
    } queue[PAGE_TABLES_MAX];
    unsigned count;
    bool is_full;
};

uint64_t page_table_entry(const struct mh_page_table *table, unsigned index)
{
    uint64_t entry;
    memcpy(&entry, table->entries + index * sizeof entry, sizeof entry);
    return entry;
}

bool page_table_is_leaf(uint64_t entry, unsigned level)
{
    return level == 1 || (level <= 3 && (entry & PAGING_LARGE) != 0);
}

mh_gpa page_table_next(uint64_t entry)
{
    return mh_gpa_of(entry & ADDRESS_MASK);
}

static bool queue_test_and_set(uint64_t *bits, size_t page)
{
    const uint64_t bit = 1ull << page % 64;
    const bool was_set = (bits[page / 64] & bit) != 0;
    bits[page / 64] |= bit;
    return was_set;
}

static void queue_add(struct page_table_queue *queue, mh_gpa table, unsigned level)
{
    const uint8_t *host = ram_at(queue->ram, table, PAGE_4K);
    if (host == NULL)
        return;
    const size_t page = (size_t)(host - queue->ram->host) / PAGE_4K;
    if (queue_test_and_set(queue->seen[level], page))
        return;
    queue->is_full |= queue->count == PAGE_TABLES_MAX;
    if (queue->is_full)
        return;
    queue->queue[queue->count].page = (uint16_t)page;
    queue->queue[queue->count++].level = (uint8_t)level;
}

static void queue_add_entries(struct page_table_queue *queue, const struct mh_page_table *table)
{
    for (unsigned i = 0; i < PAGE_TABLE_ENTRIES; i++) {
        const uint64_t entry = page_table_entry(table, i);
        if ((entry & PAGING_PRESENT) != 0 && !page_table_is_leaf(entry, table->level))
            queue_add(queue, page_table_next(entry), table->level - 1);
    }
}

bool page_tables_each(const struct guest_ram *ram, const struct paging_mode *mode,
                      void (*report)(void *ctx, const struct mh_page_table *table), void *ctx)
{
    if ((mode->cr0 & MH_CR0_PG) == 0 || (mode->efer & MH_EFER_LMA) == 0)
        return true;
    struct page_table_queue queue = {.ram = ram};
    queue_add(&queue, page_table_next(mode->cr3), (mode->cr4 & MH_CR4_LA57) != 0 ? 5 : 4);
    for (unsigned i = 0; i < queue.count; i++) {
        const size_t page = queue.queue[i].page;
        const uint8_t *host = ram->host + page * PAGE_4K;
        const struct mh_page_table table = {.address = ram_gpa(ram, host).v,
                                            .level = queue.queue[i].level,
                                            .entries = host,
                                            .is_known = queue_test_and_set(queue.seen[0], page)};
        report(ctx, &table);
        queue_add_entries(&queue, &table);
    }
    return !queue.is_full;
}
