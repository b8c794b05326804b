#include "target_desc/x86_desc.h"

#include <string.h>

static bool layout_has_feature(enum gdb_x86_feature feature, uint64_t xcr0)
{
    bool avx = xcr0 & MH_XCR0_AVX;

    if (feature == GDB_X86_AVX)
        return avx;
    /* gdb knows AVX-512 only together with AVX */
    if (feature == GDB_X86_AVX512)
        return avx && (xcr0 & MH_XCR0_AVX512) == MH_XCR0_AVX512;
    return true;
}

void gdb_x86_layout_init(struct gdb_x86_layout *layout, uint64_t xcr0)
{
    size_t count;
    const struct gdb_x86_reg *table = gdb_x86_table(&count);

    *layout = (struct gdb_x86_layout){.count = 0};
    for (size_t i = 0; i < count && layout->count < GDB_X86_REG_MAX; i++) {
        if (!layout_has_feature((enum gdb_x86_feature)table[i].feature, xcr0))
            continue;
        layout->reg[layout->count++] = &table[i];
        if (table[i].feature == GDB_X86_MSR)
            continue;
        layout->g_count = layout->count;
        layout->g_regs |= table[i].regs;
        layout->g_bytes += table[i].size;
    }
}

const struct gdb_x86_layout *gdb_x86_layout_of(struct gdb_x86_layout_cache *cache, const struct mh_debug_target *target,
                                               unsigned vm)
{
    uint64_t xcr0 = target->ops->xcr0_supported(target->ctx, vm);

    if (cache->layout.count == 0 || cache->xcr0 != xcr0) {
        gdb_x86_layout_init(&cache->layout, xcr0);
        cache->xcr0 = xcr0;
    }
    return &cache->layout;
}

int gdb_x86_find(const struct gdb_x86_layout *layout, const char *name)
{
    for (unsigned i = 0; i < layout->count; i++)
        if (strcmp(layout->reg[i]->name, name) == 0)
            return (int)i;
    return -1;
}

unsigned gdb_x86_undescribed(const struct gdb_x86_layout *layout)
{
    unsigned count = 0;

    while (count < layout->count && layout->reg[count]->feature <= GDB_X86_SSE)
        count++;
    return count;
}

/* A debugger reads all registers after each step. Copies of a constant length are single moves; and registers of one
 * size are neighbours, so comparisons are predicted, but jumps through a table are not. */
static bool reg_get_whole(const struct gdb_x86_reg *reg, const uint8_t *from, uint8_t *to)
{
    if (reg->stored != reg->size)
        return false;
    if (reg->size == 8)
        memcpy(to, from, 8);
    else if (reg->size == 4)
        memcpy(to, from, 4);
    else if (reg->size == 10)
        memcpy(to, from, 10);
    else if (reg->size == 16)
        memcpy(to, from, 16);
    else
        return false;
    return true;
}

void gdb_x86_get(const struct gdb_x86_reg *reg, const struct mh_x86_regs *regs, uint8_t *to)
{
    const uint8_t *from = (const uint8_t *)regs + reg->offset;

    if (reg_get_whole(reg, from, to))
        return;
    memcpy(to, from, reg->stored);
    memset(to + reg->stored, reg->stored == 0 ? 0xff : 0, (size_t)(reg->size - reg->stored));
}

size_t gdb_x86_get_first(const struct gdb_x86_layout *layout, unsigned count, const struct mh_x86_regs *regs,
                         uint8_t *to)
{
    const uint8_t *begin = to;

    for (unsigned i = 0; i < count; i++) {
        gdb_x86_get(layout->reg[i], regs, to);
        to += layout->reg[i]->size;
    }
    return (size_t)(to - begin);
}

bool gdb_x86_set(const struct gdb_x86_reg *reg, struct mh_x86_regs *regs, const uint8_t *from)
{
    for (size_t i = reg->stored; i < reg->size; i++)
        if (reg->stored != 0 && from[i] != 0)
            return false;
    memcpy((uint8_t *)regs + reg->offset, from, reg->stored);
    return true;
}

bool gdb_x86_equal(const struct gdb_x86_reg *reg, const struct mh_x86_regs *a, const struct mh_x86_regs *b)
{
    return memcmp((const uint8_t *)a + reg->offset, (const uint8_t *)b + reg->offset, reg->stored) == 0;
}
