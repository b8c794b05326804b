#include "slots.h"

#include "mh/guest_abi.h"
#include "x86/paging.h"

#include <string.h>

/* Make slot `number` this; a size of 0 takes it away. */
static int set_slot(const struct slots *slots, unsigned number, const struct slot *slot)
{
    /* the guest cannot write to pages that are read-only, so there is nothing to note */
    const struct kvm_userspace_memory_region region = {
        .slot = number,
        .flags = slot->read_only ? KVM_MEM_READONLY
                 : slots->logs   ? KVM_MEM_LOG_DIRTY_PAGES
                                 : 0,
        .guest_phys_addr = slot->start,
        .memory_size = slot->size,
        .userspace_addr = slot->size == 0 ? 0 : (uintptr_t)ram_at(slots->memory, mh_gpa_of(slot->start), slot->size),
    };
    return kvm_sys_set_memory(slots->vm_fd, &region);
}

static int add_slot(struct slots *slots, uint64_t start, uint64_t size, bool read_only)
{
    const struct slot slot = {.start = start, .size = size, .read_only = read_only};
    int result = size == 0 ? 0 : set_slot(slots, slots->count, &slot);
    if (result == 0 && size != 0)
        slots->laid[slots->count++] = slot;
    return result;
}

/* Lay [start, end), split where a page is read-only. */
static int lay(struct slots *slots, uint64_t start, uint64_t end)
{
    uint64_t from = start;
    int result = 0;
    for (size_t i = 0; i < slots->read_only.count && result == 0; i++) {
        uint64_t page = slots->read_only.page[i];
        if (page < start || page >= end)
            continue;
        result = add_slot(slots, from, page - from, false);
        if (result == 0)
            result = add_slot(slots, page, PAGE_4K, true);
        from = page + PAGE_4K;
    }
    return result == 0 ? add_slot(slots, from, end - from, false) : result;
}

static int lay_all(struct slots *slots)
{
    int result = lay(slots, 0, slots->memory->ram_size);
    if (result == 0)
        result = lay(slots, MH_SYSTEM_AREA, MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE);
    slots->is_whole = result == 0;
    return result;
}

int slots_create(struct slots *slots, int vm_fd, struct guest_ram *memory)
{
    *slots = (struct slots){.vm_fd = vm_fd, .memory = memory};
    return lay_all(slots);
}

static bool is_same(const struct page_list *a, const struct page_list *b)
{
    return a->count == b->count && memcmp(a->page, b->page, a->count * sizeof a->page[0]) == 0;
}

/* With a slot goes what KVM has noted of it: collect that before. */
static int take_all(struct slots *slots)
{
    const struct slot none = {0};
    int result = slots_collect_writes(slots);
    slots->is_whole = slots->is_whole && result < 0;
    for (; slots->count > 0 && result == 0; slots->count -= result == 0)
        result = set_slot(slots, slots->count - 1, &none);
    return result;
}

int slots_protect(struct slots *slots, const struct page_list *pages)
{
    if (slots->is_whole && is_same(&slots->read_only, pages))
        return 0;
    int result = take_all(slots);
    if (result < 0)
        return result;
    slots->read_only = *pages;
    return lay_all(slots);
}

int slots_lay_again(struct slots *slots)
{
    int result = take_all(slots);
    return result < 0 ? result : lay_all(slots);
}

int slots_log_writes(struct slots *slots)
{
    int result = 0;
    slots->logs = true;
    for (unsigned i = 0; i < slots->count && result == 0; i++) {
        if (!slots->laid[i].read_only)
            result = set_slot(slots, i, &slots->laid[i]);
    }
    slots->logs = result == 0;
    return result;
}

static void note_writes(const struct slots *slots, const struct slot *slot, const uint64_t *bitmap)
{
    for (uint64_t page = 0; page < slot->size / PAGE_4K; page++) {
        if (bitmap[page / 64] == 0)
            page |= 63; /* on to the next word */
        else if ((bitmap[page / 64] >> page % 64 & 1) != 0)
            ram_note_written(slots->memory,
                                ram_at(slots->memory, mh_gpa_of(slot->start + page * PAGE_4K), PAGE_4K), PAGE_4K);
    }
}

int slots_collect_writes(struct slots *slots)
{
    int result = 0;
    for (unsigned i = 0; i < slots->count && slots->logs && result == 0; i++) {
        uint64_t bitmap[(RAM_PAGES_MAX + 63) / 64] = {0};
        if (slots->laid[i].read_only)
            continue;
        result = kvm_sys_get_dirty_log(slots->vm_fd, i, bitmap);
        if (result == 0)
            note_writes(slots, &slots->laid[i], bitmap);
    }
    return result;
}

bool page_list_has(const struct page_list *list, mh_gpa address)
{
    uint64_t page = address.v & ~(uint64_t)(PAGE_4K - 1);
    for (size_t i = 0; i < list->count; i++) {
        if (list->page[i] == page)
            return true;
    }
    return false;
}

bool page_list_add(struct page_list *list, mh_gpa address)
{
    if (page_list_has(list, address))
        return true;
    if (list->count == SLOTS_PROTECTED_MAX)
        return false;
    uint64_t page = address.v & ~(uint64_t)(PAGE_4K - 1);
    size_t at = list->count++;
    for (; at > 0 && list->page[at - 1] > page; at--)
        list->page[at] = list->page[at - 1];
    list->page[at] = page;
    return true;
}
