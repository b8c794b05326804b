#include "machine/ports.h"

#include "machine/events.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static void ports_answer_all_ones(const struct cpu_exit *exit)
{
    if (exit->is_in)
        memset(exit->data, 0xff, (size_t)exit->width * exit->count);
}

/*
 * Serial bytes gather only after this many cost an exit each: with KVM, asking for it is cheap but takes some
 * milliseconds when the machine ends, about what this many exits cost. Short outputs never pay it.
 */
#define EXITS_BEFORE_GATHERING 1000u

static void ports_gather_when_it_pays(struct mh_vm *vm)
{
    if (vm->cpu->ops->batch_port == NULL || vm->gathers_serial || ++vm->serial_exits < EXITS_BEFORE_GATHERING ||
        vm->hooks.event != NULL || vm->config.exchange != NULL) /* interrupts may come after each */
        return;
    vm->gathers_serial = true;
    vm->cpu->ops->batch_port(vm->cpu, MH_PORT_SERIAL, true);
}

bool ports_must_leave(struct mh_vm *vm, const struct cpu_request *request)
{
    struct pollfd fds[8];
    unsigned count = request->wake_count < 8 ? request->wake_count : 8;
    if ((atomic_load(&vm->requests) & VM_REQUEST_STOP) != 0)
        return true;
    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = request->wake_fds[i], .events = POLLIN};
    return count > 0 && poll(fds, count, 0) > 0;
}

/* One byte for the guest. A kick that does not ask for a stop does not end the wait. */
static int ports_read_serial(struct mh_vm *vm, const struct cpu_request *request, uint8_t *to)
{
    int result;
    do {
        result = serial_get(&vm->serial, &vm->input, to, request->wake_fds, request->wake_count);
        if (result == -EINTR && vm->record_hooks.flush != NULL)
            vm->record_hooks.flush(vm->record_hooks.ctx);
    } while (result == -EINTR && !ports_must_leave(vm, request));
    return result;
}

static int ports_serve_serial(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit)
{
    if (exit->width != 1) {
        vm_notice(vm, VM_NOTICE_SERIAL_WIDTH,
                  "the serial port takes one byte at a time; a %u-byte access has no effect", exit->width);
        ports_answer_all_ones(exit);
        return 0;
    }
    if (!exit->is_in) {
        serial_put(&vm->serial, exit->data, exit->count);
        ports_gather_when_it_pays(vm);
        return 0;
    }
    serial_flush(&vm->serial);
    input_log_begin(&vm->input);
    for (uint32_t i = 0; i < exit->count; i++) {
        int result = ports_read_serial(vm, request, exit->data + i);
        if (result < 0) {
            input_log_unread(&vm->input, i);
            return result;
        }
    }
    return 0;
}

