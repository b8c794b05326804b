#include "x86/boot_state.h"

#include "mh/x86_regs.h"
#include "unit.h"
#include "x86/paging.h"

#include <string.h>

#define GATE_SIZE 16u
#define STUB_COUNT (BOOT_VECTORS + 1)
#define FRAME_WITH_ERROR_CODE 48u

static int set_up(void **state)
{
    static struct guest_ram memory;
    if (ram_create(&memory, 4 * MB, NULL) != MH_OK)
        return -1;
    boot_write_system_area(&memory, PAGE_2M);
    *state = &memory;
    return 0;
}

static int tear_down(void **state)
{
    ram_free(*state);
    return 0;
}

static uint64_t get64(const struct guest_ram *memory, uint64_t gpa)
{
    uint64_t value;
    const void *at = ram_at(memory, mh_gpa_of(gpa), sizeof value);
    assert_non_null(at);
    memcpy(&value, at, sizeof value);
    return value;
}

/* Fields of a segment's attributes, which are laid out as in bytes 5 and 6 of a descriptor. */
#define TYPE(segment) ((segment).attributes & 0xfu)
#define DPL(segment) ((segment).attributes >> 5 & 3u)
#define IS_PRESENT(segment) ((segment).attributes >> 7 & 1u)
#define IS_LONG(segment) ((segment).attributes >> 13 & 1u)

static void the_pieces_of_the_area_do_not_overlap(void **state)
{
    (void)state;
    const struct mh_x86_system system = boot_system(true);
    assert_true(system.gdt.base + system.gdt.limit < system.seg[MH_TR].base);
    assert_true(system.seg[MH_TR].base + system.seg[MH_TR].limit < system.idt.base);
    assert_true(system.idt.base + system.idt.limit < MH_SYSTEM_AREA + BOOT_STUBS);
    assert_true(BOOT_STUBS + STUB_COUNT * BOOT_STUB_SIZE + FRAME_WITH_ERROR_CODE <= BOOT_FAULT_STACK_TOP);
    assert_true(BOOT_FAULT_STACK_TOP < BOOT_RING0_STACK_TOP);
    assert_int_equal(BOOT_RING0_STACK_TOP, MH_SYSTEM_AREA_SIZE);
}

static void everything_the_processor_reads_is_mapped(void **state)
{
    const struct guest_ram *memory = *state;
    const struct mh_x86_system system = boot_system(true);
    const struct paging_mode mode = {.cr0 = system.cr0, .cr3 = system.cr3, .cr4 = system.cr4, .efer = system.efer};
    const uint64_t addresses[] = {system.gdt.base,
                                  system.gdt.base + system.gdt.limit,
                                  system.seg[MH_TR].base + system.seg[MH_TR].limit,
                                  system.idt.base + system.idt.limit,
                                  MH_SYSTEM_AREA + BOOT_FAULT_STACK_TOP - 8,
                                  MH_SYSTEM_AREA + BOOT_RING0_STACK_TOP - 8};
    for (size_t i = 0; i < COUNT(addresses); i++) {
        struct paging_walk walk;
        assert_true(paging_walk(memory, &mode, mh_gva_of(addresses[i]), &walk));
        assert_int_equal(walk.physical.v, addresses[i]);
        assert_false(walk.user);
    }
}

static uint64_t gate_target(const struct guest_ram *memory, unsigned vector)
{
    uint64_t low = get64(memory, MH_SYSTEM_AREA + BOOT_IDT + vector * GATE_SIZE);
    uint64_t high = get64(memory, MH_SYSTEM_AREA + BOOT_IDT + vector * GATE_SIZE + 8);
    return (low & 0xffff) | (low >> 48 & 0xffff) << 16 | (high & 0xffffffff) << 32;
}

static void each_vector_has_a_gate_to_a_stub_of_its_own(void **state)
{
    const struct guest_ram *memory = *state;
    for (unsigned vector = 0; vector < BOOT_VECTORS; vector++) {
        uint64_t target = gate_target(memory, vector);
        assert_int_equal(boot_stub_at(target + 1), vector);
        const uint8_t *stub = ram_at(memory, mh_gpa_of(target), 3);
        assert_non_null(stub);
        assert_memory_equal(stub, "\xf4\xeb\xfd", 3);
    }
}

