#include "tracepoints/tracepoints.h"

#include <stdlib.h>
#include <string.h>

static enum mh_status tracepoint_fail_malformed(struct mh_error *err)
{
    return mh_fail(err, MH_ERR_USAGE, "malformed tracepoint, or expression longer than %u bytes", AGENT_CODE_MAX);
}

static enum mh_status tracepoint_fail_memory(struct mh_error *err)
{
    return mh_fail(err, MH_ERR_HOST, "no memory for the tracepoint");
}

/* --- parsing --- */

/* Parse "LENGTH,CODE"; the caller frees the code. */
static enum mh_status expression_parse(struct gdb_text *text, struct agent_expression *expression, struct mh_error *err)
{
    uint32_t length;

    if (!gdb_text_u32(text, AGENT_CODE_MAX, &length) || !gdb_text_eat(text, ',') || length == 0 ||
        gdb_text_length(text) < 2ul * length)
        return tracepoint_fail_malformed(err);
    uint8_t *code = malloc(length);
    if (code == NULL)
        return tracepoint_fail_memory(err);
    if (!gdb_hex_decode(code, text->at, 2ul * length)) {
        free(code);
        return tracepoint_fail_malformed(err);
    }
    text->at += 2ul * length;
    *expression = (struct agent_expression){code, length};
    return MH_OK;
}

/* Parse "BASE,OFFSET,LENGTH"; the base is a register number or -1, which gdb writes in several ways. */
static enum mh_status action_parse_memory(struct gdb_text *text, struct gdb_trace_action *action, struct mh_error *err)
{
    uint32_t base = UINT32_MAX;

    if ((!gdb_text_eat_word(text, "-1") && !gdb_text_u32(text, UINT32_MAX, &base)) || !gdb_text_eat(text, ',') ||
        !gdb_text_u64(text, &action->offset) || !gdb_text_eat(text, ',') || !gdb_text_u64(text, &action->length))
        return tracepoint_fail_malformed(err);
    action->has_base = base != UINT32_MAX;
    action->base = base;
    return MH_OK;
}

/* Skip the mask: all registers are collected in any case, because trace files cannot hold fewer. */
static enum mh_status action_skip_mask(struct gdb_text *text, struct mh_error *err)
{
    const char *start = text->at;

    while (!gdb_text_empty(text) && gdb_hex_digit(*text->at) >= 0)
        text->at++;
    return text->at > start ? MH_OK : tracepoint_fail_malformed(err);
}

static enum mh_status action_parse(struct gdb_text *text, struct gdb_trace_action *action, struct mh_error *err)
{
    if (gdb_text_eat(text, 'R')) {
        action->kind = GDB_TRACE_REGISTERS;
        return action_skip_mask(text, err);
    }
    if (gdb_text_eat(text, 'M')) {
        action->kind = GDB_TRACE_MEMORY;
        return action_parse_memory(text, action, err);
    }
    if (gdb_text_eat(text, 'X')) {
        action->kind = GDB_TRACE_EXPRESSION;
        return expression_parse(text, &action->expression, err);
    }
    if (gdb_text_eat(text, 'L'))
        return mh_fail(err, MH_ERR_USAGE, "$_sdata cannot be collected: static tracepoints are not supported");
    return tracepoint_fail_malformed(err);
}

static void expression_free(const struct agent_expression *expression)
{
    free((void *)(uintptr_t)expression->code);
}

static enum mh_status tracepoint_add_action(struct gdb_tracepoint *point, const struct gdb_trace_action *action,
                                            struct mh_error *err)
{
    struct gdb_trace_action *list = realloc(point->actions, (point->action_count + 1) * sizeof *list);

    if (list == NULL) {
        expression_free(&action->expression);
        return tracepoint_fail_memory(err);
    }
    list[point->action_count++] = *action;
    point->actions = list;
    return MH_OK;
}

static void tracepoint_truncate_actions(struct gdb_tracepoint *point, size_t kept)
{
    while (point->action_count > kept)
        expression_free(&point->actions[--point->action_count].expression);
}

static enum mh_status tracepoint_parse_actions(struct gdb_tracepoint *point, struct gdb_text text, struct mh_error *err)
{
    enum mh_status status = MH_OK;

    do {
        struct gdb_trace_action action = {.stepping = point->stepping_defined};

        status = action_parse(&text, &action, err);
        if (status == MH_OK)
            status = tracepoint_add_action(point, &action, err);
    } while (status == MH_OK && !gdb_text_empty(&text));
    return status;
}

