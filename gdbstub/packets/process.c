/*
 * Starting and ending processes: !, vAttach, vRun, R, vKill, k, D. Each machine is a process with the machine's number.
 */
#include "packets/commands.h"
#include "protocol/signals.h"

#include <stdio.h>
#include <string.h>

enum gdb_outcome gdb_cmd_extended(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    session->extended = true;
    return gdb_session_ok(session);
}

/* Parse the number of a process. Returns NULL with the error reply made if there is no such process. */
static struct gdb_machine *process_parse(struct gdb_session *session, struct gdb_text *args)
{
    uint32_t vm;

    if (!gdb_text_u32(args, UINT32_MAX, &vm) || !gdb_text_empty(args)) {
        gdb_session_malformed(session);
        return NULL;
    }
    struct gdb_machine *machine = gdb_machines_find(session->machines, vm);
    if (machine == NULL)
        gdb_session_fail(session, GDB_ERROR_NO_THREAD, "there is no VM %u", vm);
    return machine;
}

enum gdb_outcome gdb_cmd_attach(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_machine *machine = process_parse(session, &args);

    if (machine == NULL)
        return GDB_REPLY;
    if (machine->state == GDB_MACHINE_ENDED)
        return gdb_session_fail(session, GDB_ERROR_NO_THREAD, "VM %u has ended; use run to start it again",
                                machine->vm);
    bool is_new = !machine->attached;
    gdb_machines_attach(machine);
    gdb_machines_halt_one(session->machines, machine);
    if (is_new)
        gdb_machines_clear_persistent(session->machines, machine);
    session->g_thread = machine;
    machine->stop_requested = machine->stop_pending = machine->resume_pending = session->non_stop;
    if (session->non_stop)
        return gdb_session_ok(session); /* the stop follows in a notification */
    gdb_session_put_stop(session, machine);
    return GDB_REPLY;
}

/* Make the error reply to a restart. gdb 13 does not print its text, and R has no reply, so note it as well. */
static enum gdb_outcome process_refuse_restart(struct gdb_session *session, const struct gdb_machine *machine,
                                               enum gdb_error_code code, const struct mh_error *why)
{
    char note[sizeof why->text + 32];

    snprintf(note, sizeof note, "cannot restart: %s", why->text);
    gdb_machines_print(session->machines, machine, note, strlen(note));
    return gdb_session_fail(session, code, "%s", why->text);
}

/* Restart a machine and attach to it. Returns false with the error reply made on failure. */
static bool process_restart(struct gdb_session *session, struct gdb_machine *machine)
{
    struct mh_error err = {.text = ""};

    if (gdb_machines_restart(session->machines, machine, &err) != MH_OK) {
        process_refuse_restart(session, machine, GDB_ERROR_FAILED, &err);
        return false;
    }
    gdb_machines_attach(machine);
    session->g_thread = machine;
    return true;
}

static const char *path_basename(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* A machine runs only its own image: the name must be empty, or that of the image or the machine. */
static bool process_runs_file(const struct gdb_session *session, const struct gdb_machine *machine, const char *name)
{
    const struct mh_debug_target *target = session->machines->target;
    const char *file = target->ops->vm_exec_file(target->ctx, machine->vm);

    if (name[0] == '\0' || strcmp(name, target->ops->vm_name(target->ctx, machine->vm)) == 0)
        return true;
    return file != NULL && strcmp(path_basename(file), path_basename(name)) == 0;
}

/* Parse "FILE[;ARGUMENT]...", each in hexadecimal; arguments are not allowed. Puts FILE into the scratch buffer. */
static bool run_parse(struct gdb_session *session, struct gdb_text *args)
{
    struct gdb_text file = gdb_text_cut(args, ';');
    size_t digits = gdb_text_length(&file);

    session->scratch[digits / 2] = '\0';
    return gdb_text_empty(args) && gdb_hex_decode(session->scratch, file.at, digits);
}

enum gdb_outcome gdb_cmd_run(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_machine *machine = session->g_thread;
    const char *name = (const char *)session->scratch;
    struct mh_error err;

    if (!run_parse(session, &args)) {
        mh_fail(&err, MH_ERR_RANGE, "VM %u takes no arguments", machine->vm);
        return process_refuse_restart(session, machine, GDB_ERROR_FORMAT, &err);
    }
    if (!process_runs_file(session, machine, name)) {
        mh_fail(&err, MH_ERR_RANGE, "VM %u runs its own image, not %s", machine->vm, name);
        return process_refuse_restart(session, machine, GDB_ERROR_FAILED, &err);
    }
    if (!process_restart(session, machine))
        return GDB_REPLY;
    gdb_session_put_stop(session, machine);
    return GDB_REPLY;
}

enum gdb_outcome gdb_cmd_restart(struct gdb_session *session, struct gdb_text args)
{
    (void)args;
    if (!session->extended)
        return gdb_cmd_unknown(session, args);
    /* R has no reply, not even on error; the debugger will ask for the state */
    process_restart(session, session->g_thread);
    gdb_reply_clear(&session->out);
    return GDB_SILENT;
}

static void process_kill(struct gdb_session *session, struct gdb_machine *machine)
{
    if (!machine->attached || machine->state == GDB_MACHINE_ENDED)
        return;
    gdb_machines_halt_one(session->machines, machine);
    if (machine->state != GDB_MACHINE_ENDED)
        gdb_machines_kill(session->machines, machine, GDB_SIGNAL_KILL);
    machine->stop_pending = machine->resume_pending = machine->stop_reported = false;
}

enum gdb_outcome gdb_cmd_kill(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_machine *machine = process_parse(session, &args);

    if (machine == NULL)
        return GDB_REPLY;
    process_kill(session, machine);
    return gdb_session_ok(session);
}

enum gdb_outcome gdb_cmd_kill_all(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_machines *machines = session->machines;

    (void)args;
    for (unsigned i = 0; i < machines->count; i++)
        process_kill(session, &machines->list[i]);
    /*
     * gdb expects no reply, and would take one for the reply to its next packet; lldb, which disconnects, expects one
     */
    if (session->extended)
        return GDB_SILENT;
    gdb_session_put_stop(session, session->g_thread);
    return GDB_LEAVE;
}

static void process_detach(struct gdb_session *session, struct gdb_machine *machine)
{
    if (!machine->attached)
        return;
    gdb_machines_halt_one(session->machines, machine);
    gdb_machines_detach(session->machines, machine);
    machine->stop_pending = machine->resume_pending = machine->stop_reported = false;
    gdb_machines_run_detached(session->machines, machine);
}

enum gdb_outcome gdb_cmd_detach(struct gdb_session *session, struct gdb_text args)
{
    struct gdb_machines *machines = session->machines;
    struct gdb_machine *one = NULL;

    if (!gdb_text_empty(&args)) {
        one = process_parse(session, &args);
        if (one == NULL)
            return GDB_REPLY;
    }
    for (unsigned i = 0; i < machines->count; i++)
        if (one == NULL || one == &machines->list[i])
            process_detach(session, &machines->list[i]);
    gdb_session_ok(session);
    return session->extended || gdb_machines_first_alive(machines, true) != NULL ? GDB_REPLY : GDB_LEAVE;
}
