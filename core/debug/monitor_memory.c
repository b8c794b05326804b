#include "debug/monitor_memory.h"

#include "debug/debug.h"
#include "machine/guest_mem.h"
#include "machine/report.h"
#include "mh/memory_view.h"
#include "x86/page_map.h"
#include "x86/page_tables.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* The longest: "\033[33m" or "\033[0m" three times, and the rights. */
#define RIGHTS_TEXT_MAX 48u

static bool memory_has_tables(const struct paging_mode *mode, const struct text_output *output)
{
    const bool has = (mode->cr0 & MH_CR0_PG) != 0 && (mode->efer & MH_EFER_LMA) != 0;
    if (!has)
        text_say(output, "the machine is not in 64-bit mode: there are no tables to follow\n");
    return has;
}

struct rights {
    bool writable, user, executable;
};

static void memory_say_rights(const struct text_output *output, const struct rights *rights)
{
    text_say(output, "  r%s%c%s%c%s %s", text_color(output, TEXT_YELLOW), rights->writable ? 'w' : '-',
             text_color(output, TEXT_GREEN), rights->executable ? 'x' : '-', text_color(output, TEXT_PLAIN),
             rights->user ? "rings 0-3" : "ring 0");
}

/* ---- map: virtual addresses ---- */

static void map_say_mapping(void *ctx, const struct page_mapping *mapping)
{
    const struct text_output *output = ctx;
    const struct rights rights = {mapping->writable, mapping->user, mapping->executable};
    text_say(output, "0x%016" PRIx64 "-0x%016" PRIx64 " -> 0x%" PRIx64, mapping->start, mapping->end,
             mapping->physical);
    memory_say_rights(output, &rights);
    text_say(output, "\n");
}

/* ---- map: physical memory at a glance ---- */

#define GLANCE_COLUMNS 64u
#define GLANCE_ROWS 8u

/* What a character stands for, the most interesting first; ROWS * COLUMNS of them are all of RAM. */
struct glance_kind {
    uint8_t flags; /* any of them; 0: always */
    char letter, in_image;
    enum text_color color;
    const char *name;
};

static const struct glance_kind glance_kinds[] = {
    {MH_VIEW_TABLE, 't', 't', TEXT_BLUE, "page table"},
    {MH_VIEW_STACK, 's', 's', TEXT_MAGENTA, "stack"},
    {MH_VIEW_EXECUTED, 'x', 'X', TEXT_GREEN, "executed"},
    {MH_VIEW_WRITTEN | MH_VIEW_CHANGED, 'w', 'W', TEXT_YELLOW, "written"},
    {MH_VIEW_READ, 'r', 'R', TEXT_CYAN, "read"},
    {MH_VIEW_IMAGE, 'I', 'I', TEXT_PLAIN, "image"},
    {MH_VIEW_MAPPED, '.', '.', TEXT_DIM, "untouched"},
    {0, '-', '-', TEXT_DIM, "not mapped"},
};

#define GLANCE_KINDS (sizeof glance_kinds / sizeof glance_kinds[0])

static const struct glance_kind *glance_kind_of(unsigned flags)
{
    const struct glance_kind *kind = glance_kinds;
    while ((kind->flags & flags) == 0 && kind->flags != 0)
        kind++;
    return kind;
}

/* A row of characters for the pages from `page` up to `end`, each for `step` of them. */
static void glance_say_row(const struct mh_memory_view *view, size_t page, size_t end, size_t step,
                           const struct text_output *output)
{
    enum text_color color = TEXT_PLAIN;
    text_say(output, "  0x%07" PRIx64 "  ", mh_memory_view_address(view, page));
    for (; page < end; page += step) {
        unsigned flags = 0;
        for (size_t i = page; i < page + step; i++)
            flags |= view->page[i];
        const struct glance_kind *kind = glance_kind_of(flags);
        if (kind->color != color && color != TEXT_PLAIN)
            text_say(output, "%s", text_color(output, TEXT_PLAIN));
        if (kind->color != color && kind->color != TEXT_PLAIN)
            text_say(output, "%s", text_color(output, kind->color));
        color = kind->color;
        text_say(output, "%c", (flags & MH_VIEW_IMAGE) != 0 ? kind->in_image : kind->letter);
    }
    text_say(output, "%s\n", text_color(output, TEXT_PLAIN));
}

static void glance_say_legend(const struct text_output *output)
{
    for (size_t i = 0; i < GLANCE_KINDS; i++) {
        const struct glance_kind *kind = &glance_kinds[i];
        text_say(output, "%s%s%c%s %s", i == 0 ? "  " : ", ", text_color(output, kind->color), kind->letter,
                 text_color(output, TEXT_PLAIN), kind->name);
    }
    text_say(output, "\n  X, W and R: the same in the image\n");
}

