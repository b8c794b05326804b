/*
 * Catchpoints: events that stop a machine for its debugger, right after they have happened. Like breakpoints they stay
 * when the machine is put back to its start.
 *
 * Accesses to ports and file calls are exits anyway and cost nothing more. What is no exit, a fault the guest handles
 * itself and a write to CR3, is found by looking at every step (`by_step`), which makes the guest slow.
 */
#ifndef MH_CORE_CATCHES_H
#define MH_CORE_CATCHES_H

#include "mh/event.h"
#include "mh/guest_abi.h"
#include "mh/status.h"
#include "text.h"

#define CATCHES_MAX 32u

struct catchpoint {
    unsigned number; /* towards the debugger, from 1 */
    enum mh_event_kind kind;
    uint16_t port; /* PORT */
    bool is_in;
    bool has_value;                   /* PORT, FAULT: only this one: */
    uint32_t value;                   /* what is written or read, or the vector */
    uint8_t op;                       /* FILE: enum mh_file_op */
    char name[MH_FILE_NAME_MAX + 1u]; /* FILE: only this one; "": any */
};

struct catches {
    struct catchpoint *list; /* room for CATCHES_MAX; NULL while there are none */
    unsigned count;
    unsigned last_number;
    bool by_step;   /* some are only found by looking at every step */
    bool hit;       /* something was caught and not told yet: */
    char text[512]; /* what, in one line for people */
};

/*
 * Add what a person asks for: "out PORT [VALUE]", "in PORT [VALUE]", "file open|close|read|write [NAME]",
 * "fault [VECTOR]" or "cr3". MH_OK with its number in catches->last_number, MH_ERR_RANGE with what is wrong, or
 * MH_ERR_HOST without memory.
 */
enum mh_status catches_add(struct catches *catches, const char *words, struct mh_error *err);

/* Is the one that was added last found only by looking at every step? False when there is none. */
bool catches_last_takes_steps(const struct catches *catches);

/* Delete number `number`, all with 0, and their memory with the last. False when there is none such. */
bool catches_remove(struct catches *catches, unsigned number);

/* Say each in a line. */
void catches_list(const struct catches *catches, const struct text_output *output);

/* True when each access to the port must be seen. */
bool catches_port(const struct catches *catches, uint16_t port);

/* The event has happened: is it to be caught? */
void catches_note(struct catches *catches, const struct mh_event *event);

#endif
