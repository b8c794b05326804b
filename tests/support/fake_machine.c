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

static int give_input(void *ctx, const int *wake_fds, unsigned wake_count)
{
    struct fake_machine *machine = ctx;
    (void)wake_fds;
    machine->reads++;
    machine->read_wake_count = wake_count;
    machine->output_at_read = machine->output_length;
    if (machine->on_read != NULL)
        machine->on_read(machine);
    if (machine->read_result != 0)
        return machine->read_result;
    return *machine->input == '\0' ? MH_SERIAL_INPUT_ENDED : (uint8_t)*machine->input++;
}

struct fake_machine *fake_machine_make(const void *code, size_t length)
{
    struct fake_machine *machine = test_calloc(1, sizeof *machine);
    char path[PATH_MAX];
    fake_soft_fails = false;
    mh_kick_install();
    machine->files = guest_files_make();
    machine->input = "";
    machine->config = machine->files->config[0];
    machine->config.number = 1;
    machine->config.name = "test";
    machine->config.ram_size = 2 * MB;
    machine->config.page_size = 4096;
    machine->config.serial = (struct mh_serial_end){.ctx = machine, .write = take_output, .read = give_input};
    temp_file(&machine->files->dir, "guest.img", code, length);
    temp_path(&machine->files->dir, "guest.img", path);
    assert_int_equal(mh_image_load(path, 2 * MB, 0, &machine->image, NULL), MH_OK);
    machine->config.image = machine->image;
    assert_int_equal(mh_host_open(MH_ACCEL_SOFT, &machine->host, NULL), MH_OK);
    return machine;
}

void fake_machine_create(struct fake_machine *machine)
{
    assert_int_equal(mh_vm_create(machine->host, &machine->config, &machine->vm, NULL), MH_OK);
    machine->cpu = fake_soft;
    machine->cpu->ctx = machine;
}

void fake_machine_remove(struct fake_machine *machine)
{
    mh_vm_destroy(machine->vm);
    mh_host_close(machine->host);
    mh_image_free(machine->image);
    guest_files_remove(machine->files);
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

struct mh_x86_general *fake_machine_general(struct fake_machine *machine)
{
    return &machine->cpu->state.general;
}

struct mh_x86_system *fake_machine_system(struct fake_machine *machine)
{
    return &machine->cpu->state.system;
}

const char *fake_machine_report(struct fake_machine *machine, const struct mh_stop *stop)
{
    clear_text(&machine->report);
    mh_vm_describe_stop(machine->vm, stop, take_text, &machine->report);
    assert_int_equal(machine->report.bytes[machine->report.length - 1], '\n');
    return machine->report.bytes;
}