static void glance_say(const struct mh_memory_view *view, const struct text_output *output)
{
    const size_t row = view->ram_pages / GLANCE_ROWS, step = row / GLANCE_COLUMNS;
    text_say(output, "memory, %zu MB, %zu KB a character:\n", view->ram_pages * MH_VIEW_PAGE >> 20,
             step * MH_VIEW_PAGE >> 10);
    for (size_t page = 0; page < view->ram_pages; page += row)
        glance_say_row(view, page, page + row, step, output);
    text_say(output, "system area, 4 KB a character:\n");
    glance_say_row(view, view->ram_pages, view->pages, 1, output);
    glance_say_legend(output);
    if (!view->knows_accesses)
        text_say(output, "  the guest ran on KVM, which does not say what it read and executed there\n");
}

enum mh_status monitor_show_map(struct debug *debug, const char *argument, const struct text_output *output,
                                struct mh_error *err)
{
    const struct paging_mode mode = guest_paging_mode(debug->vm);
    struct text_output to = *output;
    struct mh_memory_view view;
    (void)argument;
    if (memory_has_tables(&mode, output) && !page_map_each(&debug->vm->ram, &mode, map_say_mapping, &to))
        text_say(output, "(and more)\n");
    enum mh_status status = mh_vm_view_memory(debug->vm, &view, err);
    if (status == MH_OK)
        glance_say(&view, output);
    mh_memory_view_free(&view);
    return status;
}

/* ---- pt: the tables as a tree ---- */

/* Tables that lead to each other have more than anybody reads. */
#define TREE_LINES_MAX 400u

struct tree {
    const struct guest_ram *ram;
    const struct text_output *output;
    bool may_forbid_execution; /* EFER.NXE */
    unsigned lines;
};

/* Entries of a table that follow each other, and lead to pages that do with the same rights. */
struct tree_run {
    uint64_t first, count;
    uint64_t entry; /* of the first */
};

static struct rights tree_rights(const struct tree *tree, uint64_t entry, const struct rights *above)
{
    return (struct rights){
        .writable = above->writable && (entry & PAGING_WRITE) != 0,
        .user = above->user && (entry & PAGING_USER) != 0,
        .executable = above->executable && (!tree->may_forbid_execution || (entry & PAGING_NX) == 0),
    };
}

static const char *tree_level_name(unsigned level)
{
    static const char *const names[PAGING_LEVELS_MAX + 1] = {"", "PT", "PD", "PDPT", "PML4", "PML5"};
    return names[level];
}

/* A line for entries `first` to `last` of a table at this level; false when there are too many. */
static bool tree_begin_line(struct tree *tree, unsigned depth, uint64_t first, uint64_t last)
{
    if (tree->lines++ >= TREE_LINES_MAX)
        return false;
    text_say(tree->output, "%*s[%" PRIu64, (int)(2 * depth), "", first);
    if (last != first)
        text_say(tree->output, "-%" PRIu64, last);
    text_say(tree->output, "] ");
    return true;
}

/* Bytes that an entry at this level stands for. */
static uint64_t tree_span(unsigned level)
{
    return 1ull << (3 + 9 * level);
}

static const char *tree_page_size(unsigned level)
{
    return level == 1 ? "4 KB" : level == 2 ? "2 MB" : "1 GB";
}

/* Does the entry lead to the page behind those of the run, with the same rights? A and D do not matter. */
static bool tree_run_continues(const struct tree_run *run, uint64_t entry, unsigned level)
{
    const uint64_t same = ~(uint64_t)(PAGING_ACCESSED | PAGING_DIRTY);
    return run->count > 0 && (entry & same) == (run->entry & same) + run->count * tree_span(level);
}

static bool tree_say_run(struct tree *tree, unsigned depth, const struct mh_page_table *table, uint64_t base,
                         const struct tree_run *run, const struct rights *above)
{
    const uint64_t span = tree_span(table->level), start = base + run->first * span;
    const uint64_t physical = page_table_next(run->entry).v & ~(span - 1);
    if (run->count == 0)
        return true;
    if (!tree_begin_line(tree, depth, run->first, run->first + run->count - 1))
        return false;
    const struct rights rights = tree_rights(tree, run->entry, above);
    text_say(tree->output, "0x%" PRIx64 "-0x%" PRIx64 " -> 0x%" PRIx64 "  %" PRIu64 " page%s of %s", start,
             start + run->count * span, physical, run->count, run->count == 1 ? "" : "s", tree_page_size(table->level));
    memory_say_rights(tree->output, &rights);
    text_say(tree->output, "\n");
    return true;
}

static bool tree_say_table(struct tree *tree, unsigned depth, const struct mh_page_table *table, uint64_t base,
                           const struct rights *above);

