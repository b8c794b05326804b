#include "mappings.h"

#include "mh/x86_regs.h"
#include "virtual.h"

/* Tables that lead to the same empty ones over and over could keep a walker busy for hours. */
#define WALKS_MAX (1u << 22)

static bool continues(const struct mapping *run, uint64_t address, const struct paging_walk *walk)
{
    return run->end != run->start && address == run->end &&
           walk->physical.v == run->physical + (run->end - run->start) && walk->writable == run->writable &&
           walk->user == run->user && walk->executable == run->executable;
}

/* How far to go on after a walk that found nothing: past everything the missing entry would have mapped. */
static uint64_t span_of_end(const struct paging_walk *walk, unsigned levels)
{
    return 1ull << (12 + 9 * (levels - walk->steps));
}

/* All of the lower half, then the upper; entries that are missing high up skip most of it. */
static bool follow_tables(struct mh_vm *vm, const struct paging_mode *mode,
                          void (*tell)(void *ctx, const struct mapping *mapping), void *ctx)
{
    const unsigned levels = (mode->cr4 & MH_CR4_LA57) != 0 ? 5 : 4;
    const uint64_t half = 1ull << (11 + 9 * levels), upper = -half;
    struct mapping run = {0};
    unsigned runs = 0, walks = 0;
    uint64_t at = 0;
    do {
        struct paging_walk walk;
        bool mapped = paging_walk(&vm->memory, mode, mh_gva_of(at), &walk);
        if (mapped && continues(&run, at, &walk))
            run.end += walk.page_size;
        else if (mapped) {
            if (run.end != run.start)
                tell(ctx, &run);
            if (++runs > MAPPINGS_MAX)
                return false;
            run = (struct mapping){at, at + walk.page_size, walk.physical.v, walk.writable, walk.user, walk.executable};
        }
        uint64_t span = mapped ? walk.page_size : span_of_end(&walk, levels);
        at = (at & ~(span - 1)) + span;
        if (at == half)
            at = upper;
    } while (at != 0 && ++walks < WALKS_MAX);
    if (run.end != run.start)
        tell(ctx, &run);
    return at == 0;
}

bool mappings_each(struct mh_vm *vm, void (*tell)(void *ctx, const struct mapping *mapping), void *ctx)
{
    const struct paging_mode mode = virtual_mode(vm);
    if ((mode.cr0 & MH_CR0_PG) == 0) {
        const struct mapping all = {0, vm->memory.ram_size, 0, true, true, true};
        tell(ctx, &all);
        return true;
    }
    return (mode.efer & MH_EFER_LMA) == 0 || follow_tables(vm, &mode, tell, ctx);
}
