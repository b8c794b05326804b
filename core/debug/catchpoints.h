/*
 * Catchpoints: events that stop a machine for its debugger, right after they have happened. Like breakpoints they
 * remain when the machine is restarted.
 *
 * Accesses to ports and file calls leave the guest anyway. Faults that the guest handles itself and writes to CR3 do
 * not: the processor is asked to report them (`report`).
 */
#ifndef MH_CORE_DEBUG_CATCHPOINTS_H
#define MH_CORE_DEBUG_CATCHPOINTS_H

#include "cpu/cpu.h"
#include "mh/event.h"
#include "mh/guest_abi.h"
#include "mh/status.h"
#include "text.h"

#define CATCHPOINTS_MAX 32u

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

struct catchpoints {
    struct catchpoint *list; /* room for CATCHPOINTS_MAX; NULL while there are none */
    unsigned count;
    unsigned last_number;
    unsigned report; /* CPU_REPORT_*: what the processor is to report for them */
};

/*
 * Add what a person asks for: "out PORT [VALUE]", "in PORT [VALUE]", "file open|close|read|write [NAME]",
 * "fault [VECTOR]" or "cr3". MH_OK with its number in catchpoints->last_number, MH_ERR_RANGE with what is wrong, or
 * MH_ERR_HOST without memory.
 */
enum mh_status catchpoints_add(struct catchpoints *catchpoints, const char *words, struct mh_error *err);

/* Delete number `number`, all with 0, and their memory with the last. False when there is none such. */
bool catchpoints_remove(struct catchpoints *catchpoints, unsigned number);

/* Write a line for each. */
void catchpoints_list(const struct catchpoints *catchpoints, const struct text_output *output);

/* True when each access to the port must be seen. */
bool catchpoints_watch_port(const struct catchpoints *catchpoints, uint16_t port);

/* The event has happened: is it to be caught? Then *text says by which and what, in one line of at most `size` bytes.
 */
bool catchpoints_match(const struct catchpoints *catchpoints, const struct mh_event *event, char *text, size_t size);

#endif
