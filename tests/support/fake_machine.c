#include "fake_machine.h"

#include "unit.h"

#include <string.h>

static int take_output(void *ctx, const uint8_t *bytes, size_t length)
{
    struct fake_machine *machine = ctx;
    if (machine->write_result < 0)
        return machine->write_result;
    assert_true(machine->output_length + length < sizeof machine->output);
    memcpy(machine->output + machine->output_length, bytes, length);
    machine->output_length += length;
    return 0;
}

static int give_input(void *ctx)
{
    struct fake_machine *machine = ctx;
    machine->reads++;
    machine->output_at_read = machine->output_length;
    if (machine->on_read != NULL)
        machine->on_read(machine);
    if (machine->read_result != 0)
        return machine->read_result;
    return *machine->input == '\0' ? MH_SERIAL_INPUT_ENDED : (uint8_t)*machine->input++;
}

static struct fake_exit *queue(struct fake_machine *machine)
{
    assert_true(machine->queued < FAKE_EXITS_MAX);
    return &machine->exits[machine->queued++];
}

struct fake_exit *will_exit(struct fake_machine *machine, void (*fill)(struct kvm_run *))
{
    struct fake_exit *exit = queue(machine);
    exit->fill = fill;
    return exit;
}

struct fake_exit *will_fail(struct fake_machine *machine, int error)
{
    struct fake_exit *exit = queue(machine);
    exit->error = error;
    return exit;
}

struct fake_exit *will_in(struct fake_machine *machine, uint16_t port, uint8_t width, uint32_t count)
{
    struct fake_exit *exit = queue(machine);
    assert_true((size_t)width * count <= sizeof exit->data);
    exit->port = port;
    exit->direction = KVM_EXIT_IO_IN;
    exit->width = width;
    exit->count = count;
    return exit;
}

struct fake_exit *will_out(struct fake_machine *machine, uint16_t port, uint8_t width, const void *data, uint32_t count)
{
    struct fake_exit *exit = will_in(machine, port, width, count);
    exit->direction = KVM_EXIT_IO_OUT;
    memcpy(exit->data, data, (size_t)width * count);
    return exit;
}

/* The guest takes what its last IN was answered. */
static void finish_last(struct fake_machine *machine, const struct kvm_run *run)
{
    if (machine->done == 0 || machine->done > machine->queued)
        return;
    struct fake_exit *last = &machine->exits[machine->done - 1];
    if (last->width != 0 && last->direction == KVM_EXIT_IO_IN)
        memcpy(last->data, (const uint8_t *)run + FAKE_KVM_DATA, (size_t)last->width * last->count);
}

static int make_exit(void *ctx, struct kvm_run *run)
{
    struct fake_machine *machine = ctx;
    finish_last(machine, run);
    run->exit_reason = KVM_EXIT_HLT;
    if (machine->done++ >= machine->queued)
        return 0;
    const struct fake_exit *exit = &machine->exits[machine->done - 1];
    if (exit->fill != NULL)
        exit->fill(run);
    if (exit->width != 0) {
        run->exit_reason = KVM_EXIT_IO;
        run->io.port = exit->port;
        run->io.direction = exit->direction;
        run->io.size = exit->width;
        run->io.count = exit->count;
        run->io.data_offset = FAKE_KVM_DATA;
        memcpy((uint8_t *)run + FAKE_KVM_DATA, exit->data, (size_t)exit->width * exit->count);
    }
    return -exit->error;
}

struct fake_machine *fake_machine_make(const void *code, size_t length)
{
    struct fake_machine *machine = test_calloc(1, sizeof *machine);
    char path[PATH_MAX];
    fake_kvm_reset();
    fake_kvm.on_run = make_exit;
    fake_kvm.on_run_ctx = machine;
    mh_kick_install();
    machine->exits = test_calloc(FAKE_EXITS_MAX, sizeof *machine->exits);
    machine->files = guest_files_make();
    machine->input = "";
    machine->config = machine->files->config[0];
    machine->config.name = "test";
    machine->config.ram_size = 2 * MB;
    machine->config.page_size = 4096;
    machine->config.serial = (struct mh_serial_end){.ctx = machine, .write = take_output, .read = give_input};
    temp_file(&machine->files->dir, "guest.img", code, length);
    temp_path(&machine->files->dir, "guest.img", path);
    assert_int_equal(mh_image_load(path, 2 * MB, &machine->image, NULL), MH_OK);
    machine->config.image = machine->image;
    assert_int_equal(mh_host_open(&machine->host, NULL), MH_OK);
    return machine;
}

void fake_machine_create(struct fake_machine *machine)
{
    assert_int_equal(mh_vm_create(machine->host, &machine->config, &machine->vm, NULL), MH_OK);
}

void fake_machine_remove(struct fake_machine *machine)
{
    mh_vm_destroy(machine->vm);
    mh_host_close(machine->host);
    mh_image_free(machine->image);
    guest_files_remove(machine->files);
    test_free(machine->exits);
    test_free(machine);
}

int fake_machine_set_up(void **state)
{
    struct fake_machine *machine = fake_machine_make("\xf4", 1);
    fake_machine_create(machine);
    *state = machine;
    return 0;
}

int fake_machine_tear_down(void **state)
{
    fake_machine_remove(*state);
    return 0;
}

int fake_machine_tear_down_fixture(void **state)
{
    struct fake_machine **machine = *state;
    fake_machine_remove(*machine);
    test_free(machine);
    return 0;
}

struct mh_stop fake_machine_run(struct fake_machine *machine)
{
    struct mh_stop stop;
    mh_vm_run(machine->vm, &stop);
    return stop;
}

const char *fake_machine_report(struct fake_machine *machine, const struct mh_stop *stop)
{
    clear_text(&machine->report);
    mh_vm_describe_stop(machine->vm, stop, take_text, &machine->report);
    assert_int_equal(machine->report.bytes[machine->report.length - 1], '\n');
    return machine->report.bytes;
}