/* An entry that names a table, and what is in that one. */
static bool tree_say_next(struct tree *tree, unsigned depth, const struct mh_page_table *table, uint64_t base,
                          uint64_t index, const struct rights *above)
{
    const uint64_t entry = page_table_entry(table, (unsigned)index), start = base + index * tree_span(table->level);
    const struct mh_page_table next = {.address = page_table_next(entry).v,
                                       .level = table->level - 1,
                                       .entries = ram_at(tree->ram, page_table_next(entry), PAGE_4K)};
    const struct rights rights = tree_rights(tree, entry, above);
    if (!tree_begin_line(tree, depth, index, index))
        return false;
    text_say(tree->output, "0x%" PRIx64 "  %s%s at 0x%" PRIx64 "%s", start, text_color(tree->output, TEXT_BLUE),
             tree_level_name(next.level), next.address, text_color(tree->output, TEXT_PLAIN));
    if (next.entries == NULL) {
        text_say(tree->output, ", %swhere the machine has no memory%s\n", text_color(tree->output, TEXT_RED),
                 text_color(tree->output, TEXT_PLAIN));
        return true;
    }
    memory_say_rights(tree->output, &rights);
    text_say(tree->output, "\n");
    return tree_say_table(tree, depth + 1, &next, start, &rights);
}

/* What the entries of a table that translates addresses from `base` on lead to. False when there are too many. */
static bool tree_say_table(struct tree *tree, unsigned depth, const struct mh_page_table *table, uint64_t base,
                           const struct rights *above)
{
    struct tree_run run = {.count = 0};
    for (unsigned i = 0; i <= PAGE_TABLE_ENTRIES; i++) {
        const uint64_t entry = i < PAGE_TABLE_ENTRIES ? page_table_entry(table, i) : 0;
        const bool is_present = (entry & PAGING_PRESENT) != 0, is_leaf = page_table_is_leaf(entry, table->level);
        if (is_present && is_leaf && tree_run_continues(&run, entry, table->level)) {
            run.count++;
            continue;
        }
        if (!tree_say_run(tree, depth, table, base, &run, above))
            return false;
        run = (struct tree_run){.first = i, .count = is_present && is_leaf, .entry = entry};
        const bool is_upper_half = i >= PAGE_TABLE_ENTRIES / 2 && depth == 1;
        const uint64_t sign = is_upper_half ? -(tree_span(table->level) * PAGE_TABLE_ENTRIES) : 0;
        if (is_present && !is_leaf && !tree_say_next(tree, depth, table, base | sign, i, above))
            return false;
    }
    return true;
}

static void tree_say(const struct guest_ram *ram, const struct paging_mode *mode, const struct text_output *output)
{
    const struct rights all = {true, true, true};
    struct tree tree = {.ram = ram, .output = output, .may_forbid_execution = (mode->efer & MH_EFER_NXE) != 0};
    const struct mh_page_table top = {.address = page_table_next(mode->cr3).v,
                                      .level = (mode->cr4 & MH_CR4_LA57) != 0 ? 5 : 4,
                                      .entries = ram_at(ram, page_table_next(mode->cr3), PAGE_4K)};
    text_say(output, "cr3 0x%" PRIx64 ": %s at 0x%" PRIx64 "%s\n", mode->cr3, tree_level_name(top.level), top.address,
             top.entries == NULL ? ", where the machine has no memory" : "");
    if (top.entries != NULL && !tree_say_table(&tree, 1, &top, 0, &all))
        text_say(output, "(and more; say an address to see how it is translated)\n");
}

/* ---- pt ADDR: one address ---- */

/* Which bits of an address select what. */
static void walk_say_indexes(const struct paging_mode *mode, uint64_t address, const struct text_output *output)
{
    const unsigned levels = (mode->cr4 & MH_CR4_LA57) != 0 ? 5 : 4;
    text_say(output, "  0x%016" PRIx64 " =", address);
    for (unsigned level = levels; level > 0; level--)
        text_say(output, " %s %s%u%s,", tree_level_name(level), text_color(output, TEXT_BLUE),
                 (unsigned)(address >> (3 + 9 * level)) % PAGE_TABLE_ENTRIES, text_color(output, TEXT_PLAIN));
    text_say(output, " offset 0x%x\n", (unsigned)address % PAGE_4K);
}

static enum mh_status walk_say(struct debug *debug, const struct paging_mode *mode, const char *argument,
                               const struct text_output *output, struct mh_error *err)
{
    struct paging_walk walk;
    char *end;
    errno = 0;
    const uint64_t address = strtoull(argument, &end, 0);
    if (!isdigit((unsigned char)*argument) || *end != '\0' || errno != 0)
        return mh_fail(err, MH_ERR_RANGE, "pt: say an address, such as pt 0x1000, or none");
    if (!memory_has_tables(mode, output))
        return MH_OK;
    walk_say_indexes(mode, address, output);
    report_page_walk(debug->vm, address, output);
    if (!paging_walk(&debug->vm->ram, mode, mh_gva_of(address), &walk))
        return MH_OK;
    const struct rights rights = {walk.writable, walk.user, walk.executable};
    text_say(output, "  ");
    memory_say_rights(output, &rights);
    text_say(output, "\n");
    return MH_OK;
}

enum mh_status monitor_show_tables(struct debug *debug, const char *argument, const struct text_output *output,
                                   struct mh_error *err)
{
    const struct paging_mode mode = guest_paging_mode(debug->vm);
    if (*argument != '\0')
        return walk_say(debug, &mode, argument, output, err);
    if (memory_has_tables(&mode, output))
        tree_say(&debug->vm->ram, &mode, output);
    return MH_OK;
}
