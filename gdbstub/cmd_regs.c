/* Registers: g, G, p, P. */
#include "commands.h"

#include <string.h>

static enum gdb_outcome refused(struct gdb_session *session, const struct mh_error *err)
{
    return gdb_session_fail(session, GDB_ERROR_FAILED, "%s", err->text);
}

static enum mh_status read_regs(struct gdb_session *session, const struct gdb_machine *machine, unsigned groups,
                                struct mh_error *err)
{
    const struct mh_debug_target *target = session->machines->target;

    err->text[0] = '\0';
    return target->ops->read_regs(target->ctx, machine->vm, groups, &session->regs, err);
}

/* How many registers g and G carry: a debugger that has not read the description takes more for an error. */
static unsigned carried(const struct gdb_machine *machine, const struct gdb_x86_layout *layout)
{
    return machine->described ? layout->count : gdb_x86_undescribed(layout);
}

enum gdb_outcome gdb_cmd_read_all_regs(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_machine *machine = gdb_session_machine(session);
    const struct gdb_x86_layout *layout;
    struct mh_error err;
    uint8_t *to = session->scratch;
    unsigned count;

    (void)args;
    if (!machine)
        return GDB_REPLY;
    layout = gdb_session_layout(session);
    count = carried(machine, layout);
    if (session->looking) {
        gdb_frame_put_regs(session, 0, count);
        return GDB_REPLY;
    }
    if (read_regs(session, machine, layout->regs, &err) != MH_OK)
        return refused(session, &err);
    for (unsigned i = 0; i < count; i++) {
        gdb_x86_get(layout->reg[i], &session->regs, to);
        to += layout->reg[i]->size;
    }
    gdb_reply_hex(&session->out, session->scratch, (size_t)(to - session->scratch));
    return GDB_REPLY;
}

/* Put `count` registers from a G packet into new_regs; the index of the one with bits it does not have, `count` if
 * none. */
static unsigned unpack(struct gdb_session *session, const struct gdb_x86_layout *layout, unsigned count)
{
    const uint8_t *from = session->scratch;

    for (unsigned i = 0; i < count; i++) {
        if (!gdb_x86_set(layout->reg[i], &session->new_regs, from))
            return i;
        from += layout->reg[i]->size;
    }
    return count;
}

/* The groups in which the new values differ from the old: others need no writing. */
static unsigned changed_groups(const struct gdb_session *session, const struct gdb_x86_layout *layout)
{
    unsigned groups = 0;

    for (unsigned i = 0; i < layout->count; i++) {
        const struct gdb_x86_reg *reg = layout->reg[i];

        groups |= gdb_x86_equal(reg, &session->regs, &session->new_regs) ? 0 : reg->regs;
    }
    return groups;
}

static enum gdb_outcome write_changes(struct gdb_session *session, const struct gdb_machine *machine, unsigned groups)
{
    const struct mh_debug_target *target = session->machines->target;
    struct mh_error err = {.text = ""};

    if (session->looking)
        return gdb_frame_unchangeable(session);
    if (groups && target->ops->write_regs(target->ctx, machine->vm, groups, &session->new_regs, &err) != MH_OK)
        return refused(session, &err);
    return gdb_session_ok(session);
}

/* Bytes of the first `count` registers in a packet. */
static size_t bytes_of(const struct gdb_x86_layout *layout, unsigned count)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += layout->reg[i]->size;
    return bytes;
}

enum gdb_outcome gdb_cmd_write_all_regs(struct gdb_session *session, struct gdb_text args)
{
    const struct gdb_machine *machine = gdb_session_machine(session);
    const struct gdb_x86_layout *layout;
    struct mh_error err;
    unsigned bad, count;
    size_t digits;

    if (!machine)
        return GDB_REPLY;
    layout = gdb_session_layout(session);
    count = carried(machine, layout);
    digits = 2 * bytes_of(layout, count);
    if (gdb_text_length(&args) != digits || !gdb_hex_decode(session->scratch, args.at, digits))
        return gdb_session_malformed(session);
    if (read_regs(session, machine, layout->regs, &err) != MH_OK)
        return refused(session, &err);
    session->new_regs = session->regs;
    bad = unpack(session, layout, count);
    if (bad < count)
        return gdb_session_fail(session, GDB_ERROR_FAILED, "%s has %u bits", layout->reg[bad]->name,
                                layout->reg[bad]->stored * 8u);
    return write_changes(session, machine, changed_groups(session, layout));
}

/* The register a number at the cursor names; NULL, with the error reply made, when there is none. */
static const struct gdb_x86_reg *numbered(struct gdb_session *session, struct gdb_text *args, unsigned *number)
{
    const struct gdb_x86_layout *layout = gdb_session_layout(session);
    uint64_t read;

    if (!gdb_text_u64(args, &read)) {
        gdb_session_malformed(session);
        return NULL;
    }
    if (read >= layout->count) {
        gdb_session_fail(session, GDB_ERROR_FAILED, "no register has number %llu", (unsigned long long)read);
        return NULL;
    }
    *number = (unsigned)read;
    return layout->reg[read];
}

enum gdb_outcome gdb_cmd_read_reg(struct gdb_session *session, struct gdb_text args)
{
    unsigned number;
    const struct gdb_machine *machine = gdb_session_machine(session);
    const struct gdb_x86_reg *reg = machine ? numbered(session, &args, &number) : NULL;
    struct mh_error err;

    if (!reg)
        return GDB_REPLY;
    if (!gdb_text_empty(&args))
        return gdb_session_malformed(session);
    if (session->looking) {
        gdb_frame_put_regs(session, number, 1);
        return GDB_REPLY;
    }
    if (read_regs(session, machine, reg->regs, &err) != MH_OK)
        return refused(session, &err);
    gdb_x86_get(reg, &session->regs, session->scratch);
    gdb_reply_hex(&session->out, session->scratch, reg->size);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_write_reg(struct gdb_session *session, struct gdb_text args)
{
    unsigned number;
    const struct gdb_machine *machine = gdb_session_machine(session);
    const struct gdb_x86_reg *reg = machine ? numbered(session, &args, &number) : NULL;
    struct mh_error err;

    if (!reg)
        return GDB_REPLY;
    if (!gdb_text_eat(&args, '=') || gdb_text_length(&args) != 2u * reg->size ||
        !gdb_hex_decode(session->scratch, args.at, 2u * reg->size))
        return gdb_session_malformed(session);
    if (read_regs(session, machine, reg->regs, &err) != MH_OK)
        return refused(session, &err);
    session->new_regs = session->regs;
    if (!gdb_x86_set(reg, &session->new_regs, session->scratch))
        return gdb_session_fail(session, GDB_ERROR_FAILED, "%s has %u bits", reg->name, reg->stored * 8u);
    return write_changes(session, machine, reg->regs);
}
