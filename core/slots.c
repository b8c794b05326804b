#include "slots.h"

#include "mh/guest_abi.h"
#include "paging.h"

#include <string.h>

static int set_slot(const struct slots *slots, unsigned number, uint64_t start, uint64_t size, bool read_only)
{
    const struct kvm_userspace_memory_region region = {
        .slot = number,
        .flags = read_only ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = start,
        .memory_size = size,
        .userspace_addr = size == 0 ? 0 : (uintptr_t)memory_at(slots->memory, mh_gpa_of(start), size),
    };
    return kvm_sys_set_memory(slots->vm_fd, &region);
}

static int add_slot(struct slots *slots, uint64_t start, uint64_t size, bool read_only)
{
    int result = size == 0 ? 0 : set_slot(slots, slots->count, start, size, read_only);
    if (result == 0 && size != 0)
        slots->count++;
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

int slots_create(struct slots *slots, int vm_fd, const struct guest_memory *memory)
{
    *slots = (struct slots){.vm_fd = vm_fd, .memory = memory};
    return lay_all(slots);
}

static bool is_same(const struct page_list *a, const struct page_list *b)
{
    return a->count == b->count && memcmp(a->page, b->page, a->count * sizeof a->page[0]) == 0;
}

int slots_protect(struct slots *slots, const struct page_list *pages)
{
    if (slots->is_whole && is_same(&slots->read_only, pages))
        return 0;
    slots->is_whole = false;
    while (slots->count > 0) {
        int result = set_slot(slots, slots->count - 1, 0, 0, false);
        if (result < 0)
            return result;
        slots->count--;
    }
    slots->read_only = *pages;
    return lay_all(slots);
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
