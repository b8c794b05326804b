#include "catches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTOR_MAX 31u

static const char usage[] = "catch: say out PORT [VALUE], in PORT [VALUE], file open|close|read|write [NAME], "
                            "fault [VECTOR] or cr3";

/* Cut the next word off a text; returns its length. */
static size_t next_word(const char **text, const char **word)
{
    *word = *text + strspn(*text, " ");
    size_t length = strcspn(*word, " ");
    *text = *word + length;
    return length;
}

static bool next_is(const char **text, const char *wanted)
{
    const char *rest = *text, *word;
    size_t length = next_word(&rest, &word);
    if (length != strlen(wanted) || strncmp(word, wanted, length) != 0)
        return false;
    *text = rest;
    return true;
}

/* Take a number up to `max`, if there is a word left. False when that word is no such number. */
static bool take_number(const char **text, uint32_t max, bool *is_there, uint32_t *number)
{
    const char *word;
    size_t length = next_word(text, &word);
    char *end;
    *is_there = length > 0;
    if (length == 0)
        return true;
    unsigned long value = strtoul(word, &end, 0);
    *number = (uint32_t)value;
    return end == *text && *word != '-' && value <= max;
}

static bool take_port(const char **text, struct catchpoint *to, bool is_in)
{
    uint32_t port = 0;
    bool is_there;
    to->kind = MH_EVENT_PORT;
    to->is_in = is_in;
    if (!take_number(text, UINT16_MAX, &is_there, &port) || !is_there)
        return false;
    to->port = (uint16_t)port;
    return take_number(text, UINT32_MAX, &to->has_value, &to->value);
}

static bool take_file(const char **text, struct catchpoint *to)
{
    to->kind = MH_EVENT_FILE;
    for (to->op = MH_FILE_OPEN; to->op <= (uint8_t)MH_FILE_WRITE; to->op++) {
        if (!next_is(text, mh_file_op_name(to->op)))
            continue;
        const char *word;
        size_t length = next_word(text, &word);
        snprintf(to->name, sizeof to->name, "%.*s", (int)length, word);
        return length < sizeof to->name;
    }
    return false;
}

static bool parse(const char *text, struct catchpoint *to)
{
    const char *word;
    bool is_right = false;
    if (next_is(&text, "out"))
        is_right = take_port(&text, to, false);
    else if (next_is(&text, "in"))
        is_right = take_port(&text, to, true);
    else if (next_is(&text, "file"))
        is_right = take_file(&text, to);
    else if (next_is(&text, "fault")) {
        to->kind = MH_EVENT_FAULT;
        is_right = take_number(&text, VECTOR_MAX, &to->has_value, &to->value);
    } else if (next_is(&text, "cr3")) {
        to->kind = MH_EVENT_CR3;
        is_right = true;
    }
    return is_right && next_word(&text, &word) == 0;
}

static bool takes_steps(const struct catchpoint *catchpoint)
{
    return catchpoint->kind == MH_EVENT_FAULT || catchpoint->kind == MH_EVENT_CR3;
}

static void find_out_whether_to_step(struct catches *catches)
{
    catches->by_step = false;
    for (unsigned i = 0; i < catches->count; i++)
        catches->by_step |= takes_steps(&catches->list[i]);
}

bool catches_last_takes_steps(const struct catches *catches)
{
    return catches->count > 0 && takes_steps(&catches->list[catches->count - 1]);
}

enum mh_status catches_add(struct catches *catches, const char *words, struct mh_error *err)
{
    struct catchpoint added = {.number = catches->last_number + 1};
    if (!parse(words, &added))
        return mh_fail(err, MH_ERR_RANGE, "%s", usage);
    if (catches->count == CATCHES_MAX)
        return mh_fail(err, MH_ERR_RANGE, "there are %u catchpoints already, the most there can be: uncatch some",
                       CATCHES_MAX);
    if (catches->list == NULL)
        catches->list = calloc(CATCHES_MAX, sizeof *catches->list);
    if (catches->list == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for catchpoints");
    catches->list[catches->count++] = added;
    catches->last_number = added.number;
    find_out_whether_to_step(catches);
    return MH_OK;
}

bool catches_remove(struct catches *catches, unsigned number)
{
    unsigned kept = 0, before = catches->count;
    for (unsigned i = 0; i < before; i++) {
        if (number != 0 && catches->list[i].number != number)
            catches->list[kept++] = catches->list[i];
    }
    catches->count = kept;
    if (kept == 0) {
        free(catches->list);
        catches->list = NULL;
    }
    find_out_whether_to_step(catches);
    return kept < before;
}

static void say_port(const struct catchpoint *catchpoint, const struct text_output *output)
{
    const char *direction = catchpoint->is_in ? "in" : "out";
    if (catchpoint->has_value)
        text_say(output, "%u  %s 0x%x 0x%x\n", catchpoint->number, direction, catchpoint->port, catchpoint->value);
    else
        text_say(output, "%u  %s 0x%x\n", catchpoint->number, direction, catchpoint->port);
}

static void say(const struct catchpoint *catchpoint, const struct text_output *output)
{
    switch (catchpoint->kind) {
    case MH_EVENT_PORT:
        say_port(catchpoint, output);
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
        break; /* nobody can ask for these */
    }
}

void catches_list(const struct catches *catches, const struct text_output *output)
{
    if (catches->count == 0)
        text_say(output, "no catchpoints\n");
    for (unsigned i = 0; i < catches->count; i++)
        say(&catches->list[i], output);
}

bool catches_port(const struct catches *catches, uint16_t port)
{
    for (unsigned i = 0; i < catches->count; i++) {
        if (catches->list[i].kind == MH_EVENT_PORT && catches->list[i].port == port)
            return true;
    }
    return false;
}

static bool matches(const struct catchpoint *catchpoint, const struct mh_event *event)
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
        return true;
    }
    return false;
}

void catches_note(struct catches *catches, const struct mh_event *event)
{
    char text[400];
    for (unsigned i = 0; i < catches->count && !catches->hit; i++) {
        if (!matches(&catches->list[i], event))
            continue;
        catches->hit = true;
        mh_event_text(event, text, sizeof text);
        snprintf(catches->text, sizeof catches->text, "catchpoint %u: %s", catches->list[i].number, text);
    }
}