/* --- lines kept for later debuggers --- */

static enum mh_status tracepoints_take_room(struct gdb_tracepoints *points, size_t length, struct mh_error *err)
{
    if (length > GDB_TRACEPOINT_TEXT_MAX - points->text)
        return mh_fail(err, MH_ERR_RANGE, "the definitions of all tracepoints can have at most %u bytes",
                       GDB_TRACEPOINT_TEXT_MAX);
    points->text += length;
    return MH_OK;
}

/* Append `piece` and the text as a line. */
static enum mh_status tracepoint_add_line(struct gdb_tracepoint *point, char piece, const struct gdb_text *text,
                                          struct mh_error *err)
{
    size_t length = gdb_text_length(text);
    char *lines = realloc(point->lines, point->lines_length + length + 2), *to;

    if (lines == NULL)
        return tracepoint_fail_memory(err);
    to = lines + point->lines_length;
    to[0] = piece;
    memcpy(to + 1, text->at, length);
    to[1 + length] = '\0';
    point->lines = lines;
    point->lines_length += length + 2;
    return MH_OK;
}

/* --- defining --- */

static bool tracepoint_parse_place(struct gdb_text *text, uint32_t *number, uint64_t *address)
{
    return gdb_text_u32(text, GDB_TRACEPOINT_NUMBER_MAX, number) && gdb_text_eat(text, ':') &&
           gdb_text_u64(text, address);
}

struct gdb_tracepoint *gdb_tracepoints_read(const struct gdb_tracepoints *points, struct gdb_text *text)
{
    uint32_t number;
    uint64_t address;

    if (!tracepoint_parse_place(text, &number, &address))
        return NULL;
    for (size_t i = 0; i < points->count; i++)
        if (points->list[i].number == number && points->list[i].address == address)
            return &points->list[i];
    return NULL;
}

/* Parse options: a condition. Fast and static tracepoints would need the stub's code inside the guest. */
static enum mh_status tracepoint_parse_options(struct gdb_text *text, struct gdb_tracepoint *point,
                                               struct mh_error *err)
{
    while (gdb_text_eat(text, ':')) {
        enum mh_status status;

        if (gdb_text_eat(text, 'F') || gdb_text_eat(text, 'S'))
            return mh_fail(err, MH_ERR_USAGE, "fast and static tracepoints are not supported; use trace");
        if (point->condition.code != NULL || !gdb_text_eat(text, 'X'))
            return tracepoint_fail_malformed(err);
        status = expression_parse(text, &point->condition, err);
        if (status != MH_OK)
            return status;
    }
    return MH_OK;
}

/* Parse ":ENABLED:STEP:PASS" and options. */
static enum mh_status tracepoint_parse_head(struct gdb_text *text, struct gdb_tracepoint *point, struct mh_error *err)
{
    if (!gdb_text_eat(text, ':'))
        return tracepoint_fail_malformed(err);
    point->enabled = gdb_text_eat(text, 'E');
    if ((!point->enabled && !gdb_text_eat(text, 'D')) || !gdb_text_eat(text, ':') ||
        !gdb_text_u64(text, &point->step_count) || !gdb_text_eat(text, ':') || !gdb_text_u64(text, &point->pass_count))
        return tracepoint_fail_malformed(err);
    enum mh_status status = tracepoint_parse_options(text, point, err);
    point->unfinished = gdb_text_eat(text, '-');
    return status == MH_OK && !gdb_text_empty(text) ? tracepoint_fail_malformed(err) : status;
}

static bool tracepoints_grow(struct gdb_tracepoints *points)
{
    size_t capacity = points->capacity ? 2 * points->capacity : 8;
    struct gdb_tracepoint *list = realloc(points->list, capacity * sizeof *list);

    if (list == NULL)
        return false;
    points->list = list;
    points->capacity = capacity;
    return true;
}

static void tracepoint_free(struct gdb_tracepoint *point)
{
    tracepoint_truncate_actions(point, 0);
    free(point->actions);
    free(point->lines);
    expression_free(&point->condition);
}

static enum mh_status tracepoints_begin(struct gdb_tracepoints *points, struct gdb_text text, struct mh_error *err)
{
    struct gdb_tracepoint point = {.number = 0};
    struct gdb_text place = text;
    uint32_t number;

