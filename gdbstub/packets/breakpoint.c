/*
 * Breakpoints and watchpoints: Z0 to Z4, z0 to z4. The target keeps them; inserting one twice is the same as inserting
 * it once. A breakpoint may come with conditions and commands, which the stub evaluates (see
 * session/breakpoint_should_stop.h); those inserted last count.
 */
#include "packets/commands.h"

struct request {
    enum mh_break_kind kind;
    uint64_t address, length;
    struct gdb_text options; /* conditions and commands, of breakpoints only */
};

/*
 * Parse "KIND,ADDRESS,LENGTH". For breakpoints the third number is not a length but a kind of instruction, of which x86
 * has one, and options may follow.
 */
static bool request_parse(struct gdb_text args, struct request *request)
{
    uint64_t kind;

    if (!gdb_text_u64(&args, &kind) || !gdb_text_eat(&args, ',') || !gdb_text_u64(&args, &request->address) ||
        !gdb_text_eat(&args, ',') || !gdb_text_u64(&args, &request->length))
        return false;
    request->kind = (enum mh_break_kind)kind;
    request->options = args;
    if (request->kind <= MH_BREAK_HARDWARE)
        request->length = 1;
    return request->length > 0 && (gdb_text_empty(&args) || request->kind <= MH_BREAK_HARDWARE);
}

/* Kinds greater than those known are not an error, but not supported. */
static bool request_kind_is_unknown(struct gdb_text args)
{
    uint64_t kind;

    return gdb_text_u64(&args, &kind) && kind > MH_BREAK_WATCH_ACCESS;
}

/* Parse a packet and find its machine. Returns NULL with the reply made if there is nothing to do. */
static struct gdb_machine *request_begin(struct gdb_session *session, struct gdb_text args, struct request *request)
{
    struct gdb_machine *machine = gdb_session_machine(session);

    if (machine == NULL)
        return NULL;
    if (request_kind_is_unknown(args))
        gdb_cmd_unknown(session, args);
    else if (!request_parse(args, request))
        gdb_session_malformed(session);
    else
        return machine;
    return NULL;
}

/* Remember a breakpoint with its conditions and commands. */
static enum mh_status request_remember(struct gdb_machine *machine, const struct request *request, struct mh_error *err)
{
    struct gdb_breakpoint point = {.kind = request->kind, .address = request->address};
    enum mh_status status = gdb_breakpoint_parse(request->options, &point, err);

    if (status == MH_OK)
        status = gdb_breakpoint_table_set(&machine->breakpoints, &point, err);
    if (status != MH_OK)
        gdb_breakpoint_free(&point);
    return status;
}

enum gdb_outcome gdb_cmd_insert(struct gdb_session *session, struct gdb_text args)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_error err = {.text = ""};
    struct request request;
    struct gdb_machine *machine = request_begin(session, args, &request);

    if (machine == NULL)
        return GDB_REPLY;
    if (request.kind <= MH_BREAK_HARDWARE && request_remember(machine, &request, &err) != MH_OK)
        return gdb_session_fail(session, GDB_ERROR_FORMAT, "%s", err.text);
    if (target->ops->set_breakpoint(target->ctx, machine->vm, MH_OWNER_DEBUGGER, request.kind, request.address,
                                    request.length, &err) == MH_OK)
        return gdb_session_ok(session);
    gdb_breakpoint_table_remove(&machine->breakpoints, request.kind, request.address);
    return gdb_session_fail(session, GDB_ERROR_FAILED, "%s", err.text);
}

enum gdb_outcome gdb_cmd_remove(struct gdb_session *session, struct gdb_text args)
{
    struct mh_error err = {.text = ""};
    struct request request;
    struct gdb_machine *machine = request_begin(session, args, &request);

    if (machine == NULL)
        return GDB_REPLY;
    if (!gdb_text_empty(&request.options))
        return gdb_session_malformed(session);
    if (gdb_machines_clear_breakpoint(session->machines, machine, request.kind, request.address, request.length,
                                      &err) != MH_OK)
        return gdb_session_fail(session, GDB_ERROR_FAILED, "%s", err.text);
    return gdb_session_ok(session);
}
