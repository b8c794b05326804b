#include "machine/machine.h"

#include "fake_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <errno.h>
#include <string.h>

static int set_up(void **state)
{
    *state = fake_machine_make("\x90\xf4", 2);
    return 0;
}

/* ---- making machines ---- */

static void a_machine_starts_as_the_interface_says(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    const struct mh_cpu_state *boot = &m->cpu->state;
    assert_memory_equal(m->vm->ram.host, "\x90\xf4\0", 3);
    assert_int_equal(boot->general.rip, 0);
    assert_int_equal(boot->general.gpr[MH_RSP], 2 * MB - 8);
    assert_int_equal(boot->general.rflags, 2);
    assert_int_equal(boot->system.cr3, MH_SYSTEM_AREA);
    assert_int_equal(boot->dr6, BOOT_DR6);
    assert_int_equal(boot->dr7, BOOT_DR7);
    assert_int_equal(boot->xsave[0] | boot->xsave[1] << 8, 0x37f);
    assert_int_equal(boot->system.cr4 & MH_CR4_OSXSAVE, boot->xcr0 != 0 ? MH_CR4_OSXSAVE : 0);
    assert_false(boot->pending.valid);
    assert_int_equal(boot->shadow, 0);
}

static void a_machine_gives_everything_back(void **state)
{
    struct fake_machine *m = *state;
    unsigned fds = count_open_fds();
    fake_machine_create(m);
    assert_int_equal(fake_cpus, 1);
    mh_vm_destroy(m->vm);
    m->vm = NULL;
    mh_vm_destroy(NULL);
    assert_int_equal(fake_cpus, 0);
    assert_int_equal(count_open_fds(), fds);
}

static void a_processor_that_cannot_be_made_is_an_error(void **state)
{
    struct fake_machine *m = *state;
    struct mh_error err = {.text = ""};
    fake_soft_fails = true;
    assert_int_equal(mh_vm_create(m->host, &m->config, &m->vm, &err), MH_ERR_HOST);
    assert_null(m->vm);
    assert_text_has(err.text, "no memory for a processor");
}

static void memory_that_cannot_be_had_is_an_error(void **state)
{
    struct fake_machine *m = *state;
    struct mh_error err = {.text = ""};
    m->config.ram_size = 1ull << 60;
    assert_int_equal(mh_vm_create(m->host, &m->config, &m->vm, &err), MH_ERR_HOST);
    assert_null(m->vm);
    assert_text_has(err.text, "MB of guest RAM");
    m->config.ram_size = 2 * MB;
}

static void who_writes_memory_tells_the_processor(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    assert_int_equal(m->cpu->memory_changes, 0);
    ram_put(&m->vm->ram, m->vm->ram.host + 5, "x", 1);
    assert_int_equal(m->cpu->memory_changes, 1);
}

static void rip_is_read_when_it_is_not_at_hand(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->cpu->state.general.rip = 0x1234;
    assert_int_equal(vm_rip(m->vm), 0x1234);
    assert_int_equal(fake_cpu_asked(m->cpu, "read_regs"), 0);
    m->cpu->hides_rip = true;
    assert_int_equal(vm_rip(m->vm), 0x1234);
    m->cpu->failing = "read_regs";
    assert_int_equal(vm_rip(m->vm), 0);
}

/* ---- running ---- */

static void a_guest_that_halts_ends_well(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
    assert_int_equal(m->cpu->runs, 1);
    assert_int_equal(m->cpu->requests[0].mode, CPU_RUN);
    assert_false(m->cpu->requests[0].step_off);
    assert_int_equal(m->cpu->requests[0].report, 0);
}

static void ask_self_to_stop(struct fake_machine *m)
{
    m->read_result = MH_SERIAL_INTERRUPTED;
    mh_vm_request_stop(m->vm);
}

static void a_wait_for_input_ends_when_the_machine_is_to_stop(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->on_read = ask_self_to_stop;
    fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 1, 1);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_INTERRUPTED);
    assert_int_equal(m->reads, 1);
    assert_int_equal(atomic_load(&m->cpu->kicks), 1);
}

static void kicks_are_wanted_while_bytes_wait(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    assert_false(mh_vm_wants_kick(m->vm));
    m->cpu->batch_length = 1;
    assert_true(mh_vm_wants_kick(m->vm));
    m->cpu->batch_length = 0;
    serial_put(&m->vm->serial, (const uint8_t *)"x", 1);
    assert_true(mh_vm_wants_kick(m->vm));
    serial_flush(&m->vm->serial);
    assert_false(mh_vm_wants_kick(m->vm));
    m->cpu->ops.has_batch = NULL;
    assert_false(mh_vm_wants_kick(m->vm));
    atomic_store(&m->vm->wants_kicks, true);
    assert_true(mh_vm_wants_kick(m->vm));
}

