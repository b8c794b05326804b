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
    bool has_color;
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
    const struct text_output output = {.sink = take_text, .ctx = &f->text, .has_color = f->has_color};
    clear_text(&f->text);
    return monitor_run(debug_of(f->m->vm), command, &output, &f->err);
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

static void an_argument_too_many_is_refused(void **state)
{
    static const char *const commands[] = {"regs", "map", "files", "stats", "snapshots", "when", "history", "why"};
    for (size_t i = 0; i < COUNT(commands); i++) {
        char command[32];
        snprintf(command, sizeof command, "%s all", commands[i]);
        refused(*state, command, MH_ERR_USAGE, "takes no argument");
    }
}

static void pt_walks_an_address(void **state)
{
    struct fixture *f = *state;
    assert_text_has(monitor(f, "pt 0x3456"), "leads to physical 0x3456");
    assert_text_has(monitor(f, "pt  4096"), "page walk of 0x0000000000001000");
    assert_text_has(monitor(f, "pt 0xffff804030201234"),
                    "  0xffff804030201234 = PML4 256, PDPT 256, PD 385, PT 1, offset 0x234\n");
    static const char *const wrong[] = {"pt x", "pt -1", "pt 0x10000000000000000", "pt 1 2", "pt 0x"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        refused(f, wrong[i], MH_ERR_RANGE, "pt: say an address, such as pt 0x1000");
}

static uint64_t *table(const struct fixture *f, uint32_t offset)
{
    return (uint64_t *)(void *)(ram_system_area(&f->m->vm->ram) + offset);
}

static void pt_alone_shows_all_tables(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(monitor(f, "pt"),
                        "cr3 0x1000000: PML4 at 0x1000000\n"
                        "  [0] 0x0  PDPT at 0x1001000  rwx rings 0-3\n"
                        "    [0] 0x0  PD at 0x1002000  rwx rings 0-3\n"
                        "      [0] 0x0  PT at 0x1004000  rwx rings 0-3\n"
                        "        [0-511] 0x0-0x200000 -> 0x0  512 pages of 4 KB  rwx rings 0-3\n"
                        "      [8] 0x1000000  PT at 0x1003000  rwx rings 0-3\n"
                        "        [0-9] 0x1000000-0x100a000 -> 0x1000000  10 pages of 4 KB  rwx ring 0\n");
    table(f, BOOT_PML4)[256] = 0x12345000 | PAGING_PRESENT;
    table(f, BOOT_PDPT)[2] = 0x80000000 | PAGING_PRESENT | PAGING_USER | PAGING_LARGE | PAGING_NX;
    table(f, BOOT_RAM_PT)[1] &= ~(uint64_t)PAGING_WRITE;
    assert_text_has(monitor(f, "pt"),
                    "  [256] 0xffff800000000000  PDPT at 0x12345000, where the machine has no memory\n");
    assert_text_has(f->text.bytes, "    [2] 0x80000000-0xc0000000 -> 0x80000000  1 page of 1 GB  r-- rings 0-3\n");
    assert_text_has(f->text.bytes, "        [0] 0x0-0x1000 -> 0x0  1 page of 4 KB  rwx rings 0-3\n"
                                   "        [1] 0x1000-0x2000 -> 0x1000  1 page of 4 KB  r-x rings 0-3\n"
                                   "        [2-511] 0x2000-0x200000 -> 0x2000  510 pages of 4 KB  rwx rings 0-3\n");
}

static void tables_without_end_are_cut(void **state)
{
    struct fixture *f = *state;
    uint64_t *pml4 = table(f, BOOT_PML4);
    for (unsigned i = 0; i < 512; i++)
        pml4[i] = (MH_SYSTEM_AREA + BOOT_PML4) | PAGING_PRESENT;
    assert_text_has(monitor(f, "pt"), "(and more; say an address to see how it is translated)\n");
    fake_machine_system(f->m)->cr3 = 0x40000000;
    assert_string_equal(monitor(f, "pt"), "cr3 0x40000000: PML4 at 0x40000000, where the machine has no memory\n");
}

static void map_and_pt_have_colors_on_request(void **state)
{
    struct fixture *f = *state;
    static const char *const commands[] = {"map", "pt", "pt 0"};
    for (size_t i = 0; i < COUNT(commands); i++) {
        f->has_color = false;
        assert_text_lacks(monitor(f, commands[i]), "\033");
        f->has_color = true;
        assert_text_has(monitor(f, commands[i]), "r\033[33mw\033[32mx\033[0m rings 0-3\n");
    }
    assert_text_has(f->text.bytes, "\033[32mpresent\033[0m");
    assert_text_has(monitor(f, "pt 0x12345678000"), "\033[31mnot present\033[0m");
}

static void the_map_shows_what_memory_is_used_for(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(monitor(f, "map"),
                        "0x0000000000000000-0x0000000000200000 -> 0x0  rwx rings 0-3\n"
                        "0x0000000001000000-0x000000000100a000 -> 0x1000000  rwx ring 0\n"
                        "memory, 2 MB, 4 KB a character:\n"
                        "  0x0000000  I...............................................................\n"
                        "  0x0040000  ................................................................\n"
                        "  0x0080000  ................................................................\n"
                        "  0x00c0000  ................................................................\n"
                        "  0x0100000  ................................................................\n"
                        "  0x0140000  ................................................................\n"
                        "  0x0180000  ................................................................\n"
                        "  0x01c0000  ...............................................................s\n"
                        "system area, 4 KB a character:\n"
                        "  0x1000000  ttttt.....\n"
                        "  t page table, s stack, x executed, w written, r read, I image, . untouched, - not mapped\n"
                        "  X, W and R: the same in the image\n");
    f->m->vm->ram.host[0x10] = 1;
    f->m->vm->ram.host[0x3f000] = 1;
    ram_mark_accessed(&f->m->vm->ram, 1, RAM_READ);
    ram_mark_accessed(&f->m->vm->ram, 2, RAM_EXECUTED);
    table(f, BOOT_RAM_PT)[3] = 0;
    f->m->vm->ram.misses_accesses = true;
    assert_text_has(monitor(f, "map"),
                    "  0x0000000  Wrx-...........................................................w\n");
    assert_text_has(f->text.bytes, "  the guest ran on KVM, which does not say what it read and executed there\n");
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
    assert_text_has(monitor(f, "map"), "(and more)\nmemory, 2 MB");
}

static void without_tables_there_is_no_map(void **state)
{
    struct fixture *f = *state;
    fake_machine_system(f->m)->cr0 &= ~(uint64_t)MH_CR0_PG;
    assert_text_has(monitor(f, "map"), "not in 64-bit mode");
    assert_text_has(f->text.bytes, "memory, 2 MB");
    assert_text_has(monitor(f, "pt"), "not in 64-bit mode");
    assert_text_has(monitor(f, "pt 0"), "not in 64-bit mode");
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
    debug->last_stop =
        (struct mh_stop){.kind = MH_STOP_EXCEPTION, .vector = 13, .has_error_code = true, .error_code = 0x48};
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
        TEST(an_argument_too_many_is_refused),
        TEST(regs_shows_registers_or_says_that_there_are_none),
        TEST(pt_walks_an_address),
        TEST(pt_alone_shows_all_tables),
        TEST(tables_without_end_are_cut),
        TEST(map_and_pt_have_colors_on_request),
        TEST(the_map_shows_what_memory_is_used_for),
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
