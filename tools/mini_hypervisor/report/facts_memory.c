#include "report/facts_memory.h"

#include "mh/memory_view.h"

#include <string.h>

/* ---- memory ---- */

/* [how many pages, what they are], in the order of their addresses. */
static void memory_put_pages(struct writer *writer, const struct mh_memory_view *view)
{
    writer_key(writer, "runs");
    writer_bracket(writer, "[");
    for (size_t page = 0, end; page < view->pages; page = end) {
        end = page + 1;
        while (end < view->pages && view->page[end] == view->page[page])
            end++;
        writer_comma(writer);
        writer_bracket(writer, "[");
        json_put_number(&writer->line, end - page);
        json_put(&writer->line, ",");
        json_put_number(&writer->line, view->page[page]);
        writer_bracket(writer, "]");
    }
    writer_bracket(writer, "]");
}

/* [number of the page, a bit for each 64 bytes], for pages that changed. */
static void memory_put_changes(struct writer *writer, const struct mh_memory_view *view)
{
    writer_key(writer, "changed");
    writer_bracket(writer, "[");
    for (size_t page = 0; page < view->pages; page++) {
        if (view->changed[page] == 0)
            continue;
        writer_comma(writer);
        writer_bracket(writer, "[");
        json_put_number(&writer->line, page);
        json_put(&writer->line, ",");
        json_put_hex(&writer->line, view->changed[page]);
        writer_bracket(writer, "]");
    }
    writer_bracket(writer, "]");
}

void facts_memory(struct writer *writer, struct mh_vm *vm)
{
    struct mh_memory_view view;
    if (mh_vm_view_memory(vm, &view, NULL) == MH_OK) {
        writer_key(writer, "memory");
        writer_bracket(writer, "{");
        writer_number(writer, "ram_pages", view.ram_pages);
        writer_number(writer, "pages", view.pages);
        writer_hex(writer, "area", mh_memory_view_address(&view, view.ram_pages));
        writer_bool(writer, "knows_accesses", view.knows_accesses);
        writer_bool(writer, "knows_writes", view.knows_writes);
        memory_put_pages(writer, &view);
        memory_put_changes(writer, &view);
        writer_bracket(writer, "}");
    }
    mh_memory_view_free(&view);
}

/* ---- instructions ---- */

/* More than a page can show, and more than guests of this size have. */
#define COUNTS_MAX 20000u

void facts_counts(struct writer *writer, const struct mh_vm_config *config, struct mh_vm *vm)
{
    struct mh_counts counts;
    if (!config->counts || mh_vm_counts(vm, &counts, NULL) != MH_OK)
        return;
    const size_t kept = counts.length < COUNTS_MAX ? counts.length : COUNTS_MAX;
    writer_key(writer, "counts");
    writer_bracket(writer, "{");
    writer_bool(writer, "complete", kept == counts.length && counts.elsewhere == 0);
    writer_key(writer, "list");
    writer_bracket(writer, "[");
    for (size_t i = 0; i < kept; i++) {
        writer_comma(writer);
        writer_bracket(writer, "[");
        json_put_hex(&writer->line, counts.counts[i].address);
        json_put(&writer->line, ",");
        json_put_number(&writer->line, counts.counts[i].count);
        json_put(&writer->line, ",");
        json_put_number(&writer->line, counts.counts[i].length);
        writer_bracket(writer, "]");
    }
    writer_bracket(writer, "]");
    writer_bracket(writer, "}");
}

/* ---- page tables ---- */

#define TABLE_ENTRIES 512u
/* Runs of entries, of all tables: a guest may fill its memory with tables. */
#define TABLE_RUNS_MAX 16384u

struct tables {
    struct writer *writer;
    unsigned runs;
    bool is_cut;
};

static uint64_t table_entry(const struct mh_page_table *table, unsigned index)
{
    uint64_t entry;
    memcpy(&entry, table->entries + index * sizeof entry, sizeof entry);
    return entry;
}

/* How many entries from `index` on grow by the same difference. */
static unsigned table_run(const struct mh_page_table *table, unsigned index, uint64_t *difference)
{
    unsigned end = index + 1;
    *difference = end < TABLE_ENTRIES ? table_entry(table, end) - table_entry(table, index) : 0;
    while (end < TABLE_ENTRIES && table_entry(table, end) - table_entry(table, end - 1) == *difference)
        end++;
    return end - index;
}

/* [index of the first, how many, the first, by how much they grow] */
static void table_put_run(struct writer *writer, unsigned index, unsigned count, uint64_t entry, uint64_t difference)
{
    writer_comma(writer);
    writer_bracket(writer, "[");
    json_put_number(&writer->line, index);
    json_put(&writer->line, ",");
    json_put_number(&writer->line, count);
    json_put(&writer->line, ",");
    json_put_hex(&writer->line, entry);
    if (count > 1) {
        json_put(&writer->line, ",");
        json_put_hex(&writer->line, difference);
    }
    writer_bracket(writer, "]");
}

static void table_put_runs(struct tables *tables, const struct mh_page_table *table)
{
    uint64_t difference;
    for (unsigned index = 0, count; index < TABLE_ENTRIES && !tables->is_cut; index += count) {
        const uint64_t entry = table_entry(table, index);
        count = table_run(table, index, &difference);
        /* two entries are always some run: the next one may begin a better one */
        if (count == 2 && index + 2 < TABLE_ENTRIES)
            count = 1;
        if (entry == 0 && (count == 1 || difference == 0))
            continue;
        table_put_run(tables->writer, index, count, entry, difference);
        tables->is_cut = ++tables->runs == TABLE_RUNS_MAX;
    }
}

static void tables_put(void *ctx, const struct mh_page_table *table)
{
    struct tables *tables = ctx;
    struct writer *writer = tables->writer;
    if (table->is_known || tables->is_cut)
        return;
    writer_comma(writer);
    writer_bracket(writer, "{");
    writer_hex(writer, "at", table->address);
    writer_key(writer, "runs");
    writer_bracket(writer, "[");
    table_put_runs(tables, table);
    writer_bracket(writer, "]");
    writer_bracket(writer, "}");
}

void facts_tables(struct writer *writer, struct mh_vm *vm, const struct mh_x86_system *system)
{
    struct tables tables = {.writer = writer};
    const bool is_long = (system->cr0 & MH_CR0_PG) != 0 && (system->efer & MH_EFER_LMA) != 0;
    writer_key(writer, "tables");
    writer_bracket(writer, "{");
    writer_hex(writer, "cr3", system->cr3);
    writer_number(writer, "levels", !is_long ? 0 : (system->cr4 & MH_CR4_LA57) != 0 ? 5 : 4);
    writer_bool(writer, "nx", (system->efer & MH_EFER_NXE) != 0);
    writer_key(writer, "tables");
    writer_bracket(writer, "[");
    const bool is_all = mh_vm_each_page_table(vm, tables_put, &tables);
    writer_bracket(writer, "]");
    writer_bool(writer, "complete", is_all && !tables.is_cut);
    writer_bracket(writer, "}");
}