    if (gdb_tracepoints_read(points, &place) != NULL)
        return mh_fail(err, MH_ERR_USAGE, "this tracepoint already exists at this address");
    if (!tracepoint_parse_place(&text, &number, &point.address))
        return tracepoint_fail_malformed(err);
    if (points->count == GDB_TRACEPOINT_COUNT_MAX)
        return mh_fail(err, MH_ERR_RANGE, "there can be at most %u tracepoints", GDB_TRACEPOINT_COUNT_MAX);
    point.number = number;
    enum mh_status status = tracepoint_parse_head(&text, &point, err);
    if (status == MH_OK && points->count == points->capacity && !tracepoints_grow(points))
        status = tracepoint_fail_memory(err);
    if (status != MH_OK)
        tracepoint_free(&point);
    else
        points->list[points->count++] = point;
    return status;
}

/* Add the actions after "NUMBER:ADDRESS:" to the tracepoint, which must be the one defined last, and incomplete. */
static enum mh_status tracepoints_add_actions(struct gdb_tracepoints *points, struct gdb_text text,
                                              struct mh_error *err)
{
    struct gdb_text rest = text;
    struct gdb_tracepoint *point = gdb_tracepoints_read(points, &rest);
    bool more = gdb_text_length(&text) > 0 && text.end[-1] == '-', steps = point != NULL && point->stepping_defined;
    size_t kept = point != NULL ? point->action_count : 0;

    if (point == NULL || point != &points->list[points->count - 1] || !point->unfinished)
        return mh_fail(err, MH_ERR_USAGE, "actions for a tracepoint whose definition is complete");
    if (!gdb_text_eat(&rest, ':'))
        return tracepoint_fail_malformed(err);
    rest.end -= more;
    if (gdb_text_eat(&rest, 'S'))
        point->stepping_defined = true;
    enum mh_status status = tracepoint_parse_actions(point, rest, err);
    if (status != MH_OK) {
        tracepoint_truncate_actions(point, kept);
        point->stepping_defined = steps;
        return status;
    }
    point->unfinished = more;
    return tracepoint_add_line(point, point->stepping_defined ? 'S' : 'A', &rest, err);
}

enum mh_status gdb_tracepoints_define(struct gdb_tracepoints *points, struct gdb_text text,
                                      struct gdb_tracepoint **point, struct mh_error *err)
{
    enum mh_status status = tracepoints_take_room(points, gdb_text_length(&text), err);

    if (status == MH_OK)
        status = gdb_text_eat(&text, '-') ? tracepoints_add_actions(points, text, err)
                                          : tracepoints_begin(points, text, err);
    if (status == MH_OK)
        *point = &points->list[points->count - 1];
    return status;
}

/* "TYPE:START:LENGTH:HEXADECIMAL" */
static bool source_is_valid(struct gdb_text text)
{
    struct gdb_text type = gdb_text_cut(&text, ':');
    uint64_t start, length;

    if (!gdb_text_is(&type, "at") && !gdb_text_is(&type, "cond") && !gdb_text_is(&type, "cmd"))
        return false;
    if (!gdb_text_u64(&text, &start) || !gdb_text_eat(&text, ':') || !gdb_text_u64(&text, &length) ||
        !gdb_text_eat(&text, ':'))
        return false;
    while (!gdb_text_empty(&text) && gdb_hex_digit(*text.at) >= 0)
        text.at++;
    return gdb_text_empty(&text);
}

enum mh_status gdb_tracepoints_source(struct gdb_tracepoints *points, struct gdb_text text, struct mh_error *err)
{
    enum mh_status status = tracepoints_take_room(points, gdb_text_length(&text), err);

    if (status != MH_OK)
        return status;
    struct gdb_tracepoint *point = gdb_tracepoints_read(points, &text);
    if (point == NULL || !gdb_text_eat(&text, ':') || !source_is_valid(text))
        return tracepoint_fail_malformed(err);
    return tracepoint_add_line(point, 'Z', &text, err);
}

void gdb_tracepoints_drop_last(struct gdb_tracepoints *points)
{
    tracepoint_free(&points->list[--points->count]);
}

void gdb_tracepoints_free(struct gdb_tracepoints *points)
{
    while (points->count > 0)
        gdb_tracepoints_drop_last(points);
    free(points->list);
    *points = (struct gdb_tracepoints){.list = NULL};
}
