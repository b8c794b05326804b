/* Break- and watchpoints: Z0 to Z4, z0 to z4. The target keeps them; setting twice is setting once. */
#include "commands.h"

struct request {
    enum mh_break_kind kind;
    uint64_t address, length;
};

/*
 * Reads "KIND,ADDRESS,LENGTH". For breakpoints the third number is not a length but the kind of instruction, of which
 * x86 has one. Conditions and commands behind it were not offered, so they are not taken.
 */
static bool read_request(struct gdb_text *args, struct request *request)
{
    uint64_t kind;

    if (!gdb_text_u64(args, &kind) || !gdb_text_eat(args, ',') || !gdb_text_u64(args, &request->address) ||
        !gdb_text_eat(args, ',') || !gdb_text_u64(args, &request->length) || !gdb_text_empty(args))
        return false;
    request->kind = (enum mh_break_kind)kind;
    if (request->kind <= MH_BREAK_HARDWARE)
        request->length = 1;
    return request->length > 0;
}

/* Kinds beyond those known today: not an error, but nothing this target has. */
static bool is_unknown_kind(struct gdb_text args)
{
    uint64_t kind;

    return gdb_text_u64(&args, &kind) && kind > MH_BREAK_WATCH_ACCESS;
}

typedef enum mh_status change_fn(void *ctx, unsigned vm, enum mh_break_kind kind, uint64_t address, uint64_t length,
                                 struct mh_error *err);

static enum gdb_outcome change(struct gdb_session *session, struct gdb_text args, change_fn *apply)
{
    const struct gdb_machine *machine = gdb_session_machine(session);
    struct mh_error err = {.text = ""};
    struct request request;

    if (!machine)
        return GDB_REPLY;
    if (is_unknown_kind(args))
        return gdb_cmd_unknown(session, args);
    if (!read_request(&args, &request))
        return gdb_session_malformed(session);
    if (apply(session->machines->target->ctx, machine->vm, request.kind, request.address, request.length, &err) !=
        MH_OK)
        return gdb_session_fail(session, GDB_ERROR_FAILED, "%s", err.text);
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_insert(struct gdb_session *session, struct gdb_text args)
{
    return change(session, args, session->machines->target->ops->set_breakpoint);
}

enum gdb_outcome gdb_cmd_remove(struct gdb_session *session, struct gdb_text args)
{
    return change(session, args, session->machines->target->ops->clear_breakpoint);
}
