/*
 * The "monitor" command: qRcmd. Commands about the session are carried out here; all others are passed to the target.
 */
#include "packets/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_MAX 1024u

static const char help_text[] =
    "help          show this text\n"
    "reset         restart the machine: image, memory, registers, files\n"
    "phys on|off   use guest-physical addresses in memory commands, or virtual ones again\n"
    "why           show why the machine has stopped\n"
    "regs          show all registers, including control registers and segments\n"
    "pt [ADDR]     show the page tables, or how they translate ADDR, level by level\n"
    "map           show which addresses are mapped, with what access, and what all of memory is used for\n"
    "color on|off  show map and pt in the colors of the terminal\n"
    "info WHAT     mem, tlb or registers, in the form of QEMU's monitor\n"
    "files         list the machine's files, and those it has open\n"
    "stats         show how often the machine left the processor, and why\n"
    "snapshot NAME save the complete state of the machine\n"
    "restore NAME  return to a saved state; breakpoints and watchpoints stay\n"
    "snapshots     list saved states; forget NAME deletes one\n"
    "when          show the position in the machine's history: the number of instructions executed\n"
    "goto POSITION go to a position in the history: such a number, start, end, +N or -N\n"
    "history       show what is kept of the history, and how large it is\n"
    "catch EVENT   stop right after: out PORT [VALUE], in PORT [VALUE], file open|close|read|write [NAME],\n"
    "              fault [VECTOR] (if the guest has a handler for it), cr3 (a write)\n"
    "catch         list the catchpoints; uncatch [N] deletes one, or all\n"
    "interrupts [hold|deliver]\n"
    "              while the machine is stepped, interrupts wait (hold), or it steps into their handlers\n"
    "core [NAME]   write a core file NAME (default: core) into the directory of --core\n";

