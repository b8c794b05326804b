#include "mh/event.h"

#include "mh/guest_abi.h"

#include <inttypes.h>
#include <stdio.h>

const char *mh_file_op_name(uint8_t op)
{
    static const char *const names[] = {[MH_FILE_OPEN] = "open",   [MH_FILE_CLOSE] = "close", [MH_FILE_READ] = "read",
                                        [MH_FILE_WRITE] = "write", [MH_FILE_SEEK] = "seek",   [MH_FILE_SIZE] = "size"};
    return op < sizeof names / sizeof names[0] && names[op] != NULL ? names[op] : "unknown call";
}

static void port_text(const struct mh_event *event, char *text, size_t size)
{
    char more[32] = "";
    if (event->count > 1)
        snprintf(more, sizeof more, " and %u more", event->count - 1);
    snprintf(text, size, "%s port 0x%x, %u byte%s: 0x%0*x%s", event->is_in ? "in" : "out", event->port, event->width,
             event->width == 1 ? "" : "s", event->width * 2, event->value, more);
}

void mh_event_text(const struct mh_event *event, char *text, size_t size)
{
    switch (event->kind) {
    case MH_EVENT_PORT:
        port_text(event, text, size);
        break;
    case MH_EVENT_FILE:
        snprintf(text, size, "file %s %s: %" PRId64, mh_file_op_name(event->op), event->name, event->result);
        break;
    case MH_EVENT_FAULT:
        snprintf(text, size, "exception %u, delivered to the guest's handler at 0x%" PRIx64, event->vector,
                 event->handler);
        break;
    case MH_EVENT_INTERRUPT:
        snprintf(text, size, "interrupt %u", event->vector);
        break;
    case MH_EVENT_CR3:
        snprintf(text, size, "cr3 0x%" PRIx64 ", was 0x%" PRIx64, event->now, event->old);
        break;
    case MH_EVENT_ENTER:
        snprintf(text, size, "the guest runs");
        break;
    case MH_EVENT_EXIT:
        snprintf(text, size, "exit: %s", event->reason);
        break;
    case MH_EVENT_STOP:
        snprintf(text, size, "%s", event->text);
        break;
    }
}
