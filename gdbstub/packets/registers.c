/* Registers: g, G, p, P. What they carry is derived from the register table (see target_desc/x86_desc.h). */
#include "packets/commands.h"

#include <string.h>

static enum gdb_outcome regs_fail(struct gdb_session *session, const struct mh_error *err)
{
    return gdb_session_fail(session, GDB_ERROR_FAILED, "%s", err->text);
}

/* Read registers into session->regs. Returns false with the error reply made on failure. */
static bool regs_read(struct gdb_session *session, const struct gdb_machine *machine, unsigned groups)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_error err = {.text = ""};

    if (target->ops->read_regs(target->ctx, machine->vm, groups, &session->regs, &err) == MH_OK)
        return true;
    regs_fail(session, &err);
    return false;
}

/*
 * Return how many registers g and G carry. More than the debugger knows is an error to it, so this depends on whether
 * it has read the target description. With several machines, gdb 18 forgets the description of one when it learns of
 * another. It reads registers that g does not carry one by one.
 */
static unsigned regs_carried(const struct gdb_session *session, const struct gdb_machine *machine,
                             const struct gdb_x86_layout *layout)
{
    const bool is_described = machine->tdesc_sent && session->machines->count == 1;

    return is_described ? layout->g_count : gdb_x86_undescribed(layout);
}

enum gdb_outcome gdb_cmd_read_all_regs(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_machine *machine = gdb_session_machine(session);

    (void)args;
    if (machine == NULL)
        return GDB_REPLY;
    const struct gdb_x86_layout *layout = gdb_session_layout(session);
    unsigned count = regs_carried(session, machine, layout);
    if (session->traceframe_selected) {
        gdb_frame_put_regs(session, 0, count);
        return GDB_REPLY;
    }
    if (!regs_read(session, machine, layout->g_regs))
        return GDB_REPLY;
    gdb_reply_hex(&session->out, session->scratch, gdb_x86_get_first(layout, count, &session->regs, session->scratch));
    return GDB_REPLY;
}

/*
 * Put `count` registers from a G packet into new_regs. Returns the index of the first one with bits it does not have,
 * `count` if there is none.
 */
static unsigned regs_unpack(struct gdb_session *session, const struct gdb_x86_layout *layout, unsigned count)
{
    const uint8_t *from = session->scratch;

    for (unsigned i = 0; i < count; i++) {
        if (!gdb_x86_set(layout->reg[i], &session->new_regs, from))
            return i;
        from += layout->reg[i]->size;
    }
    return count;
}

/* Return the groups in which new values differ from the old; the others need not be written. */
static unsigned regs_changed_groups(const struct gdb_session *session, const struct gdb_x86_layout *layout)
{
    unsigned groups = 0;

    for (unsigned i = 0; i < layout->g_count; i++) {
        const struct gdb_x86_reg *reg = layout->reg[i];

        groups |= gdb_x86_equal(reg, &session->regs, &session->new_regs) ? 0 : reg->regs;
    }
    return groups;
}

static enum gdb_outcome regs_write(struct gdb_session *session, const struct gdb_machine *machine, unsigned groups)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_error err = {.text = ""};

    if (session->traceframe_selected)
        return gdb_frame_unchangeable(session);
    if (groups && target->ops->write_regs(target->ctx, machine->vm, groups, &session->new_regs, &err) != MH_OK)
        return regs_fail(session, &err);
    return gdb_session_ok(session);
}

/* Return the size of the first `count` registers in a packet. */
static size_t regs_size(const struct gdb_x86_layout *layout, unsigned count)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += layout->reg[i]->size;
    return bytes;
}

enum gdb_outcome gdb_cmd_write_all_regs(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_machine *machine = gdb_session_machine(session);
    unsigned bad, count;

    if (machine == NULL)
        return GDB_REPLY;
    const struct gdb_x86_layout *layout = gdb_session_layout(session);
    count = regs_carried(session, machine, layout);
    size_t digits = 2 * regs_size(layout, count);
    if (gdb_text_length(&args) != digits || !gdb_hex_decode(session->scratch, args.at, digits))
        return gdb_session_malformed(session);
    if (!regs_read(session, machine, layout->g_regs))
        return GDB_REPLY;
    session->new_regs = session->regs;
    bad = regs_unpack(session, layout, count);
    if (bad < count)
        return gdb_session_fail(session, GDB_ERROR_FAILED, "%s has %u bits", layout->reg[bad]->name,
                                layout->reg[bad]->stored * 8u);
    return regs_write(session, machine, regs_changed_groups(session, layout));
}

/* The register of a p or P packet. */
struct one_reg {
    const struct gdb_machine *machine;
    const struct gdb_x86_reg *reg;
    unsigned number;
};

/* Parse a register number. Returns false with the error reply made if there is no such register. */
static bool one_reg_parse(struct gdb_session *session, struct gdb_text *args, struct one_reg *one)
{
    uint64_t number;

    one->machine = gdb_session_machine(session);
    if (one->machine == NULL)
        return false;
    const struct gdb_x86_layout *layout = gdb_session_layout(session);
    if (!gdb_text_u64(args, &number)) {
        gdb_session_malformed(session);
        return false;
    }
    if (number >= layout->count) {
        gdb_session_fail(session, GDB_ERROR_FAILED, "no register has number %llu", (unsigned long long)number);
        return false;
    }
    one->number = (unsigned)number;
    one->reg = layout->reg[number];
    return true;
}

enum gdb_outcome gdb_cmd_read_reg(struct gdb_session *session, struct gdb_text args)
{
    struct one_reg one;

    if (!one_reg_parse(session, &args, &one))
        return GDB_REPLY;
    if (!gdb_text_empty(&args))
        return gdb_session_malformed(session);
    if (session->traceframe_selected) {
        gdb_frame_put_regs(session, one.number, 1);
        return GDB_REPLY;
    }
    if (!regs_read(session, one.machine, one.reg->regs))
        return GDB_REPLY;
    gdb_x86_get(one.reg, &session->regs, session->scratch);
    gdb_reply_hex(&session->out, session->scratch, one.reg->size);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_write_reg(struct gdb_session *session, struct gdb_text args)
{
    struct one_reg one;

    if (!one_reg_parse(session, &args, &one))
        return GDB_REPLY;
    const struct gdb_x86_reg *reg = one.reg;
    if (!gdb_text_eat(&args, '=') || gdb_text_length(&args) != 2u * reg->size ||
        !gdb_hex_decode(session->scratch, args.at, 2u * reg->size))
        return gdb_session_malformed(session);
    if (!regs_read(session, one.machine, reg->regs))
        return GDB_REPLY;
    session->new_regs = session->regs;
    if (!gdb_x86_set(reg, &session->new_regs, session->scratch))
        return gdb_session_fail(session, GDB_ERROR_FAILED, "%s has %u bits", reg->name, reg->stored * 8u);
    return regs_write(session, one.machine, reg->regs);
}
