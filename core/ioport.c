#include "ioport.h"

#include "events.h"

#include <errno.h>
#include <string.h>

/* One IN or OUT, or all those of a string instruction that KVM hands over at once. */
struct access {
    uint16_t port;
    uint8_t width; /* bytes of one */
    bool is_in;
    uint32_t count;
    uint8_t *data;
};

static struct access access_of(struct kvm_run *run)
{
    return (struct access){
        .port = run->io.port,
        .width = run->io.size,
        .is_in = run->io.direction == KVM_EXIT_IO_IN,
        .count = run->io.count,
        .data = (uint8_t *)run + run->io.data_offset,
    };
}

static void answer_all_ones(const struct access *access)
{
    if (access->is_in)
        memset(access->data, 0xff, (size_t)access->width * access->count);
}

/*
 * Serial bytes coalesce only after this many cost an exit each. Asking KVM to gather them is cheap, but takes some
 * milliseconds when the machine ends: about what this many exits cost. Short outputs never pay it.
 */
#define EXITS_BEFORE_COALESCING 1000u

static void coalesce_when_it_pays(struct mh_vm *vm)
{
    if (vm->vcpu.ring == NULL || vm->coalescing || ++vm->serial_exits < EXITS_BEFORE_COALESCING ||
        catches_port(&vm->debug.catches, MH_PORT_SERIAL))
        return;
    vm->coalescing = true; /* a refusal is final too: it goes on with exits */
    kvm_sys_coalesce_port(vm->fd, MH_PORT_SERIAL);
}

/* One byte for the guest. A kick that does not ask for a stop does not end the wait. */
static int read_serial_byte(struct mh_vm *vm, uint8_t *to)
{
    int result = -EINTR;
    atomic_store_explicit(&vm->debug.waits_for_input, vm->debug.active, memory_order_relaxed);
    for (bool look = debug_heed_kicks(vm); result == -EINTR; look = true) {
        if (look && (atomic_load(&vm->stop_wanted) || debug_wants_out(vm)))
            break;
        result = serial_get(&vm->serial, &vm->inbound, to);
    }
    atomic_store_explicit(&vm->debug.waits_for_input, false, memory_order_relaxed);
    return result;
}

/* Tell what an access did, once it is served. */
static void tell(struct mh_vm *vm, const struct access *access)
{
    struct mh_event event = {.kind = MH_EVENT_PORT,
                             .port = access->port,
                             .width = access->width,
                             .is_in = access->is_in,
                             .count = access->count,
                             .data = access->data};
    memcpy(&event.value, access->data, access->width);
    events_tell(vm, &event);
}

static int serve_serial(struct mh_vm *vm, const struct access *access)
{
    if (access->width != 1) {
        vm_notice(vm, NOTICE_SERIAL_WIDTH,
                  "the serial port takes one byte an operation; a %u-byte access has no effect", access->width);
        answer_all_ones(access);
        return 0;
    }
    if (!access->is_in) {
        serial_put(&vm->serial, access->data, access->count);
        coalesce_when_it_pays(vm);
        return 0;
    }
    inbound_begin(&vm->inbound);
    for (uint32_t i = 0; i < access->count; i++) {
        int result = read_serial_byte(vm, access->data + i);
        if (result < 0) {
            inbound_take_back(&vm->inbound, i);
            return result;
        }
    }
    return 0;
}

static uint32_t word_at(const uint8_t *data)
{
    uint32_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

/* The same of a file call, where the access was the last byte of one. */
static void tell_file(struct mh_vm *vm)
{
    struct mh_event event = {
        .kind = MH_EVENT_FILE, .op = vm->file.made_op, .name = vm->file.made_name, .result = vm->file.made_result};
    if (vm->file.made_op != 0)
        events_tell(vm, &event);
    vm->file.made_op = 0;
}

static int serve_file(struct mh_vm *vm, const struct access *access)
{
    for (uint32_t i = 0; i < access->count; i++) {
        uint8_t *data = access->data + (size_t)i * access->width;
        if (access->width == 1 && access->is_in)
            file_port_in(&vm->file, &vm->inbound, data);
        else if (access->width == 1)
            file_port_out(&vm->file, *data);
        else if (access->width == 4 && !access->is_in)
            file_port_call(&vm->file, &vm->memory, &vm->inbound, mh_gpa_of(word_at(data)));
        else {
            vm_notice(vm, NOTICE_FILE_WIDTH, "the file port knows no %u-byte %s; it has no effect", access->width,
                      access->is_in ? "IN" : "OUT");
            answer_all_ones(access);
            break;
        }
        tell_file(vm);
    }
    return 0;
}

static int serve_nothing(struct mh_vm *vm, const struct access *access)
{
    vm_notice(vm, NOTICE_OTHER_PORT, "nothing is connected to port 0x%x: writes have no effect, reads give all ones",
              access->port);
    answer_all_ones(access);
    return 0;
}

int ioport_serve(struct mh_vm *vm)
{
    const struct access access = access_of(vm->vcpu.run);
    int result = access.port == MH_PORT_SERIAL ? serve_serial(vm, &access)
                 : access.port == MH_PORT_FILE ? serve_file(vm, &access)
                                               : serve_nothing(vm, &access);
    if (result == 0)
        tell(vm, &access);
    return result;
}

void ioport_see_each_access(struct mh_vm *vm, uint16_t port)
{
    if (port == MH_PORT_SERIAL && vm->coalescing && kvm_sys_uncoalesce_port(vm->fd, port) == 0)
        vm->coalescing = false;
}
