#include "debug/monitor.h"

#include "debug/debug.h"
#include "fake_machine.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct fake_machine *m;
    struct mh_debug_target target;
    struct mh_error err;
    struct taken_text text;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->m = fake_machine_make("\x90\x90\xf4", 3);
    fake_machine_create(f->m);
    assert_int_equal(mh_vm_debug(f->m->vm, &f->target, NULL), MH_OK);
    *state = f;
    return 0;
}

static enum mh_status say(struct fixture *f, const char *command)
{
    clear_text(&f->text);
    return monitor_run(debug_of(f->m->vm), command, take_text, &f->text, &f->err);
}

static const char *monitor(struct fixture *f, const char *command)
{
    assert_int_equal(say(f, command), MH_OK);
    return f->text.bytes;
}

static void refused(struct fixture *f, const char *command, enum mh_status status, const char *words)
{
    assert_int_equal(say(f, command), status);
    assert_text_has(f->err.text, words);
}

/* As QEMU's monitor prints it, character by character: scripts cut it at columns. */
static void info_is_in_the_form_of_qemu(void **state)
{
    struct fixture *f = *state;
    uint64_t *table = (uint64_t *)(void *)(ram_system_area(&f->m->vm->ram) + BOOT_RAM_PT);
    table[1] = 0x5000 | PAGING_PRESENT | PAGING_USER | PAGING_DIRTY | PAGING_NX;
    assert_string_equal(monitor(f, "info mem"), "0000000000000000-0000000000001000 0000000000001000 urw\n"
                                                "0000000000001000-0000000000002000 0000000000001000 ur-\n"
                                                "0000000000002000-0000000000200000 00000000001fe000 urw\n"
                                                "0000000001000000-000000000100a000 000000000000a000 -rw\n");
    assert_text_has(monitor(f, "info tlb"), "0000000000001000: 0000000000005000 X--D---U-\n"
                                            "0000000000002000: 0000000000002000 -------UW\n");
    fake_machine_general(f->m)->gpr[MH_R8] = 0xfeedface;
    fake_machine_general(f->m)->rflags = 0x86;
    const char *text = monitor(f, "info registers");
    assert_text_has(text, "\nR8 =00000000feedface R9 =0000000000000000 R10=");
    assert_text_has(text, " RFL=00000086 [--S--P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\n");
    assert_text_has(text, "\nCS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\n");
    assert_text_has(text, "\nSS =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\n");
    assert_text_has(text, " DPL=0 TSS64-busy\nGDT=     ");
    fake_machine_system(f->m)->cr0 &= ~(uint64_t)MH_CR0_PG;
    assert_string_equal(monitor(f, "info mem"), "PG disabled\n");
    assert_string_equal(monitor(f, "info tlb"), "PG disabled\n");
    refused(f, "info", MH_ERR_RANGE, "info: say mem, registers or tlb");
    refused(f, "info cpus", MH_ERR_RANGE, "info: say mem, registers or tlb");
}

static void what_is_no_command_is_named(void **state)
{
    struct fixture *f = *state;
    refused(f, "nonsense and more", MH_ERR_USAGE, "there is no command 'nonsense'");
    refused(f, "", MH_ERR_USAGE, "there is no command ''");
    refused(f, "reg", MH_ERR_USAGE, "'reg'");
    refused(f, "regsx", MH_ERR_USAGE, "'regsx'");
}

static void regs_shows_registers_or_says_that_there_are_none(void **state)
{
    struct fixture *f = *state;
    fake_machine_general(f->m)->gpr[MH_RBX] = 0xfeedface;
    assert_text_has(monitor(f, "regs"), "rbx 0x00000000feedface");
    f->m->cpu->failing = "read_regs";
    assert_string_equal(monitor(f, "regs"), "the processor does not give its registers\n");
}

