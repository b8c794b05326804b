#include "x86/page_map.h"

#include "mh/x86_regs.h"

/* Tables that lead to the same empty ones over and over could keep a walker busy for hours. */
#define WALKS_MAX (1u << 22)

static bool page_map_continues(const struct page_mapping *run, uint64_t address, const struct paging_walk *walk)
{
    return run->end != run->start && address == run->end &&
           walk->physical.v == run->physical + (run->end - run->start) && walk->writable == run->writable &&
           walk->user == run->user && walk->executable == run->executable;
}

/* How far to skip after a walk that found nothing: everything the missing entry would have mapped. */
static uint64_t page_map_hole(const struct paging_walk *walk, unsigned levels)
{
    return 1ull << (12 + 9 * (levels - walk->steps));
}

/* All of the lower half, then the upper; entries that are missing high up skip most of it. */
static bool page_map_follow(const struct guest_ram *ram, const struct paging_mode *mode,
                            void (*report)(void *ctx, const struct page_mapping *mapping), void *ctx)
{
    const unsigned levels = (mode->cr4 & MH_CR4_LA57) != 0 ? 5 : 4;
    const uint64_t half = 1ull << (11 + 9 * levels), upper = -half;
    struct page_mapping run = {0};
    unsigned runs = 0, walks = 0;
    uint64_t at = 0;
    do {
        struct paging_walk walk;
        bool mapped = paging_walk(ram, mode, mh_gva_of(at), &walk);
        if (mapped && page_map_continues(&run, at, &walk))
            run.end += walk.page_size;
        else if (mapped) {
            if (run.end != run.start)
                report(ctx, &run);
            if (++runs > PAGE_MAP_RUNS_MAX)
                return false;
            run = (struct page_mapping){at,        at + walk.page_size, walk.physical.v, walk.writable,
                                        walk.user, walk.executable};
        }
        uint64_t span = mapped ? walk.page_size : page_map_hole(&walk, levels);
        at = (at & ~(span - 1)) + span;
        if (at == half)
            at = upper;
    } while (at != 0 && ++walks < WALKS_MAX);
    if (run.end != run.start)
        report(ctx, &run);
    return at == 0;
}

bool page_map_each(const struct guest_ram *ram, const struct paging_mode *mode,
                   void (*report)(void *ctx, const struct page_mapping *mapping), void *ctx)
{
    if ((mode->cr0 & MH_CR0_PG) == 0) {
        const struct page_mapping all = {0, ram->ram_size, 0, true, true, true};
        report(ctx, &all);
        return true;
    }
    return (mode->efer & MH_EFER_LMA) == 0 || page_map_follow(ram, mode, report, ctx);
}