static void gates_are_present_interrupt_gates_on_the_fault_stack(void **state)
{
    const struct guest_ram *memory = *state;
    for (unsigned vector = 0; vector < BOOT_VECTORS; vector++) {
        uint64_t low = get64(memory, MH_SYSTEM_AREA + BOOT_IDT + vector * GATE_SIZE);
        bool ring3_may_call = vector == 3 || vector == 4;
        assert_int_equal(low >> 16 & 0xffff, MH_SEL_KERNEL_CODE);
        assert_int_equal(low >> 32 & 0xff, 1);
        assert_int_equal(low >> 40 & 0xff, ring3_may_call ? 0xee : 0x8e);
    }
}

static void the_idt_covers_the_vectors_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(boot_system(true).idt.limit, BOOT_VECTORS * GATE_SIZE - 1);
}

static void stub_at_knows_only_places_at_a_stubs_hlt_and_right_behind_it(void **state)
{
    (void)state;
    const uint64_t start = MH_SYSTEM_AREA + BOOT_STUBS;
    for (uint64_t rip = start - 64; rip < start + STUB_COUNT * BOOT_STUB_SIZE + 64; rip++) {
        uint64_t offset = rip - start;
        bool is_stub = rip >= start && offset % BOOT_STUB_SIZE <= 1 && offset / BOOT_STUB_SIZE < STUB_COUNT;
        assert_int_equal(boot_stub_at(rip), is_stub ? (int)(offset / BOOT_STUB_SIZE) : -1);
    }
    assert_int_equal(boot_stub_at(0), -1);
    assert_int_equal(boot_stub_at(1), -1);
    assert_int_equal(boot_stub_at(UINT64_MAX), -1);
    assert_int_equal(boot_stub_at(start + 1 + (1ull << 32)), -1);
    assert_int_equal(boot_stub_at(start + 1 - (1ull << 32)), -1);
}

static void the_entry_point_returns_to_the_last_stub(void **state)
{
    const struct guest_ram *memory = *state;
    const struct mh_x86_general regs = boot_general(memory, 0);
    uint64_t target = get64(memory, regs.gpr[MH_RSP]);
    assert_int_equal(boot_stub_at(target + 1), BOOT_STUB_RETURNED);
    assert_int_equal(*(const uint8_t *)ram_at(memory, mh_gpa_of(target), 1), 0xf4);
}

static void registers_start_as_after_a_call(void **state)
{
    const struct guest_ram *memory = *state;
    const struct mh_x86_general regs = boot_general(memory, 0x1234);
    const struct mh_x86_general expected = {.gpr[MH_RSP] = 4 * MB - 8, .rip = 0x1234, .rflags = 2};
    assert_memory_equal(&regs, &expected, sizeof regs);
    assert_int_equal((regs.gpr[MH_RSP] + 8) % 16, 0);
}

static void ram_holds_nothing_but_the_return_address(void **state)
{
    const struct guest_ram *memory = *state;
    for (uint64_t at = 0; at < memory->ram_size - 8; at++) {
        if (memory->host[at] != 0)
            fail_msg("RAM at 0x%llx was written", (unsigned long long)at);
    }
}

static void the_gdt_holds_what_the_selectors_promise(void **state)
{
    const struct guest_ram *memory = *state;
    static const struct {
        uint16_t selector;
        unsigned type, dpl, is_long;
    } expected[] = {{MH_SEL_KERNEL_CODE, 0xb, 0, 1},
                    {MH_SEL_KERNEL_DATA, 0x3, 0, 0},
                    {MH_SEL_USER_DATA, 0x3, 3, 0},
                    {MH_SEL_USER_CODE, 0xb, 3, 1}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        uint64_t entry = get64(memory, MH_SYSTEM_AREA + BOOT_GDT + (expected[i].selector & 0xfff8));
        assert_int_equal(entry >> 40 & 0xf, expected[i].type);
        assert_int_equal(entry >> 44 & 1, 1);
        assert_int_equal(entry >> 45 & 3, expected[i].dpl);
        assert_int_equal(expected[i].selector & 3, expected[i].dpl);
        assert_int_equal(entry >> 47 & 1, 1);
        assert_int_equal(entry >> 53 & 1, expected[i].is_long);
    }
    assert_int_equal(get64(memory, MH_SYSTEM_AREA + BOOT_GDT), 0);
}