static void pt_walks_an_address(void **state)
{
    struct fixture *f = *state;
    assert_text_has(monitor(f, "pt 0x3456"), "leads to physical 0x3456");
    assert_text_has(monitor(f, "pt  4096"), "page walk of 0x0000000000001000");
    static const char *const wrong[] = {"pt", "pt x", "pt -1", "pt 0x10000000000000000", "pt 1 2", "pt 0x"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        refused(f, wrong[i], MH_ERR_RANGE, "pt: say an address, such as pt 0x1000");
}

static uint64_t *table(const struct fixture *f, uint32_t offset)
{
    return (uint64_t *)(void *)(ram_system_area(&f->m->vm->ram) + offset);
}

static void the_map_shows_ram_and_system_area(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(monitor(f, "map"), "0x0000000000000000-0x0000000000200000 -> 0x0  rwx rings 0-3\n"
                                           "0x0000000001000000-0x000000000100a000 -> 0x1000000  rwx ring 0\n");
}

static void a_map_of_tables_that_lead_to_empty_ones_comes_to_an_end(void **state)
{
    struct fixture *f = *state;
    uint64_t *pml4 = table(f, BOOT_PML4), *pdpt = table(f, BOOT_PDPT), *pd = table(f, BOOT_PD);
    memset(table(f, BOOT_SYSTEM_PT), 0, PAGE_4K);
    for (unsigned i = 0; i < 512; i++) {
        pml4[i] = pml4[0];
        pdpt[i] = pdpt[0];
        pd[i] = (MH_SYSTEM_AREA + BOOT_SYSTEM_PT) | PAGING_PRESENT;
    }
    assert_string_equal(monitor(f, "map"), "(and more)\n");
}

static void without_tables_there_is_no_map(void **state)
{
    struct fixture *f = *state;
    fake_machine_system(f->m)->cr0 &= ~(uint64_t)MH_CR0_PG;
    assert_text_has(monitor(f, "map"), "not in 64-bit mode");
}

static void files_lists_what_the_machine_wrote(void **state)
{
    struct fixture *f = *state;
    struct file_store *store = &f->m->vm->file.store;
    int32_t fd = (int32_t)file_store_open(store, "own", 3, MH_O_WRITE);
    assert_int_equal(file_store_write(store, fd, "abc", 3), 3);
    assert_text_has(monitor(f, "files"), "         3  own\n");
    assert_text_has(f->text.bytes, "3 of 10000 bytes written\n");
}

static void files_lists_what_is_open(void **state)
{
    struct fixture *f = *state;
    struct file_store *store = &f->m->vm->file.store;
    assert_text_has(monitor(f, "files"), "open files:\n  fd  mode   position        size  name\n");
    assert_false(strstr(f->text.bytes, "own\n"));
    int32_t closed = (int32_t)file_store_open(store, "closed", 6, MH_O_WRITE);
    int32_t fd = (int32_t)file_store_open(store, "own", 3, MH_O_READ | MH_O_WRITE | MH_O_APPEND);
    assert_int_equal(file_store_write(store, fd, "abc", 3), 3);
    assert_int_equal(file_store_seek(store, fd, MH_SEEK_SET, 1), 1);
    assert_int_equal(file_store_close(store, closed), 0);
    assert_text_has(monitor(f, "files"), "name\n   1  rwa           1           3  own\n");
}

static void why_repeats_what_the_machine_stopped_for(void **state)
{
    struct fixture *f = *state;
    struct debug *debug = debug_of(f->m->vm);
    assert_text_has(monitor(f, "why"), "was interrupted at rip 0x");
    debug->last_stop = (struct mh_stop){
        .kind = MH_STOP_EXCEPTION, .vector = 13, .has_error_code = true, .error_code = 0x48};
    assert_text_has(monitor(f, "why"), "general protection fault (#GP), vector 13, at rip 0x");
    assert_text_has(f->text.bytes, "error code 0x48: selector 0x48 of the GDT\n");
}

static void stats_names_processor_and_exits(void **state)
{
    struct fixture *f = *state;
    f->m->input = "k";
    fake_cpu_will_in(f->m->cpu, MH_PORT_SERIAL, 1, 1);
    fake_cpu_will_out(f->m->cpu, MH_PORT_SERIAL, 1, "x", 1);
    fake_machine_run(f->m);
    assert_string_equal(monitor(f, "stats"), "processor: soft\n"
                                             "exits, port access: 2\n"
                                             "exits, hlt: 1\n"
                                             "bytes into the guest: 1\n");
    f->m->cpu->counts = true;
    f->m->cpu->count = 1234;
    assert_text_has(monitor(f, "stats"), "instructions: 1234\n");
}

static void catchpoints_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct mh_vm *vm = f->m->vm;
    assert_string_equal(monitor(f, "catch"), "no catchpoints\n");
    assert_null(vm->hooks.event);
    assert_string_equal(monitor(f, "catch cr3"), "catchpoint 1\n");
    assert_non_null(vm->hooks.event);
    refused(f, "catch nonsense", MH_ERR_RANGE, "catch: say out PORT");
    vm->gathers_serial = true;
    assert_string_equal(monitor(f, "catch out 0xe9"), "catchpoint 2\n");
    assert_false(vm->gathers_serial); /* each byte is to be seen */
    assert_int_equal(fake_cpu_asked(f->m->cpu, "batch_off"), 1);
    refused(f, "uncatch 3", MH_ERR_RANGE, "there is no catchpoint '3'");
    refused(f, "uncatch x", MH_ERR_RANGE, "there is no catchpoint 'x'");
    refused(f, "uncatch 0", MH_ERR_RANGE, "there is no catchpoint '0'");
    assert_string_equal(monitor(f, "uncatch 1"), "2  out 0xe9\n");
    assert_string_equal(monitor(f, "uncatch"), "no catchpoints\n");
    assert_null(vm->hooks.event);
    assert_string_equal(monitor(f, "uncatch"), "no catchpoints\n");
}

