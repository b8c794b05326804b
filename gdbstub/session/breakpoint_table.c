#include "session/breakpoint_table.h"

#include <stdlib.h>

/* --- parsing --- */

struct reader {
    struct gdb_text text;
    struct gdb_breakpoint *point;
    unsigned count, room; /* expressions parsed, and how many there is room for */
    uint8_t *code;        /* where the code of the next one goes */
};

static unsigned reader_count_expressions(struct gdb_text text)
{
    unsigned count = 0;

    for (; text.at < text.end; text.at++)
        count += *text.at == 'X';
    return count;
}

/* Parse "LENGTH,CODE". */
static bool reader_expression(struct reader *reader)
{
    struct agent_expression *expression = &reader->point->expressions[reader->count];
    uint32_t length;

    if (reader->count == reader->room || !gdb_text_u32(&reader->text, AGENT_CODE_MAX, &length) ||
        !gdb_text_eat(&reader->text, ',') || gdb_text_length(&reader->text) < 2ul * length ||
        !gdb_hex_decode(reader->code, reader->text.at, 2ul * length))
        return false;
    *expression = (struct agent_expression){reader->code, length};
    reader->text.at += 2ul * length;
    reader->code += length;
    reader->count++;
    return true;
}

/* Parse one or more expressions and count them. */
static bool reader_list(struct reader *reader, unsigned *count)
{
    if (!gdb_text_eat(&reader->text, 'X'))
        return false;
    do {
        if (!reader_expression(reader))
            return false;
        ++*count;
    } while (gdb_text_eat(&reader->text, 'X'));
    return true;
}

static bool reader_commands(struct reader *reader)
{
    uint32_t persists;

    if (!gdb_text_u32(&reader->text, 1, &persists) || !gdb_text_eat(&reader->text, ','))
        return false;
    reader->point->persists = persists;
    return reader_list(reader, &reader->point->command_count);
}

static bool reader_options(struct reader *reader)
{
    struct gdb_breakpoint *point = reader->point;

    while (!gdb_text_empty(&reader->text)) {
        /* commands come last, because their place in the array distinguishes them from conditions */
        if (point->command_count > 0 || !gdb_text_eat(&reader->text, ';'))
            return false;
        if (gdb_text_eat_word(&reader->text, "cmds:") ? !reader_commands(reader)
                                                      : !reader_list(reader, &point->condition_count))
            return false;
    }
    return true;
}

enum mh_status gdb_breakpoint_parse(struct gdb_text options, struct gdb_breakpoint *point, struct mh_error *err)
{
    struct reader reader = {.text = options, .point = point, .room = reader_count_expressions(options)};
    size_t size = reader.room * sizeof *point->expressions + gdb_text_length(&options) / 2;

    point->persists = false;
    point->condition_count = point->command_count = 0;
    point->expressions = NULL;
    point->size = 0;
    if (gdb_text_empty(&options))
        return MH_OK;
    point->expressions = malloc(size);
    point->size = size;
    if (point->expressions == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for the breakpoint's conditions");
    reader.code = (uint8_t *)(point->expressions + reader.room);
    if (reader_options(&reader))
        return MH_OK;
    gdb_breakpoint_free(point);
    return mh_fail(err, MH_ERR_USAGE, "malformed condition or command, or one longer than %u bytes", AGENT_CODE_MAX);
}

void gdb_breakpoint_free(struct gdb_breakpoint *point)
{
    free(point->expressions);
    point->expressions = NULL;
    point->condition_count = point->command_count = 0;
    point->size = 0;
}

/* --- the list --- */

static struct gdb_breakpoint *table_find(const struct gdb_breakpoint_table *points, enum mh_break_kind kind,
                                         uint64_t address)
{
    for (size_t i = 0; i < points->count; i++)
        if (points->list[i].address == address && points->list[i].kind == kind)
            return &points->list[i];
    return NULL;
}

static bool table_grow(struct gdb_breakpoint_table *points)
{
    size_t capacity = points->capacity ? 2 * points->capacity : 16;
    struct gdb_breakpoint *list = realloc(points->list, capacity * sizeof *list);

    if (list == NULL)
        return false;
    points->list = list;
    points->capacity = capacity;
    return true;
}

static void table_forget(struct gdb_breakpoint_table *points, struct gdb_breakpoint *point)
{
    points->size -= point->size;
    gdb_breakpoint_free(point);
}

enum mh_status gdb_breakpoint_table_set(struct gdb_breakpoint_table *points, const struct gdb_breakpoint *point,
                                        struct mh_error *err)
{
    struct gdb_breakpoint *same = table_find(points, point->kind, point->address);
    size_t others = points->size - (same != NULL ? same->size : 0);

    if (point->size > 0 && point->size > GDB_BREAKPOINT_TABLE_SIZE_MAX - others)
        return mh_fail(err, MH_ERR_RANGE, "conditions and commands of all breakpoints can have at most %u bytes",
                       GDB_BREAKPOINT_TABLE_SIZE_MAX);
    if (same == NULL && points->count == points->capacity && !table_grow(points))
        return mh_fail(err, MH_ERR_HOST, "no memory for another breakpoint");
    if (same != NULL)
        table_forget(points, same);
    else
        same = &points->list[points->count++];
    *same = *point;
    points->size += point->size;
    return MH_OK;
}

const struct gdb_breakpoint *gdb_breakpoint_table_find(const struct gdb_breakpoint_table *points,
                                                       enum mh_break_kind kind, uint64_t address)
{
    return table_find(points, kind, address);
}

void gdb_breakpoint_table_remove(struct gdb_breakpoint_table *points, enum mh_break_kind kind, uint64_t address)
{
    struct gdb_breakpoint *point = table_find(points, kind, address);

    if (point == NULL)
        return;
    table_forget(points, point);
    *point = points->list[--points->count];
}

void gdb_breakpoint_table_keep_persistent(struct gdb_breakpoint_table *points)
{
    size_t kept = 0;

    for (size_t i = 0; i < points->count; i++) {
        if (points->list[i].persists)
            points->list[kept++] = points->list[i];
        else
            table_forget(points, &points->list[i]);
    }
    points->count = kept;
}

void gdb_breakpoint_table_free(struct gdb_breakpoint_table *points)
{
    for (size_t i = 0; i < points->count; i++)
        gdb_breakpoint_free(&points->list[i]);
    free(points->list);
    *points = (struct gdb_breakpoint_table){.list = NULL};
}
