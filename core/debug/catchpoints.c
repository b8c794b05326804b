#include "debug/catchpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTOR_MAX 31u

static const char usage[] = "catch: say out PORT [VALUE], in PORT [VALUE], file open|close|read|write [NAME], "
                            "fault [VECTOR] or cr3";

/* Cut the next word off a text; returns its length. */
static size_t catchpoints_next_word(const char **text, const char **word)
{
    *word = *text + strspn(*text, " ");
    size_t length = strcspn(*word, " ");
    *text = *word + length;
    return length;
}

static bool catchpoints_next_is(const char **text, const char *wanted)
{
    const char *rest = *text, *word;
    size_t length = catchpoints_next_word(&rest, &word);
    if (length != strlen(wanted) || strncmp(word, wanted, length) != 0)
        return false;
    *text = rest;
    return true;
}

/* Take a number up to `max`, if there is a word left. False when that word is no such number. */
static bool catchpoints_take_number(const char **text, uint32_t max, bool *is_there, uint32_t *number)
{
    const char *word;
    size_t length = catchpoints_next_word(text, &word);
    char *end;
    *is_there = length > 0;
    if (length == 0)
        return true;
    unsigned long value = strtoul(word, &end, 0);
    *number = (uint32_t)value;
    return end == *text && *word != '-' && value <= max;
}

static bool catchpoints_take_port(const char **text, struct catchpoint *to, bool is_in)
{
    uint32_t port = 0;
    bool is_there;
    to->kind = MH_EVENT_PORT;
    to->is_in = is_in;
    if (!catchpoints_take_number(text, UINT16_MAX, &is_there, &port) || !is_there)
        return false;
    to->port = (uint16_t)port;
    return catchpoints_take_number(text, UINT32_MAX, &to->has_value, &to->value);
}

static bool catchpoints_take_file(const char **text, struct catchpoint *to)
{
    to->kind = MH_EVENT_FILE;
    for (to->op = MH_FILE_OPEN; to->op <= (uint8_t)MH_FILE_WRITE; to->op++) {
        if (!catchpoints_next_is(text, mh_file_op_name(to->op)))
            continue;
        const char *word;
        size_t length = catchpoints_next_word(text, &word);
        snprintf(to->name, sizeof to->name, "%.*s", (int)length, word);
        return length < sizeof to->name;
    }
    return false;
}

static bool catchpoints_parse(const char *text, struct catchpoint *to)
{
    const char *word;
    bool is_right = false;
    if (catchpoints_next_is(&text, "out"))
        is_right = catchpoints_take_port(&text, to, false);
    else if (catchpoints_next_is(&text, "in"))
        is_right = catchpoints_take_port(&text, to, true);
    else if (catchpoints_next_is(&text, "file"))
        is_right = catchpoints_take_file(&text, to);
    else if (catchpoints_next_is(&text, "fault")) {
        to->kind = MH_EVENT_FAULT;
        is_right = catchpoints_take_number(&text, VECTOR_MAX, &to->has_value, &to->value);
    } else if (catchpoints_next_is(&text, "cr3")) {
        to->kind = MH_EVENT_CR3;
        is_right = true;
    }
    return is_right && catchpoints_next_word(&text, &word) == 0;
}

static void catchpoints_update_report(struct catchpoints *catchpoints)
{
    catchpoints->report = 0;
    for (unsigned i = 0; i < catchpoints->count; i++) {
        catchpoints->report |= catchpoints->list[i].kind == MH_EVENT_FAULT ? CPU_REPORT_FAULTS : 0;
        catchpoints->report |= catchpoints->list[i].kind == MH_EVENT_CR3 ? CPU_REPORT_CR3 : 0;
    }
}

