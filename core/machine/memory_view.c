#include "mh/memory_view.h"

#include "machine/guest_mem.h"
#include "machine/image.h"
#include "machine/machine.h"
#include "machine/vm.h"
#include "x86/page_map.h"
#include "x86/page_tables.h"

#include <stdlib.h>
#include <string.h>

uint64_t mh_memory_view_address(const struct mh_memory_view *view, size_t page)
{
    return page < view->ram_pages ? page * MH_VIEW_PAGE : MH_SYSTEM_AREA + (page - view->ram_pages) * MH_VIEW_PAGE;
}

/* ---- what differs from the start ---- */

static uint64_t view_changed_grains(const uint8_t *now, const uint8_t *then)
{
    uint64_t changed = 0;
    if (memcmp(now, then, MH_VIEW_PAGE) == 0)
        return 0;
    for (unsigned i = 0; i < MH_VIEW_GRAINS; i++) {
        if (memcmp(now + i * MH_VIEW_GRAIN, then + i * MH_VIEW_GRAIN, MH_VIEW_GRAIN) != 0)
            changed |= 1ull << i;
    }
    return changed;
}

static enum mh_status view_compare(struct mh_memory_view *view, const struct mh_vm *vm, struct mh_error *err)
{
    struct guest_ram start;
    enum mh_status status = ram_create(&start, vm->ram.ram_size, err);
    if (status != MH_OK)
        return status;
    vm_fill_ram(vm, &start);
    for (size_t page = 0; page < view->pages; page++) {
        view->changed[page] = view_changed_grains(vm->ram.host + page * PAGE_4K, start.host + page * PAGE_4K);
        if (view->changed[page] != 0)
            view->page[page] |= MH_VIEW_CHANGED;
    }
    ram_free(&start);
    return MH_OK;
}

/* ---- what the pages are ---- */

/* Mark what there is of [start, start + length) of guest-physical memory. */
static void view_mark(struct mh_memory_view *view, uint64_t start, uint64_t length, unsigned mark)
{
    const uint64_t ram_end = view->ram_pages * (uint64_t)PAGE_4K;
    const uint64_t area_end = MH_SYSTEM_AREA + (view->pages - view->ram_pages) * (uint64_t)PAGE_4K;
    const uint64_t end = length < area_end && start < area_end - length ? start + length : area_end;
    uint64_t at = start & ~(uint64_t)(PAGE_4K - 1);
    while (at < end) {
        if (at >= ram_end && at < MH_SYSTEM_AREA) {
            at = MH_SYSTEM_AREA;
            continue;
        }
        view->page[at < ram_end ? at / PAGE_4K : view->ram_pages + (at - MH_SYSTEM_AREA) / PAGE_4K] |= (uint8_t)mark;
        at += PAGE_4K;
    }
}

static void view_mark_image(void *ctx, uint64_t start, uint64_t length)
{
    view_mark(ctx, start, length, MH_VIEW_IMAGE);
}

static void view_mark_table(void *ctx, const struct mh_page_table *table)
{
    view_mark(ctx, table->address, PAGE_4K, MH_VIEW_TABLE);
}

static void view_mark_mapping(void *ctx, const struct page_mapping *mapping)
{
    view_mark(ctx, mapping->physical, mapping->end - mapping->start, MH_VIEW_MAPPED);
}

static void view_mark_bits(struct mh_memory_view *view, const uint64_t *bits, uint8_t mark)
{
    for (size_t page = 0; page < view->pages; page++) {
        if ((bits[page / 64] >> page % 64 & 1) != 0)
            view->page[page] |= mark;
    }
}

static void view_mark_accesses(struct mh_memory_view *view, const struct mh_vm *vm)
{
    const struct guest_ram *ram = &vm->ram;
    static const uint8_t marks[RAM_ACCESSES] = {
        [RAM_READ] = MH_VIEW_READ, [RAM_WRITTEN] = MH_VIEW_WRITTEN, [RAM_EXECUTED] = MH_VIEW_EXECUTED};
    for (unsigned access = 0; access < RAM_ACCESSES; access++)
        view_mark_bits(view, ram->accessed[access], marks[access]);
    view->knows_accesses = view->knows_writes = !ram->misses_accesses;
    if (vm->config.notes_writes && vm->cpu->ops->collect_writes(vm->cpu, NULL) == MH_OK) {
        view_mark_bits(view, ram->changed, MH_VIEW_WRITTEN);
        view->knows_writes = true;
    }
}

/* A stack that is empty starts right behind its memory. */
static void view_mark_stack(struct mh_memory_view *view, struct mh_vm *vm, const struct paging_mode *mode)
{
    struct mh_x86_regs regs;
    struct paging_walk walk;
    if (!vm_read_regs(vm, MH_REGS_GENERAL, &regs))
        return;
    const uint64_t rsp = regs.general.gpr[MH_RSP];
    if (paging_walk(&vm->ram, mode, mh_gva_of(rsp), &walk) || paging_walk(&vm->ram, mode, mh_gva_of(rsp - 1), &walk))
        view_mark(view, walk.physical.v, 1, MH_VIEW_STACK);
}

enum mh_status mh_vm_view_memory(struct mh_vm *vm, struct mh_memory_view *view, struct mh_error *err)
{
    const size_t pages = ram_pages(&vm->ram);
    const struct paging_mode mode = guest_paging_mode(vm);
    *view = (struct mh_memory_view){.ram_pages = vm->ram.ram_size / PAGE_4K, .pages = pages};
    view->page = calloc(pages, sizeof *view->page);
    view->changed = calloc(pages, sizeof *view->changed);
    if (view->page == NULL || view->changed == NULL)
        return mh_fail(err, MH_ERR_HOST, "not enough memory to look at the machine's");
    image_each_range(vm->config.image, view_mark_image, view);
    page_tables_each(&vm->ram, &mode, view_mark_table, view);
    page_map_each(&vm->ram, &mode, view_mark_mapping, view);
    view_mark_stack(view, vm, &mode);
    view_mark_accesses(view, vm);
    return view_compare(view, vm, err);
}

void mh_memory_view_free(struct mh_memory_view *view)
{
    free(view->page);
    free(view->changed);
    *view = (struct mh_memory_view){.pages = 0};
}

bool mh_vm_each_page_table(struct mh_vm *vm, void (*report)(void *ctx, const struct mh_page_table *table), void *ctx)
{
    const struct paging_mode mode = guest_paging_mode(vm);
    return page_tables_each(&vm->ram, &mode, report, ctx);
}