static void a_kick_reaches_the_processor_and_ends_no_run(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    mh_vm_kick(m->vm);
    assert_true(atomic_load(&m->cpu->kicked));
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
    assert_int_equal(m->vm->exits[CPU_EXIT_KICKED], 1);
    assert_int_equal(m->cpu->runs, 2);
}

/* ---- bytes that gather ---- */

static void many_single_bytes_make_the_processor_gather_them(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->vm->serial_exits = 998;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "x", 1);
    fake_machine_run(m);
    assert_false(m->cpu->batches);
    fake_cpu_clear(m->cpu);
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "y", 1);
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "z", 1);
    fake_machine_run(m);
    assert_true(m->cpu->batches);
    assert_int_equal(fake_cpu_asked(m->cpu, "batch_on"), 1);
    assert_string_equal(m->output, "xyz");
}

static void a_processor_that_cannot_gather_is_not_asked(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->vm->serial_exits = 5000;
    m->cpu->ops.batch_port = NULL;
    m->cpu->ops.take_batch = NULL;
    m->cpu->ops.has_batch = NULL;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "x", 1);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
    assert_false(m->vm->gathers_serial);
}

/* ---- restarting ---- */

static void a_restart_puts_everything_back(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    const struct mh_cpu_state boot = m->cpu->state;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "x", 1);
    fake_machine_run(m);
    m->cpu->state.system.cr2 = 7;
    m->vm->ram.host[0x5000] = 1;
    m->vm->ram.host[0] = 0;
    memset(ram_system_area(&m->vm->ram), 0, MH_SYSTEM_AREA_SIZE);
    file_port_out(&m->vm->file, MH_FILE_CLOSE);
    memset(m->vm->ram.changed, 0, sizeof m->vm->ram.changed);
    assert_int_equal(vm_restart(m->vm, NULL), MH_OK);
    assert_memory_equal(&m->cpu->state, &boot, sizeof boot);
    assert_int_equal(m->vm->ram.host[0x5000], 0);
    assert_int_equal(m->vm->ram.host[0], 0x90);
    assert_int_not_equal(*ram_system_area(&m->vm->ram), 0);
    assert_int_equal(m->vm->file.request.got, 0);
    for (size_t page = 0; page < ram_pages(&m->vm->ram); page++)
        assert_true((m->vm->ram.changed[page / 64] >> page % 64 & 1) != 0);
    assert_true(m->cpu->memory_changes > 0);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
}

static void count_relocation(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void whoever_debugs_is_told_of_a_restart(void **state)
{
    struct fake_machine *m = *state;
    unsigned relocations = 0;
    fake_machine_create(m);
    m->vm->hooks = (struct vm_hooks){.ctx = &relocations, .relocated = count_relocation};
    assert_int_equal(vm_restart(m->vm, NULL), MH_OK);
    assert_int_equal(relocations, 1);
    m->cpu->failing = "restore";
    assert_int_equal(vm_restart(m->vm, NULL), MH_ERR_HOST);
    assert_int_equal(relocations, 2);
}

static void a_restart_completes_what_was_under_way(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->read_result = -EIO;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "last", 4);
    fake_cpu_will_in(m->cpu, MH_PORT_SERIAL, 1, 1);
    fake_machine_run(m);
    assert_int_equal(vm_restart(m->vm, NULL), MH_OK); /* the fake insists on nothing being pending */
    assert_string_equal(m->output, "last");
}

static void a_restart_that_fails_leaves_no_machine_and_may_be_tried_again(void **state)
{
    struct fake_machine *m = *state;
    struct mh_error err;
    fake_machine_create(m);
    m->cpu->failing = "restore";
    assert_int_equal(vm_restart(m->vm, &err), MH_ERR_HOST);
    assert_text_has(err.text, "soft refuses to restore");
    assert_true(m->vm->is_lost);
    m->cpu->failing = NULL;
    assert_int_equal(vm_restart(m->vm, &err), MH_OK);
    assert_false(m->vm->is_lost);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, fake_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_starts_as_the_interface_says),
        TEST(a_machine_gives_everything_back),
        TEST(a_processor_that_cannot_be_made_is_an_error),
        TEST(memory_that_cannot_be_had_is_an_error),
        TEST(who_writes_memory_tells_the_processor),
        TEST(rip_is_read_when_it_is_not_at_hand),
        TEST(a_guest_that_halts_ends_well),
        TEST(a_wait_for_input_ends_when_the_machine_is_to_stop),
        TEST(kicks_are_wanted_while_bytes_wait),
        TEST(a_kick_reaches_the_processor_and_ends_no_run),
        TEST(many_single_bytes_make_the_processor_gather_them),
        TEST(a_processor_that_cannot_gather_is_not_asked),
        TEST(a_restart_puts_everything_back),
        TEST(whoever_debugs_is_told_of_a_restart),
        TEST(a_restart_completes_what_was_under_way),
        TEST(a_restart_that_fails_leaves_no_machine_and_may_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