static void monitor_print(struct gdb_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void monitor_print(struct gdb_session *session, const char *format, ...)
{
    char text[sizeof((struct mh_error *)0)->text + 128];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length > 0)
        gdb_session_print(session, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

/* Flush the output and reply "OK". */
static enum gdb_outcome monitor_done(struct gdb_session *session)
{
    gdb_session_flush_console(session);
    return gdb_session_ok(session);
}

/* Debuggers that do not take error messages get the text as output before the error. */
static enum gdb_outcome monitor_fail(struct gdb_session *session, const char *text)
{
    if (!session->error_message)
        monitor_print(session, "%s\n", text);
    gdb_session_flush_console(session);
    return gdb_session_fail(session, GDB_ERROR_FAILED, "%s", text);
}

static enum gdb_outcome monitor_unavailable(struct gdb_session *session)
{
    char text[80];

    snprintf(text, sizeof text, "VM %u %s", session->g_thread->vm, gdb_session_why_unavailable(session));
    return monitor_fail(session, text);
}

static enum gdb_outcome monitor_help(struct gdb_session *session)
{
    gdb_session_print(session, help_text, sizeof help_text - 1);
    return monitor_done(session);
}

/* gdb does not notice that a monitor command changes registers and memory of a stopped machine. */
static const char *flush_hint(const struct gdb_session *session, bool memory)
{
    if (session->paused != NULL)
        return "It runs on from there.\n";
    return memory ? "Now type: maintenance flush register-cache\nand: maintenance flush dcache\n"
                  : "Now type: maintenance flush register-cache\n";
}

static enum gdb_outcome monitor_reset(struct gdb_session *session, const char *argument)
{
    struct gdb_machine *machine = session->g_thread;
    bool had_ended = machine->state == GDB_MACHINE_ENDED;
    struct mh_error err = {.text = ""};

    if (*argument != '\0')
        return monitor_fail(session, "reset takes no argument");
    if (gdb_machines_restart(session->machines, machine, &err) != MH_OK)
        return monitor_fail(session, err.text);
    gdb_machines_attach(machine);
    if (had_ended)
        monitor_print(session, "VM %u is at its start. Now type: attach %u\n", machine->vm, machine->vm);
    else
        monitor_print(session, "VM %u is at its start. %s", machine->vm, flush_hint(session, false));
    return monitor_done(session);
}

static enum gdb_outcome monitor_restore(struct gdb_session *session, const char *name)
{
    struct gdb_machine *machine = session->g_thread;
    struct mh_error err = {.text = ""};

    if (gdb_session_why_unavailable(session) != NULL)
        return monitor_unavailable(session);
    if (gdb_machines_restore(session->machines, machine, name, &err) != MH_OK)
        return monitor_fail(session, err.text);
    monitor_print(session, "VM %u has been restored. %s", machine->vm, flush_hint(session, true));
    return monitor_done(session);
}

static enum gdb_outcome monitor_go_to(struct gdb_session *session, const char *where)
{
    struct gdb_machine *machine = session->g_thread;
    struct mh_error err = {.text = ""};

    if (gdb_session_why_unavailable(session) != NULL)
        return monitor_unavailable(session);
    if (gdb_machines_go_to(session->machines, machine, where, &err) != MH_OK)
        return monitor_fail(session, err.text);
    monitor_print(session, "VM %u has been moved. %s", machine->vm, flush_hint(session, true));
    return monitor_done(session);
}

static enum gdb_outcome monitor_phys(struct gdb_session *session, const char *argument)
{
    if (strcmp(argument, "on") == 0)
        session->physical = true;
    else if (strcmp(argument, "off") == 0)
        session->physical = false;
    else if (argument[0] != '\0')
        return monitor_fail(session, "phys: expected on or off");
    monitor_print(session, "memory commands name %s addresses\n",
                  session->physical ? "guest-physical" : "guest-virtual");
    return monitor_done(session);
}

/* gdb does not say whether its output is a terminal. */
static enum gdb_outcome monitor_color(struct gdb_session *session, const char *argument)
{
    if (strcmp(argument, "on") == 0)
        session->color = true;
    else if (strcmp(argument, "off") == 0)
        session->color = false;
    else if (argument[0] != '\0')
        return monitor_fail(session, "color: expected on or off");
    monitor_print(session, "map and pt are shown %s\n", session->color ? "in color" : "without color");
    return monitor_done(session);
}

static enum gdb_outcome monitor_forward(struct gdb_session *session, const char *command)
{
    const struct mh_debug_target *target = session->machines->target;
    const struct gdb_machine *machine = session->g_thread;
    char text[sizeof((struct mh_error *)0)->text + 64];
    struct mh_error err = {.text = ""};

    if (gdb_session_why_unavailable(session) != NULL)
        return monitor_unavailable(session);
    enum mh_status status =
        target->ops->monitor(target->ctx, machine->vm, command, session->color, gdb_session_print, session, &err);
    if (status == MH_OK)
        return monitor_done(session);
    snprintf(text, sizeof text, "%s%s", err.text, status == MH_ERR_USAGE ? " (see \"monitor help\")" : "");
    return monitor_fail(session, text);
}

/* If `command` is `word`, alone or with an argument, return the argument ("" for none); otherwise NULL. */
static const char *monitor_argument(const char *command, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(command, word, length) != 0 || (command[length] != '\0' && command[length] != ' '))
        return NULL;
    return command + length + strspn(command + length, " ");
}

static enum gdb_outcome monitor_run(struct gdb_session *session, char *command)
{
    size_t length = strlen(command);

    while (length > 0 && command[length - 1] == ' ')
        command[--length] = '\0';
    command += strspn(command, " ");
    if (command[0] == '\0' || monitor_argument(command, "help") != NULL)
        return monitor_help(session);
    if (monitor_argument(command, "reset") != NULL)
        return monitor_reset(session, monitor_argument(command, "reset"));
    if (monitor_argument(command, "restore") != NULL)
        return monitor_restore(session, monitor_argument(command, "restore"));
    if (monitor_argument(command, "goto") != NULL)
        return monitor_go_to(session, monitor_argument(command, "goto"));
    if (monitor_argument(command, "phys") != NULL)
        return monitor_phys(session, monitor_argument(command, "phys"));
    if (monitor_argument(command, "color") != NULL)
        return monitor_color(session, monitor_argument(command, "color"));
    return monitor_forward(session, command);
}

enum gdb_outcome gdb_cmd_monitor(struct gdb_session *session, struct gdb_text args)
{
    char command[COMMAND_MAX + 1];
    size_t digits = gdb_text_length(&args);

    if (digits / 2 > COMMAND_MAX || !gdb_hex_decode((uint8_t *)command, args.at, digits))
        return gdb_session_malformed(session);
    command[digits / 2] = '\0';
    return monitor_run(session, command);
}
