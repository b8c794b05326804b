#include "kvm/kvm_regs.h"

#include "unit.h"

#include <string.h>

/* Fill memory with bytes that are all different, as far as a byte goes. */
static void fill(void *to, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = (uint8_t)(i * 37 + seed);
}

static void general_registers_come_in_the_order_of_encodings(void **state)
{
    (void)state;
    const struct kvm_regs from = {.rax = 1,
                                  .rcx = 2,
                                  .rdx = 3,
                                  .rbx = 4,
                                  .rsp = 5,
                                  .rbp = 6,
                                  .rsi = 7,
                                  .rdi = 8,
                                  .r8 = 9,
                                  .r9 = 10,
                                  .r10 = 11,
                                  .r11 = 12,
                                  .r12 = 13,
                                  .r13 = 14,
                                  .r14 = 15,
                                  .r15 = 16,
                                  .rip = 17,
                                  .rflags = 18};
    struct mh_x86_general general;
    kvm_regs_to_general(&from, &general);
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        assert_int_equal(general.gpr[i], i + 1);
    assert_int_equal(general.rip, 17);
    assert_int_equal(general.rflags, 18);
}

static void general_registers_make_the_round_trip(void **state)
{
    (void)state;
    struct kvm_regs from, back;
    struct mh_x86_general general;
    fill(&from, sizeof from, 1);
    memset(&back, 0x5a, sizeof back);
    kvm_regs_to_general(&from, &general);
    kvm_regs_from_general(&general, &back);
    assert_memory_equal(&from, &back, sizeof from);
}

static void each_attribute_of_a_segment_has_its_bit(void **state)
{
    (void)state;
    static const struct {
        struct kvm_segment segment;
        uint16_t attributes;
    } cases[] = {
        {{.type = 0xf}, 0x000f}, {{.s = 1}, 0x0010}, {{.dpl = 3}, 0x0060}, {{.present = 1}, 0x0080},
        {{.avl = 1}, 0x1000},    {{.l = 1}, 0x2000}, {{.db = 1}, 0x4000},  {{.g = 1}, 0x8000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct kvm_sregs from, back;
        struct mh_x86_system system;
        memset(&from, 0, sizeof from);
        memset(&back, 0, sizeof back);
        from.gs = cases[i].segment;
        kvm_regs_to_system(&from, &system);
        assert_int_equal(system.seg[MH_GS].attributes, cases[i].attributes);
        kvm_regs_from_system(&system, &back);
        assert_memory_equal(&back.gs, &from.gs, sizeof from.gs);
    }
}

static void segments_are_not_mixed_up(void **state)
{
    (void)state;
    struct kvm_sregs from;
    struct mh_x86_system system;
    memset(&from, 0, sizeof from);
    from.es.selector = MH_ES;
    from.cs.selector = MH_CS;
    from.ss.selector = MH_SS;
    from.ds.selector = MH_DS;
    from.fs.selector = MH_FS;
    from.gs.selector = MH_GS;
    from.ldt.selector = MH_LDTR;
    from.tr.selector = MH_TR;
    kvm_regs_to_system(&from, &system);
    for (unsigned i = 0; i < MH_SEG_COUNT; i++)
        assert_int_equal(system.seg[i].selector, i);
}

/* Whatever the neutral form holds survives the way to KVM and back. */
static void system_registers_make_the_round_trip(void **state)
{
    (void)state;
    struct mh_x86_system from, back;
    struct kvm_sregs kvm;
    memset(&from, 0, sizeof from);
    memset(&kvm, 0, sizeof kvm);
    memset(&back, 0, sizeof back);
    for (unsigned i = 0; i < MH_SEG_COUNT; i++)
        from.seg[i] = (struct mh_x86_segment){.base = 0xffff888000000000 + i,
                                              .limit = 0xfffff000 + i,
                                              .selector = (uint16_t)(0x100 + i),
                                              .attributes = (uint16_t)(0xf0ffu - i)};
    from.gdt = (struct mh_x86_table){.base = 0x1111, .limit = 0x22};
    from.idt = (struct mh_x86_table){.base = 0x3333, .limit = 0x44};
    from.cr0 = 0x10;
    from.cr2 = 0x12;
    from.cr3 = 0x13;
    from.cr4 = 0x14;
    from.cr8 = 0x18;
    from.efer = 0xef;
    kvm_regs_from_system(&from, &kvm);
    assert_int_equal(kvm.cr2, 0x12);
    assert_int_equal(kvm.cr8, 0x18);
    assert_int_equal(kvm.gdt.base, 0x1111);
    assert_int_equal(kvm.idt.limit, 0x44);
    kvm_regs_to_system(&kvm, &back);
    for (unsigned i = 0; i < MH_SEG_COUNT; i++) {
        assert_int_equal(back.seg[i].base, from.seg[i].base);
        assert_int_equal(back.seg[i].limit, from.seg[i].limit);
        assert_int_equal(back.seg[i].selector, from.seg[i].selector);
        assert_int_equal(back.seg[i].attributes, from.seg[i].attributes);
    }
    assert_int_equal(back.gdt.base, from.gdt.base);
    assert_int_equal(back.gdt.limit, from.gdt.limit);
    assert_int_equal(back.idt.base, from.idt.base);
    assert_int_equal(back.idt.limit, from.idt.limit);
    assert_int_equal(back.cr0, from.cr0);
    assert_int_equal(back.cr2, from.cr2);
    assert_int_equal(back.cr3, from.cr3);
    assert_int_equal(back.cr4, from.cr4);
    assert_int_equal(back.cr8, from.cr8);
    assert_int_equal(back.efer, from.efer);
}

static void what_is_kvms_alone_stays(void **state)
{
    (void)state;
    struct kvm_sregs kvm;
    struct mh_x86_system system;
    memset(&kvm, 0, sizeof kvm);
    memset(&system, 0, sizeof system);
    kvm.apic_base = 0xfee00900;
    kvm.interrupt_bitmap[2] = 7;
    kvm.ldt.unusable = 1;
    kvm.fs.unusable = 1;
    system.seg[MH_FS].attributes = 0x80; /* present now, and so usable */
    kvm_regs_from_system(&system, &kvm);
    assert_int_equal(kvm.apic_base, 0xfee00900);
    assert_int_equal(kvm.interrupt_bitmap[2], 7);
    assert_int_equal(kvm.ldt.unusable, 1);
    assert_int_equal(kvm.fs.unusable, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(general_registers_come_in_the_order_of_encodings),
        cmocka_unit_test(general_registers_make_the_round_trip),
        cmocka_unit_test(each_attribute_of_a_segment_has_its_bit),
        cmocka_unit_test(segments_are_not_mixed_up),
        cmocka_unit_test(system_registers_make_the_round_trip),
        cmocka_unit_test(what_is_kvms_alone_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