static void the_tss_descriptor_agrees_with_the_task_register(void **state)
{
    const struct guest_ram *memory = *state;
    const struct mh_x86_system system = boot_system(true);
    uint64_t low = get64(memory, system.gdt.base + MH_SEL_TSS);
    uint64_t high = get64(memory, system.gdt.base + MH_SEL_TSS + 8);
    assert_int_equal((low >> 16 & 0xffffff) | (low >> 56 & 0xff) << 24 | high << 32, system.seg[MH_TR].base);
    assert_int_equal((low & 0xffff) | (low >> 48 & 0xf) << 16, system.seg[MH_TR].limit);
    assert_int_equal(low >> 40 & 0xff, 0x8b);
    assert_int_equal(TYPE(system.seg[MH_TR]), 0xb);
    assert_int_equal(system.seg[MH_TR].selector, MH_SEL_TSS);
    assert_int_equal(system.gdt.limit, MH_SEL_TSS + 16 - 1);
}

static void the_tss_names_the_two_stacks_and_grants_no_ports(void **state)
{
    const struct guest_ram *memory = *state;
    const struct mh_x86_system system = boot_system(true);
    assert_int_equal(system.seg[MH_TR].limit, 103);
    assert_int_equal(get64(memory, system.seg[MH_TR].base + 4), MH_SYSTEM_AREA + BOOT_RING0_STACK_TOP);
    assert_int_equal(get64(memory, system.seg[MH_TR].base + 36), MH_SYSTEM_AREA + BOOT_FAULT_STACK_TOP);
    assert_true((get64(memory, system.seg[MH_TR].base + 96) >> 48 & 0xffff) > system.seg[MH_TR].limit);
}

static void the_processor_starts_in_long_mode_in_ring_0(void **state)
{
    (void)state;
    const struct mh_x86_system system = boot_system(true);
    assert_int_equal(system.seg[MH_CS].selector, MH_SEL_KERNEL_CODE);
    assert_int_equal(IS_LONG(system.seg[MH_CS]), 1);
    assert_int_equal(DPL(system.seg[MH_CS]), 0);
    assert_int_equal(system.seg[MH_SS].selector, MH_SEL_KERNEL_DATA);
    assert_true((system.cr0 & (MH_CR0_PG | MH_CR0_PE)) == (MH_CR0_PG | MH_CR0_PE));
    assert_true((system.efer & (MH_EFER_LME | MH_EFER_LMA)) == (MH_EFER_LME | MH_EFER_LMA));
    assert_int_equal(system.cr3, MH_SYSTEM_AREA);
    assert_int_equal(IS_PRESENT(system.seg[MH_LDTR]), 0);
}

static void sse_is_on_and_xsave_where_there_is_one(void **state)
{
    (void)state;
    struct mh_x86_system system = boot_system(false);
    assert_int_equal(system.cr4, MH_CR4_PAE | MH_CR4_OSFXSR | MH_CR4_OSXMMEXCPT);
    assert_int_equal(system.cr0 & (MH_CR0_MP | MH_CR0_NE), MH_CR0_MP | MH_CR0_NE);
    system = boot_system(true);
    assert_int_equal(system.cr4, MH_CR4_PAE | MH_CR4_OSFXSR | MH_CR4_OSXMMEXCPT | MH_CR4_OSXSAVE);
}

static void msrs_start_as_after_reset(void **state)
{
    (void)state;
    const struct mh_x86_msrs msrs = boot_msrs();
    assert_int_equal(msrs.apic_base, 0xfee00100); /* disabled: there is none */
    assert_int_equal(msrs.pat, 0x0007040600070406);
    assert_int_equal(msrs.star | msrs.lstar | msrs.sfmask | msrs.kernel_gs_base | msrs.tsc, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pieces_of_the_area_do_not_overlap),
        cmocka_unit_test(everything_the_processor_reads_is_mapped),
        cmocka_unit_test(each_vector_has_a_gate_to_a_stub_of_its_own),
        cmocka_unit_test(gates_are_present_interrupt_gates_on_the_fault_stack),
        cmocka_unit_test(the_idt_covers_the_vectors_and_no_more),
        cmocka_unit_test(stub_at_knows_only_places_at_a_stubs_hlt_and_right_behind_it),
        cmocka_unit_test(the_entry_point_returns_to_the_last_stub),
        cmocka_unit_test(registers_start_as_after_a_call),
        cmocka_unit_test(ram_holds_nothing_but_the_return_address),
        cmocka_unit_test(the_gdt_holds_what_the_selectors_promise),
        cmocka_unit_test(the_tss_descriptor_agrees_with_the_task_register),
        cmocka_unit_test(the_tss_names_the_two_stacks_and_grants_no_ports),
        cmocka_unit_test(the_processor_starts_in_long_mode_in_ring_0),
        cmocka_unit_test(sse_is_on_and_xsave_where_there_is_one),
        cmocka_unit_test(msrs_start_as_after_reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
