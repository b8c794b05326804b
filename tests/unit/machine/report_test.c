/* Crashes, from the processor's exit to the text of the report: run_loop, faults and report. */
#include "fake_machine.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/exceptions.h"
#include "x86/paging.h"

#include <string.h>

static int set_up(void **state)
{
    struct fake_machine *m = fake_machine_make("\x0f\x0b\xf4", 3);
    fake_machine_create(m);
    *state = m;
    return 0;
}

static int tear_down(void **state)
{
    fake_machine_remove(*state);
    return 0;
}

/* ---- exits that are errors ---- */

static struct mh_stop stop_for(struct fake_machine *m, enum cpu_exit_kind kind)
{
    fake_cpu_will(m->cpu, kind);
    return fake_machine_run(m);
}

static struct fake_exit *will_err(struct fake_machine *m, const char *text)
{
    struct fake_exit *exit = fake_cpu_will(m->cpu, CPU_EXIT_ERROR);
    strcpy(exit->exit.text, text);
    return exit;
}

static void an_error_of_the_processor_is_told_in_its_words(void **state)
{
    struct fake_machine *m = *state;
    will_err(m, "unexpected KVM exit 77");
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(stop.kind, MH_STOP_CPU_ERROR);
    assert_text_has(fake_machine_report(m, &stop), "unexpected KVM exit 77, at rip 0x0000000000000000\n");
    will_err(m, "KVM cannot run the guest: Bad address")->exit.is_host_error = true;
    stop = fake_machine_run(m);
    assert_int_equal(stop.kind, MH_STOP_HOST_ERROR);
    assert_text_has(fake_machine_report(m, &stop), "KVM cannot run the guest: Bad address, at rip");
}

static void an_instruction_that_cannot_be_executed_is_told_with_its_bytes(void **state)
{
    struct fake_machine *m = *state;
    struct fake_exit *exit = will_err(m, "cannot execute it");
    memcpy(exit->exit.instruction, "\x66\x0f\x6f\x00", 4);
    exit->exit.instruction_length = 4;
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(stop.instruction_length, 4);
    assert_text_has(fake_machine_report(m, &stop), "code at rip: 66 0f 6f 00\n");
}

static void bytes_the_processor_does_not_give_are_read_from_memory(void **state)
{
    struct fake_machine *m = *state;
    will_err(m, "cannot execute it");
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(stop.instruction_length, 0);
    assert_text_has(fake_machine_report(m, &stop), "code at rip: 0f 0b f4 00");
}

static void accesses_to_no_memory_are_told_with_their_address(void **state)
{
    struct fake_machine *m = *state;
    fake_cpu_will(m->cpu, CPU_EXIT_NO_MEMORY)->exit.physical = 0xfee00030;
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(stop.kind, MH_STOP_NO_MEMORY);
    assert_text_has(fake_machine_report(m, &stop),
                    "read of physical address 0xfee00030, where the machine has no memory");
    struct fake_exit *exit = fake_cpu_will(m->cpu, CPU_EXIT_NO_MEMORY);
    exit->exit.physical = 0xfee00030;
    exit->exit.is_write = true;
    stop = fake_machine_run(m);
    assert_true(stop.is_write);
    assert_text_has(fake_machine_report(m, &stop), "write to physical address 0xfee00030");
}

static void a_triple_fault_is_told_with_the_registers(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_general(m)->gpr[MH_RBX] = 0xfeedface;
    struct mh_stop stop = stop_for(m, CPU_EXIT_TRIPLE_FAULT);
    assert_int_equal(stop.kind, MH_STOP_TRIPLE_FAULT);
    const char *text = fake_machine_report(m, &stop);
    assert_text_has(text, "triple fault: ");
    assert_text_has(text, "rbx 0x00000000feedface");
}

static void registers_a_triple_fault_has_reset_are_not_shown(void **state)
{
    struct fake_machine *m = *state;
    *fake_machine_general(m) = (struct mh_x86_general){.rip = 0xfff0};
    fake_machine_system(m)->cr0 = 0x60000010;
    struct mh_stop stop = stop_for(m, CPU_EXIT_TRIPLE_FAULT);
    const char *text = fake_machine_report(m, &stop);
    assert_text_has(text, "the guest's registers are lost");
    assert_text_lacks(text, "rbx");
}

/* ---- faults taken from the stubs ---- */

static const struct exception_frame fault_frame = {
    .rip = 0x1234, .cs = MH_SEL_KERNEL_CODE, .rflags = 0x10046, .rsp = 0x1f0000, .ss = MH_SEL_KERNEL_DATA};