static uint32_t ports_word(const uint8_t *data)
{
    uint32_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

/* The file call that this access completed, if it completed one, as an event. */
static void ports_take_file_call(struct mh_vm *vm, struct mh_event *event)
{
    if (vm->file.made_op == 0)
        return;
    *event = (struct mh_event){
        .kind = MH_EVENT_FILE, .op = vm->file.made_op, .name = vm->file.made_name, .result = vm->file.made_result};
    vm->file.made_op = 0;
}

#define PORTS_FILE_PORT_IS_DESCRIBED "(docs/guest-interface.md describes the port)"

/* Say what this access did that the protocol does not have, once for each kind: guests of other machines speak other
 * protocols on the same port, and would wait or crash without a word. */
static void ports_tell_misuse(struct mh_vm *vm)
{
    const enum file_misuse misuse = vm->file.misuse;
    const uint32_t value = vm->file.misuse_value;
    const enum vm_notice kind = (enum vm_notice)(VM_NOTICE_FILE_MISUSE + (unsigned)misuse);
    vm->file.misuse = FILE_MISUSE_NONE;
    switch (misuse) {
    case FILE_MISUSE_NONE:
        break;
    case FILE_MISUSE_OP:
        vm_notice(vm, kind,
                  "the file port got a byte 0x%02x where a request begins, which is no call; the answer is -%d "
                  "(ENOSYS) " PORTS_FILE_PORT_IS_DESCRIBED,
                  value, MH_ENOSYS);
        break;
    case FILE_MISUSE_ABANDONED:
        vm_notice(vm, kind,
                  "the file port was read before the request '%s' was complete; the answer is -%d "
                  "(EPROTO) " PORTS_FILE_PORT_IS_DESCRIBED,
                  mh_file_op_name((uint8_t)value), MH_EPROTO);
        break;
    case FILE_MISUSE_NO_ANSWER:
        vm_notice(vm, kind,
                  "the file port was read where no answer is left; it gives 0xff " PORTS_FILE_PORT_IS_DESCRIBED);
        break;
    case FILE_MISUSE_CALL:
        vm_notice(vm, kind,
                  "a 32-bit OUT to the file port names a structure that is no call (op 0x%x, or `zero` is not 0); "
                  "it has no effect " PORTS_FILE_PORT_IS_DESCRIBED,
                  value);
        break;
    case FILE_MISUSE_CALL_OUTSIDE:
        vm_notice(vm, kind,
                  "the 32-bit OUT of 0x%x to the file port names a call that does not lie in RAM; it has no "
                  "effect " PORTS_FILE_PORT_IS_DESCRIBED,
                  value);
        break;
    }
}

static int ports_serve_file(struct mh_vm *vm, const struct cpu_exit *exit)
{
    serial_flush(&vm->serial);
    for (uint32_t i = 0; i < exit->count; i++) {
        uint8_t *data = exit->data + (size_t)i * exit->width;
        if (exit->width == 1 && exit->is_in)
            file_port_in(&vm->file, &vm->input, data);
        else if (exit->width == 1)
            file_port_out(&vm->file, *data);
        else if (exit->width == 4 && !exit->is_in)
            file_port_call(&vm->file, &vm->ram, &vm->input, mh_gpa_of(ports_word(data)));
        else {
            vm_notice(vm, VM_NOTICE_FILE_WIDTH, "the file port has no %u-byte %s; it has no effect", exit->width,
                      exit->is_in ? "IN" : "OUT");
            ports_answer_all_ones(exit);
            break;
        }
        ports_tell_misuse(vm);
    }
    return 0;
}

static int ports_serve_exchange(struct mh_vm *vm, const struct cpu_exit *exit)
{
    serial_flush(&vm->serial);
    for (uint32_t i = 0; i < exit->count; i++) {
        uint8_t *data = exit->data + (size_t)i * exit->width;
        uint8_t bytes[sizeof(uint32_t)];
        enum exchange_result result;
        vm->exchanged++;
        if (exit->is_in) {
            result = exchange_in(vm->config.exchange, vm->config.number, exit->port, bytes, exit->width);
            input_log_copy(&vm->input, data, bytes, exit->width);
        } else {
            result =
                exchange_out(vm->config.exchange, vm->config.number, exit->port, data, exit->width, vm->exchange_error);
        }
        if (result == EXCHANGE_OUT_OF_TURN)
            vm_notice(
                vm, VM_NOTICE_EXCHANGE,
                "%s port 0x%x of the exchange out of turn; it has no effect (docs/guest-interface.md describes the "
                "order)",
                exit->is_in ? "IN from" : "OUT to", exit->port);
    }
    return 0;
}

static int ports_serve_nothing(struct mh_vm *vm, const struct cpu_exit *exit)
{
    serial_flush(&vm->serial);
    vm_notice(vm, VM_NOTICE_OTHER_PORT, "no device is at port 0x%x: writes have no effect, reads return all ones",
              exit->port);
    ports_answer_all_ones(exit);
    return 0;
}

static void ports_tell_access(struct mh_vm *vm, const struct cpu_exit *exit, struct mh_stop *stop)
{
    struct mh_event event = {.kind = MH_EVENT_PORT,
                             .port = exit->port,
                             .width = exit->width,
                             .is_in = exit->is_in,
                             .count = exit->count,
                             .data = exit->data};
    memcpy(&event.value, exit->data, exit->width);
    events_tell(vm, &event, stop);
}

bool ports_is_exchange(const struct mh_vm *vm, uint16_t port)
{
    return vm->config.exchange != NULL && (port == MH_PORT_EXCHANGE || port == MH_PORT_EXCHANGE_DONE);
}

static int ports_ask_device(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit,
                            struct mh_event *file)
{
    bool prints = exit->port == MH_PORT_SERIAL && !exit->is_in;
    if (vm->replay_hooks.answer != NULL && !prints)
        return vm->replay_hooks.answer(vm->replay_hooks.ctx, exit, file);
    int result = exit->port == MH_PORT_SERIAL        ? ports_serve_serial(vm, request, exit)
                 : exit->port == MH_PORT_FILE        ? ports_serve_file(vm, exit)
                 : ports_is_exchange(vm, exit->port) ? ports_serve_exchange(vm, exit)
                                                     : ports_serve_nothing(vm, exit);
    ports_take_file_call(vm, file);
    return result;
}

/* Let the device answer, and the logs record what it answered. */
static int ports_serve_live(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit,
                            struct mh_event *file)
{
    const struct vm_port_hooks *hooks = &vm->port_hooks;
    const struct vm_record_hooks *record = &vm->record_hooks;
    if (hooks->begin != NULL)
        hooks->begin(hooks->ctx);
    if (record->begin != NULL)
        record->begin(record->ctx);
    vm->serves_port = true;
    int result = ports_ask_device(vm, request, exit, file);
    vm->serves_port = false;
    if (hooks->finish != NULL && result == 0)
        hooks->finish(hooks->ctx, exit, file);
    else if (hooks->cancel != NULL)
        hooks->cancel(hooks->ctx);
    if (record->finish != NULL && result == 0)
        record->finish(record->ctx, exit, file);
    else if (record->cancel != NULL)
        record->cancel(record->ctx);
    return result;
}

int ports_serve(struct mh_vm *vm, const struct cpu_request *request, const struct cpu_exit *exit, struct mh_stop *stop)
{
    struct mh_event file; /* nobody looks at the rest while op is 0, and this is done for each byte a guest prints */
    file.op = 0;
    bool differs = false;
    int result = 0;
    if (vm->port_hooks.replay == NULL || !vm->port_hooks.replay(vm->port_hooks.ctx, exit, &file, &differs))
        result = ports_serve_live(vm, request, exit, &file);
    if (differs)
        return -EILSEQ;
    if (result != 0 || !events_wanted(vm))
        return result;
    if (file.op != 0)
        events_tell(vm, &file, stop);
    ports_tell_access(vm, exit, stop);
    return 0;
}

void ports_see_each_access(struct mh_vm *vm, uint16_t port)
{
    if (port != MH_PORT_SERIAL || !vm->gathers_serial)
        return;
    vm->cpu->ops->batch_port(vm->cpu, port, false);
    vm->gathers_serial = false;
}