static void snapshots_are_taken_listed_and_forgotten(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(monitor(f, "snapshot first"), "");
    assert_text_has(monitor(f, "snapshots"), "first");
    refused(f, "snapshot", MH_ERR_USAGE, "");
    refused(f, "forget nothing", MH_ERR_RANGE, "nothing");
    assert_string_equal(monitor(f, "forget first"), "");
    assert_text_lacks(monitor(f, "snapshots"), "first");
}

static void a_core_needs_a_directory(void **state)
{
    struct fixture *f = *state;
    char saved[PATH_MAX + 32];
    refused(f, "core", MH_ERR_IO, "");
    f->m->vm->config.core_dir = f->m->files->dir.path;
    snprintf(saved, sizeof saved, "saved %s/core\n", f->m->files->dir.path);
    assert_string_equal(monitor(f, "core"), saved);
    assert_true(temp_exists(&f->m->files->dir, "core"));
    monitor(f, "core other");
    assert_true(temp_exists(&f->m->files->dir, "other"));
    refused(f, "core a/b", MH_ERR_IO, "");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, fake_machine_tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(info_is_in_the_form_of_qemu),
        TEST(what_is_no_command_is_named),
        TEST(regs_shows_registers_or_says_that_there_are_none),
        TEST(pt_walks_an_address),
        TEST(the_map_shows_ram_and_system_area),
        TEST(a_map_of_tables_that_lead_to_empty_ones_comes_to_an_end),
        TEST(without_tables_there_is_no_map),
        TEST(files_lists_what_the_machine_wrote),
        TEST(files_lists_what_is_open),
        TEST(why_repeats_what_the_machine_stopped_for),
        TEST(stats_names_processor_and_exits),
        TEST(catchpoints_come_and_go),
        TEST(snapshots_are_taken_listed_and_forgotten),
        TEST(a_core_needs_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