/* As the processor leaves things: the frame on the fault stack, and rip behind the stub's HLT. */
static void fault(struct fake_machine *m, unsigned vector, const struct exception_frame *frame, const uint64_t *code)
{
    uint8_t *top = ram_system_area(&m->vm->ram) + BOOT_FAULT_STACK_TOP;
    memcpy(top - sizeof *frame, frame, sizeof *frame);
    fake_machine_general(m)->rip = MH_SYSTEM_AREA + BOOT_STUBS + vector * BOOT_STUB_SIZE + 1;
    fake_machine_general(m)->gpr[MH_RSP] = MH_SYSTEM_AREA + BOOT_FAULT_STACK_TOP - sizeof *frame;
    fake_machine_general(m)->rflags = 2;
    if (code != NULL) {
        fake_machine_general(m)->gpr[MH_RSP] -= sizeof *code;
        memcpy(top - sizeof *frame - sizeof *code, code, sizeof *code);
    }
}

static void every_vector_is_told_by_name_and_place(void **state)
{
    struct fake_machine *m = *state;
    for (uint8_t vector = 0; vector < BOOT_VECTORS; vector++) {
        fault(m, vector, &fault_frame, NULL);
        struct mh_stop stop = fake_machine_run(m);
        assert_int_equal(stop.kind, MH_STOP_EXCEPTION);
        assert_int_equal(stop.vector, vector);
        assert_false(stop.has_error_code);
        const char *text = fake_machine_report(m, &stop);
        assert_text_has(text, exception_name(vector));
        assert_text_has(text, "at rip 0x0000000000001234");
        assert_text_has(text, "the guest has no handler for it");
        assert_text_lacks(text, "error code");
    }
}

static void registers_go_back_to_the_faulting_instruction(void **state)
{
    struct fake_machine *m = *state;
    fault(m, 6, &fault_frame, NULL);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_EXCEPTION);
    assert_int_equal(fake_machine_general(m)->rip, 0x1234);
    assert_int_equal(fake_machine_general(m)->gpr[MH_RSP], 0x1f0000);
    assert_int_equal(fake_machine_general(m)->rflags, 0x46);
    assert_int_equal(fake_machine_system(m)->seg[MH_CS].selector, MH_SEL_KERNEL_CODE);
    assert_int_equal(fake_machine_system(m)->seg[MH_CS].attributes & 0x2000, 0x2000);
}

static void a_fault_in_ring_3_goes_back_to_ring_3(void **state)
{
    struct fake_machine *m = *state;
    struct exception_frame frame = fault_frame;
    frame.cs = MH_SEL_USER_CODE;
    frame.ss = MH_SEL_USER_DATA;
    fault(m, 6, &frame, NULL);
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(fake_machine_system(m)->seg[MH_CS].attributes & 0x60, 0x60);
    assert_int_equal(fake_machine_system(m)->seg[MH_SS].attributes & 0x6f, 0x63);
    assert_text_has(fake_machine_report(m, &stop), "ring 3");
}

static void a_page_fault_is_told_with_address_and_walk(void **state)
{
    struct fake_machine *m = *state;
    const uint64_t code = 2;
    fake_machine_system(m)->cr2 = 0x400000;
    fault(m, EXCEPTION_PAGE_FAULT, &fault_frame, &code);
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(stop.cr2, 0x400000);
    assert_true(stop.has_error_code);
    const char *text = fake_machine_report(m, &stop);
    assert_text_has(text, "page fault (#PF), vector 14, at rip 0x0000000000001234, address 0x0000000000400000");
    assert_text_has(text, "error code 0x2: write to a page that is not mapped, in ring 0 to 2");
    assert_text_has(text, "page walk of 0x0000000000400000, cr3 0x1000000:");
    assert_text_has(text, "PML4[  0] at 0x01000000: 0x0000000001001007 present, writable, user");
    assert_text_has(text, "PD  [  2] at 0x01002010: 0x0000000000000000 not present");
    assert_text_lacks(text, "PT  [");
}

static void a_page_fault_on_a_mapped_page_says_where_it_leads(void **state)
{
    struct fake_machine *m = *state;
    const uint64_t code = 3;
    fake_machine_system(m)->cr2 = 0x3456;
    fault(m, EXCEPTION_PAGE_FAULT, &fault_frame, &code);
    struct mh_stop stop = fake_machine_run(m);
    assert_text_has(fake_machine_report(m, &stop), "leads to physical 0x3456, in a page of 4096 bytes");
}

static void a_page_fault_with_broken_tables_says_so(void **state)
{
    struct fake_machine *m = *state;
    const uint64_t code = 9;
    fake_machine_system(m)->cr2 = 0x1000;
    fake_machine_system(m)->cr3 = 1ull << 40;
    fault(m, EXCEPTION_PAGE_FAULT, &fault_frame, &code);
    struct mh_stop stop = fake_machine_run(m);
    const char *text = fake_machine_report(m, &stop);
    assert_text_has(text, "the next table lies where the machine has no memory");
    assert_text_has(text, "code at rip: not mapped");
}

static void a_general_protection_fault_names_the_selector(void **state)
{
    struct fake_machine *m = *state;
    const uint64_t code = 0x50;
    fault(m, 13, &fault_frame, &code);
    struct mh_stop stop = fake_machine_run(m);
    assert_text_has(fake_machine_report(m, &stop), "error code 0x50: selector 0x50 of the GDT");
}

