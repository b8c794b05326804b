#include "tracepoints/tracepoints.h"

#include <stdlib.h>
#include <string.h>

static enum mh_status malformed(struct mh_error *err)
{
    return mh_fail(err, MH_ERR_USAGE, "malformed tracepoint, or an expression of more than %u bytes", AGENT_CODE_MAX);
}

static enum mh_status no_memory(struct mh_error *err)
{
    return mh_fail(err, MH_ERR_HOST, "no memory for the tracepoint");
}

/* --- reading --- */

/* Reads "LENGTH,CODE"; the code is to be freed. */
static enum mh_status read_expression(struct gdb_text *text, struct agent_expression *expression, struct mh_error *err)
{
    uint32_t length;
    uint8_t *code;

    if (!gdb_text_u32(text, AGENT_CODE_MAX, &length) || !gdb_text_eat(text, ',') || length == 0 ||
        gdb_text_length(text) < 2ul * length)
        return malformed(err);
    code = malloc(length);
    if (!code)
        return no_memory(err);
    if (!gdb_hex_decode(code, text->at, 2ul * length)) {
        free(code);
        return malformed(err);
    }
    text->at += 2ul * length;
    *expression = (struct agent_expression){code, length};
    return MH_OK;
}

/* Reads "BASE,OFFSET,LENGTH"; the base is a register's number or -1, which gdb writes in more than one way. */
static enum mh_status read_memory(struct gdb_text *text, struct gdb_trace_action *action, struct mh_error *err)
{
    uint32_t base = UINT32_MAX;

    if ((!gdb_text_eat_word(text, "-1") && !gdb_text_u32(text, UINT32_MAX, &base)) || !gdb_text_eat(text, ',') ||
        !gdb_text_u64(text, &action->offset) || !gdb_text_eat(text, ',') || !gdb_text_u64(text, &action->length))
        return malformed(err);
    action->has_base = base != UINT32_MAX;
    action->base = base;
    return MH_OK;
}

/* Steps over the mask: whoever wants one register gets all, for trace files can hold no fewer. */
static enum mh_status read_mask(struct gdb_text *text, struct mh_error *err)
{
    const char *start = text->at;

    while (!gdb_text_empty(text) && gdb_hex_digit(*text->at) >= 0)
        text->at++;
    return text->at > start ? MH_OK : malformed(err);
}

static enum mh_status read_action(struct gdb_text *text, struct gdb_trace_action *action, struct mh_error *err)
{
    if (gdb_text_eat(text, 'R')) {
        action->kind = GDB_TRACE_REGISTERS;
        return read_mask(text, err);
    }
    if (gdb_text_eat(text, 'M')) {
        action->kind = GDB_TRACE_MEMORY;
        return read_memory(text, action, err);
    }
    if (gdb_text_eat(text, 'X')) {
        action->kind = GDB_TRACE_EXPRESSION;
        return read_expression(text, &action->expression, err);
    }
    if (gdb_text_eat(text, 'L'))
        return mh_fail(err, MH_ERR_USAGE, "$_sdata cannot be collected: there are no static tracepoints");
    return malformed(err);
}

static void free_expression(const struct agent_expression *expression)
{
    free((void *)(uintptr_t)expression->code);
}

static enum mh_status add_action(struct gdb_tracepoint *point, const struct gdb_trace_action *action,
                                 struct mh_error *err)
{
    struct gdb_trace_action *list = realloc(point->actions, (point->action_count + 1) * sizeof(*list));

    if (!list) {
        free_expression(&action->expression);
        return no_memory(err);
    }
    list[point->action_count++] = *action;
    point->actions = list;
    return MH_OK;
}

static void forget_actions(struct gdb_tracepoint *point, size_t kept)
{
    while (point->action_count > kept)
        free_expression(&point->actions[--point->action_count].expression);
}

static enum mh_status read_actions(struct gdb_tracepoint *point, struct gdb_text text, struct mh_error *err)
{
    enum mh_status status = MH_OK;

    do {
        struct gdb_trace_action action = {.stepping = point->stepping_defined};

        status = read_action(&text, &action, err);
        if (status == MH_OK)
            status = add_action(point, &action, err);
    } while (status == MH_OK && !gdb_text_empty(&text));
    return status;
}

/* --- what is kept for debuggers to come --- */

static enum mh_status take_room(struct gdb_tracepoints *points, size_t length, struct mh_error *err)
{
    if (length > GDB_TRACEPOINT_TEXT_MAX - points->text)
        return mh_fail(err, MH_ERR_RANGE, "tracepoints may be defined with %u bytes at most", GDB_TRACEPOINT_TEXT_MAX);
    points->text += length;
    return MH_OK;
}

/* Adds `piece` and the text as a line. */
static enum mh_status add_line(struct gdb_tracepoint *point, char piece, const struct gdb_text *text,
                               struct mh_error *err)
{
    size_t length = gdb_text_length(text);
    char *lines = realloc(point->lines, point->lines_length + length + 2), *to;

    if (!lines)
        return no_memory(err);
    to = lines + point->lines_length;
    to[0] = piece;
    memcpy(to + 1, text->at, length);
    to[1 + length] = '\0';
    point->lines = lines;
    point->lines_length += length + 2;
    return MH_OK;
}

/* --- defining --- */

static bool read_place(struct gdb_text *text, uint32_t *number, uint64_t *address)
{
    return gdb_text_u32(text, GDB_TRACEPOINT_NUMBER_MAX, number) && gdb_text_eat(text, ':') &&
           gdb_text_u64(text, address);
}

struct gdb_tracepoint *gdb_tracepoints_read(const struct gdb_tracepoints *points, struct gdb_text *text)
{
    uint32_t number;
    uint64_t address;

