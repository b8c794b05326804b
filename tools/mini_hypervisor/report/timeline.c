#include "report/timeline.h"

#include <stdio.h>
#include <string.h>

static unsigned timeline_find_file(struct report_timeline *timeline, const char *name)
{
    unsigned i = 0;
    while (i < timeline->file_count && strcmp(timeline->files[i].name, name) != 0)
        i++;
    if (i < timeline->file_count || i == TIMELINE_FILES_MAX || *name == '\0')
        return i < timeline->file_count ? i : TIMELINE_NO_FILE;
    snprintf(timeline->files[i].name, sizeof timeline->files[i].name, "%s", name);
    timeline->file_count++;
    return i;
}

static bool timeline_op_moves_bytes(uint8_t op)
{
    return op == MH_FILE_READ || op == MH_FILE_WRITE;
}

static void timeline_count_call(struct timeline_file *file, const struct mh_event *event)
{
    if (event->op <= MH_FILE_SIZE)
        file->calls[event->op]++;
    if (event->result < 0)
        file->failed++;
    else if (event->op == MH_FILE_READ)
        file->bytes_read += (uint64_t)event->result;
    else if (event->op == MH_FILE_WRITE)
        file->bytes_written += (uint64_t)event->result;
}

static void timeline_fill_file(struct report_timeline *timeline, const struct mh_event *event,
                               struct timeline_entry *entry)
{
    const unsigned file = timeline_find_file(timeline, event->name);
    if (file != TIMELINE_NO_FILE)
        timeline_count_call(&timeline->files[file], event);
    else if (*event->name != '\0')
        timeline->unlisted_calls++;
    entry->file = (uint8_t)file;
    entry->op = event->op;
    entry->value = (uint64_t)event->result;
    if (timeline_op_moves_bytes(event->op) && event->result > 0)
        entry->bytes = (uint64_t)event->result;
}

/* The entry that the event alone would be; false: it is none. */
static bool timeline_fill(struct report_timeline *timeline, uint64_t now, const struct mh_event *event,
                          struct timeline_entry *entry)
{
    *entry = (struct timeline_entry){.kind = event->kind, .count = 1, .begin = now - timeline->start};
    entry->end = entry->begin;
    entry->has_rip = event->has_rip;
    entry->rip = event->rip;
    entry->has_instructions = event->has_instructions;
    entry->first = entry->last = event->instructions;
    switch (event->kind) {
    case MH_EVENT_PORT:
        entry->port = event->port;
        entry->is_in = event->is_in;
        entry->bytes = (uint64_t)event->count * event->width;
        entry->value = event->value;
        return true;
    case MH_EVENT_FILE:
        timeline_fill_file(timeline, event, entry);
        return true;
    case MH_EVENT_FAULT:
        entry->vector = event->vector;
        entry->value = event->handler;
        return true;
    case MH_EVENT_INTERRUPT:
        entry->vector = event->vector;
        return true;
    case MH_EVENT_CR3:
        entry->value = event->now;
        return true;
    case MH_EVENT_STOP:
        entry->op = (uint8_t)event->stop->kind;
        return true;
    case MH_EVENT_ENTER:
    case MH_EVENT_EXIT:
        break;
    }
    return false;
}

static struct timeline_entry *timeline_slot(struct report_timeline *timeline, uint64_t number)
{
    const uint64_t slot = number < TIMELINE_FIRST ? number : TIMELINE_FIRST + (number - TIMELINE_FIRST) % TIMELINE_LAST;
    return &timeline->entries[slot];
}

static bool timeline_continues(const struct timeline_entry *last, const struct timeline_entry *entry)
{
    return last->kind == entry->kind && last->is_in == entry->is_in && last->port == entry->port &&
           last->op == entry->op && last->vector == entry->vector && last->file == entry->file &&
           last->has_instructions == entry->has_instructions && entry->first >= last->last;
}

void report_timeline_event(struct report_timeline *timeline, uint64_t now, const struct mh_event *event)
{
    struct timeline_entry entry;
    if (!timeline->has_started)
        timeline->start = now;
    timeline->has_started = true;
    timeline->end = now - timeline->start;
    if (!timeline_fill(timeline, now, event, &entry))
        return;
    struct timeline_entry *last = timeline->count > 0 ? timeline_slot(timeline, timeline->count - 1) : NULL;
    if (last == NULL || !timeline_continues(last, &entry)) {
        *timeline_slot(timeline, timeline->count++) = entry;
        return;
    }
    last->count++;
    last->bytes += entry.bytes;
    last->end = entry.end;
    last->last = entry.last;
    last->value = entry.value;
}

unsigned report_timeline_kept(const struct report_timeline *timeline)
{
    return timeline->count < TIMELINE_ENTRIES ? (unsigned)timeline->count : TIMELINE_ENTRIES;
}

const struct timeline_entry *report_timeline_at(const struct report_timeline *timeline, unsigned i)
{
    const uint64_t dropped = timeline->count - report_timeline_kept(timeline);
    const uint64_t number = i < TIMELINE_FIRST ? i : i + dropped;
    const uint64_t slot = number < TIMELINE_FIRST ? number : TIMELINE_FIRST + (number - TIMELINE_FIRST) % TIMELINE_LAST;
    return &timeline->entries[slot];
}