static void the_code_of_a_fault_ends_where_memory_does(void **state)
{
    struct fake_machine *m = *state;
    struct exception_frame frame = fault_frame;
    frame.rip = 2 * MB - 2;
    memcpy(m->vm->ram.host + frame.rip, "\xde\xad", 2);
    fault(m, 6, &frame, NULL);
    struct mh_stop stop = fake_machine_run(m);
    assert_text_has(fake_machine_report(m, &stop), "code at rip: de ad\n");
    frame.rip = 0x8000000000000000;
    fault(m, 13, &frame, NULL);
    stop = fake_machine_run(m);
    assert_text_has(fake_machine_report(m, &stop), "code at rip: not mapped\n");
}

static void a_stub_reached_without_a_fault_is_only_a_hlt(void **state)
{
    struct fake_machine *m = *state;
    fault(m, 6, &fault_frame, NULL);
    fake_machine_general(m)->gpr[MH_RSP] = 0x1f0000; /* the guest jumped there */
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
    assert_int_equal(fake_machine_general(m)->gpr[MH_RSP], 0x1f0000);
}

static void an_entry_point_that_returns_is_told(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_general(m)->rip = MH_SYSTEM_AREA + BOOT_STUBS + BOOT_STUB_RETURNED * BOOT_STUB_SIZE + 1;
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(stop.kind, MH_STOP_RETURNED);
    assert_text_has(fake_machine_report(m, &stop), "the entry point returned; a guest ends with hlt");
}

/* ---- the rest of the report ---- */

static void the_report_has_all_registers(void **state)
{
    struct fake_machine *m = *state;
    struct mh_stop stop = stop_for(m, CPU_EXIT_ERROR);
    static const char *const names[] = {"rax", "rbx",    "rcx", "rdx", "rsi", "rdi", "rbp",      "rsp",
                                        "r8",  "r9",     "r10", "r11", "r12", "r13", "r14",      "r15",
                                        "rip", "rflags", "cr0", "cr2", "cr3", "cr4", "efer",     "cs ",
                                        "ss ", "ds ",    "es ", "fs ", "gs ", "tr ", "gdt base", "idt base"};
    const char *text = fake_machine_report(m, &stop);
    for (size_t i = 0; i < COUNT(names); i++)
        assert_text_has(text, names[i]);
}

static void registers_the_processor_does_not_give_are_not_made_up(void **state)
{
    struct fake_machine *m = *state;
    struct mh_stop stop = stop_for(m, CPU_EXIT_ERROR);
    m->cpu->failing = "read_regs";
    const char *text = fake_machine_report(m, &stop);
    assert_text_has(text, "the processor does not give its registers");
    assert_text_lacks(text, "rbx");
}

static void good_and_interrupted_ends_are_described_too(void **state)
{
    struct fake_machine *m = *state;
    const struct mh_stop halted = {.kind = MH_STOP_HALTED}, interrupted = {.kind = MH_STOP_INTERRUPTED};
    assert_text_has(fake_machine_report(m, &halted), "halted at rip 0x");
    assert_text_has(fake_machine_report(m, &interrupted), "was interrupted at rip 0x");
}

static void output_before_a_crash_is_not_lost(void **state)
{
    struct fake_machine *m = *state;
    fake_cpu_will_out(m->cpu, MH_PORT_SERIAL, 1, "and this", 8);
    assert_int_equal(stop_for(m, CPU_EXIT_TRIPLE_FAULT).kind, MH_STOP_TRIPLE_FAULT);
    assert_string_equal(m->output, "and this");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_error_of_the_processor_is_told_in_its_words),
        TEST(an_instruction_that_cannot_be_executed_is_told_with_its_bytes),
        TEST(bytes_the_processor_does_not_give_are_read_from_memory),
        TEST(accesses_to_no_memory_are_told_with_their_address),
        TEST(a_triple_fault_is_told_with_the_registers),
        TEST(registers_a_triple_fault_has_reset_are_not_shown),
        TEST(every_vector_is_told_by_name_and_place),
        TEST(registers_go_back_to_the_faulting_instruction),
        TEST(a_fault_in_ring_3_goes_back_to_ring_3),
        TEST(a_page_fault_is_told_with_address_and_walk),
        TEST(a_page_fault_on_a_mapped_page_says_where_it_leads),
        TEST(a_page_fault_with_broken_tables_says_so),
        TEST(a_general_protection_fault_names_the_selector),
        TEST(the_code_of_a_fault_ends_where_memory_does),
        TEST(a_stub_reached_without_a_fault_is_only_a_hlt),
        TEST(an_entry_point_that_returns_is_told),
        TEST(the_report_has_all_registers),
        TEST(registers_the_processor_does_not_give_are_not_made_up),
        TEST(good_and_interrupted_ends_are_described_too),
        TEST(output_before_a_crash_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