    if (!read_place(text, &number, &address))
        return NULL;
    for (size_t i = 0; i < points->count; i++)
        if (points->list[i].number == number && points->list[i].address == address)
            return &points->list[i];
    return NULL;
}

/* Reads what may follow: a condition. Fast and static tracepoints need code of ours in the guest. */
static enum mh_status read_options(struct gdb_text *text, struct gdb_tracepoint *point, struct mh_error *err)
{
    while (gdb_text_eat(text, ':')) {
        enum mh_status status;

        if (gdb_text_eat(text, 'F') || gdb_text_eat(text, 'S'))
            return mh_fail(err, MH_ERR_USAGE, "there are no fast and no static tracepoints here; use trace");
        if (point->condition.code || !gdb_text_eat(text, 'X'))
            return malformed(err);
        status = read_expression(text, &point->condition, err);
        if (status != MH_OK)
            return status;
    }
    return MH_OK;
}

/* Reads ":ENABLED:STEP:PASS" and options. */
static enum mh_status read_head(struct gdb_text *text, struct gdb_tracepoint *point, struct mh_error *err)
{
    enum mh_status status;

    if (!gdb_text_eat(text, ':'))
        return malformed(err);
    point->enabled = gdb_text_eat(text, 'E');
    if ((!point->enabled && !gdb_text_eat(text, 'D')) || !gdb_text_eat(text, ':') ||
        !gdb_text_u64(text, &point->step_count) || !gdb_text_eat(text, ':') || !gdb_text_u64(text, &point->pass_count))
        return malformed(err);
    status = read_options(text, point, err);
    point->unfinished = gdb_text_eat(text, '-');
    return status == MH_OK && !gdb_text_empty(text) ? malformed(err) : status;
}

static bool grow(struct gdb_tracepoints *points)
{
    size_t capacity = points->capacity ? 2 * points->capacity : 8;
    struct gdb_tracepoint *list = realloc(points->list, capacity * sizeof(*list));

    if (!list)
        return false;
    points->list = list;
    points->capacity = capacity;
    return true;
}

static void free_point(struct gdb_tracepoint *point)
{
    forget_actions(point, 0);
    free(point->actions);
    free(point->lines);
    free_expression(&point->condition);
}

static enum mh_status begin(struct gdb_tracepoints *points, struct gdb_text text, struct mh_error *err)
{
    struct gdb_tracepoint point = {.number = 0};
    struct gdb_text place = text;
    uint32_t number;
    enum mh_status status;

    if (gdb_tracepoints_read(points, &place))
        return mh_fail(err, MH_ERR_USAGE, "there is a tracepoint of that number at that address already");
    if (!read_place(&text, &number, &point.address))
        return malformed(err);
    if (points->count == GDB_TRACEPOINT_COUNT_MAX)
        return mh_fail(err, MH_ERR_RANGE, "there may be %u tracepoints at most", GDB_TRACEPOINT_COUNT_MAX);
    point.number = number;
    status = read_head(&text, &point, err);
    if (status == MH_OK && points->count == points->capacity && !grow(points))
        status = no_memory(err);
    if (status != MH_OK)
        free_point(&point);
    else
        points->list[points->count++] = point;
    return status;
}

/* The actions behind "NUMBER:ADDRESS:" go to the tracepoint defined last, if it is that and waits for them. */
static enum mh_status go_on(struct gdb_tracepoints *points, struct gdb_text text, struct mh_error *err)
{
    struct gdb_text rest = text;
    struct gdb_tracepoint *point = gdb_tracepoints_read(points, &rest);
    bool more = gdb_text_length(&text) > 0 && text.end[-1] == '-', steps = point && point->stepping_defined;
    size_t kept = point ? point->action_count : 0;
    enum mh_status status;

    if (!point || point != &points->list[points->count - 1] || !point->unfinished)
        return mh_fail(err, MH_ERR_USAGE, "actions for a tracepoint that waits for none");
    if (!gdb_text_eat(&rest, ':'))
        return malformed(err);
    rest.end -= more;
    if (gdb_text_eat(&rest, 'S'))
        point->stepping_defined = true;
    status = read_actions(point, rest, err);
    if (status != MH_OK) {
        forget_actions(point, kept);
        point->stepping_defined = steps;
        return status;
    }
    point->unfinished = more;
    return add_line(point, point->stepping_defined ? 'S' : 'A', &rest, err);
}

enum mh_status gdb_tracepoints_define(struct gdb_tracepoints *points, struct gdb_text text,
                                      struct gdb_tracepoint **point, struct mh_error *err)
{
    enum mh_status status = take_room(points, gdb_text_length(&text), err);

    if (status == MH_OK)
        status = gdb_text_eat(&text, '-') ? go_on(points, text, err) : begin(points, text, err);
    if (status == MH_OK)
        *point = &points->list[points->count - 1];
    return status;
}

/* "TYPE:START:LENGTH:HEXADECIMAL" */
static bool is_source(struct gdb_text text)
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
    struct gdb_tracepoint *point;
    enum mh_status status = take_room(points, gdb_text_length(&text), err);

    if (status != MH_OK)
        return status;
    point = gdb_tracepoints_read(points, &text);
    if (!point || !gdb_text_eat(&text, ':') || !is_source(text))
        return malformed(err);
    return add_line(point, 'Z', &text, err);
}

void gdb_tracepoints_drop_last(struct gdb_tracepoints *points)
{
    free_point(&points->list[--points->count]);
}

void gdb_tracepoints_free(struct gdb_tracepoints *points)
{
    while (points->count > 0)
        gdb_tracepoints_drop_last(points);
    free(points->list);
    *points = (struct gdb_tracepoints){.list = NULL};
}
