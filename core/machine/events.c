#include "machine/events.h"

#include "machine/report.h"

#include <string.h>

static void events_tell_listener(struct mh_vm *vm, struct mh_event *event)
{
    event->has_rip = vm->cpu->ops->rip_at_hand(vm->cpu, &event->rip);
    event->has_instructions = vm->cpu->ops->instructions(vm->cpu, &event->instructions);
    vm->config.event(vm->config.event_ctx, event);
}

void events_tell(struct mh_vm *vm, struct mh_event *event, struct mh_stop *stop)
{
    /* the first catchpoint that is hit is the reason to stop */
    if (vm->hooks.event != NULL && stop->kind != MH_STOP_CAUGHT &&
        vm->hooks.event(vm->hooks.ctx, event, stop->text, sizeof stop->text))
        stop->kind = MH_STOP_CAUGHT;
    if (vm->config.event != NULL && !vm->is_replaying)
        events_tell_listener(vm, event);
}

void events_enter(struct mh_vm *vm)
{
    if (vm->config.event == NULL || vm->is_replaying)
        return;
    struct mh_event event = {.kind = MH_EVENT_ENTER};
    events_tell_listener(vm, &event);
}

void events_exit(struct mh_vm *vm, const char *reason)
{
    if (vm->config.event == NULL || vm->is_replaying)
        return;
    struct mh_event event = {.kind = MH_EVENT_EXIT, .reason = reason};
    events_tell_listener(vm, &event);
}

void events_batch(struct mh_vm *vm, const uint8_t *bytes, size_t count)
{
    if (vm->config.event == NULL)
        return;
    const struct mh_event event = {.kind = MH_EVENT_PORT,
                                   .port = MH_PORT_SERIAL,
                                   .width = 1,
                                   .count = (uint32_t)count,
                                   .value = bytes[0],
                                   .data = bytes};
    vm->config.event(vm->config.event_ctx, &event); /* where the guest stood at each is not known */
}

struct line {
    char text[512];
    size_t length;
    bool is_whole; /* a newline has come */
};

static void events_keep_first_line(void *ctx, const char *text, size_t length)
{
    struct line *line = ctx;
    for (size_t i = 0; i < length && !line->is_whole; i++) {
        line->is_whole = text[i] == '\n';
        if (!line->is_whole && line->length + 1 < sizeof line->text)
            line->text[line->length++] = text[i];
    }
}

void events_stop(struct mh_vm *vm, const struct mh_stop *stop)
{
    if (vm->config.event == NULL)
        return;
    struct line line = {.length = 0};
    report_stop_in_words(vm, stop, events_keep_first_line, &line);
    line.text[line.length] = '\0';
    struct mh_event event = {.kind = MH_EVENT_STOP, .stop = stop, .text = line.text};
    events_tell_listener(vm, &event);
}