enum mh_status catchpoints_add(struct catchpoints *catchpoints, const char *words, struct mh_error *err)
{
    struct catchpoint added = {.number = catchpoints->last_number + 1};
    if (!catchpoints_parse(words, &added))
        return mh_fail(err, MH_ERR_RANGE, "%s", usage);
    if (catchpoints->count == CATCHPOINTS_MAX)
        return mh_fail(err, MH_ERR_RANGE, "there are %u catchpoints already, the most there can be: uncatch some",
                       CATCHPOINTS_MAX);
    if (catchpoints->list == NULL)
        catchpoints->list = calloc(CATCHPOINTS_MAX, sizeof *catchpoints->list);
    if (catchpoints->list == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for catchpoints");
    catchpoints->list[catchpoints->count++] = added;
    catchpoints->last_number = added.number;
    catchpoints_update_report(catchpoints);
    return MH_OK;
}

bool catchpoints_remove(struct catchpoints *catchpoints, unsigned number)
{
    unsigned kept = 0, before = catchpoints->count;
    for (unsigned i = 0; i < before; i++) {
        if (number != 0 && catchpoints->list[i].number != number)
            catchpoints->list[kept++] = catchpoints->list[i];
    }
    catchpoints->count = kept;
    if (kept == 0) {
        free(catchpoints->list);
        catchpoints->list = NULL;
    }
    catchpoints_update_report(catchpoints);
    return kept < before;
}

static void catchpoints_say_port(const struct catchpoint *catchpoint, const struct text_output *output)
{
    const char *direction = catchpoint->is_in ? "in" : "out";
    if (catchpoint->has_value)
        text_say(output, "%u  %s 0x%x 0x%x\n", catchpoint->number, direction, catchpoint->port, catchpoint->value);
    else
        text_say(output, "%u  %s 0x%x\n", catchpoint->number, direction, catchpoint->port);
}

static void catchpoints_say(const struct catchpoint *catchpoint, const struct text_output *output)
{
    switch (catchpoint->kind) {
    case MH_EVENT_PORT:
        catchpoints_say_port(catchpoint, output);
        break;
    case MH_EVENT_FILE:
        text_say(output, "%u  file %s%s%s\n", catchpoint->number, mh_file_op_name(catchpoint->op),
                 *catchpoint->name != '\0' ? " " : "", catchpoint->name);
        break;
    case MH_EVENT_FAULT:
        if (catchpoint->has_value)
            text_say(output, "%u  fault %u\n", catchpoint->number, catchpoint->value);
        else
            text_say(output, "%u  fault\n", catchpoint->number);
        break;
    case MH_EVENT_CR3:
        text_say(output, "%u  cr3\n", catchpoint->number);
        break;
    case MH_EVENT_ENTER:
    case MH_EVENT_EXIT:
    case MH_EVENT_STOP:
    case MH_EVENT_INTERRUPT:
        break; /* there is no catchpoint for these */
    }
}

void catchpoints_list(const struct catchpoints *catchpoints, const struct text_output *output)
{
    if (catchpoints->count == 0)
        text_say(output, "no catchpoints\n");
    for (unsigned i = 0; i < catchpoints->count; i++)
        catchpoints_say(&catchpoints->list[i], output);
}

bool catchpoints_watch_port(const struct catchpoints *catchpoints, uint16_t port)
{
    for (unsigned i = 0; i < catchpoints->count; i++) {
        if (catchpoints->list[i].kind == MH_EVENT_PORT && catchpoints->list[i].port == port)
            return true;
    }
    return false;
}

static bool catchpoints_matches(const struct catchpoint *catchpoint, const struct mh_event *event)
{
    if (catchpoint->kind != event->kind)
        return false;
    switch (event->kind) {
    case MH_EVENT_PORT:
        return catchpoint->port == event->port && catchpoint->is_in == event->is_in &&
               (!catchpoint->has_value || catchpoint->value == event->value);
    case MH_EVENT_FILE:
        return catchpoint->op == event->op && (*catchpoint->name == '\0' || strcmp(catchpoint->name, event->name) == 0);
    case MH_EVENT_FAULT:
        return !catchpoint->has_value || catchpoint->value == event->vector;
    case MH_EVENT_CR3:
    case MH_EVENT_ENTER:
    case MH_EVENT_EXIT:
    case MH_EVENT_STOP:
    case MH_EVENT_INTERRUPT:
        return true;
    }
    return false;
}

bool catchpoints_match(const struct catchpoints *catchpoints, const struct mh_event *event, char *text, size_t size)
{
    char what[400];
    for (unsigned i = 0; i < catchpoints->count; i++) {
        if (!catchpoints_matches(&catchpoints->list[i], event))
            continue;
        mh_event_text(event, what, sizeof what);
        snprintf(text, size, "catchpoint %u: %s", catchpoints->list[i].number, what);
        return true;
    }
    return false;
}
