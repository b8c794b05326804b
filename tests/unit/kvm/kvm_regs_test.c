#include "register_state.h"

#include "fake_machine.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static void read_all(struct fake_machine *m, struct mh_x86_regs *regs)
{
    m->vm->vcpu.registers_are_current = false;
    assert_int_equal(register_state_read(m->vm, MH_REGS_ALL, regs, NULL), MH_OK);
}

static void write_all(struct fake_machine *m, const struct mh_x86_regs *regs)
{
    assert_int_equal(register_state_write(m->vm, MH_REGS_ALL, regs, NULL), MH_OK);
}

static uint8_t *area(void)
{
    return (uint8_t *)&fake_kvm.xsave;
}

static void general_registers_come_in_the_order_of_encodings(void **state)
{
    struct fake_machine *m = *state;
    struct mh_x86_regs regs;
    fake_kvm.regs = (struct kvm_regs){.rax = 1,
                                      .rcx = 2,
                                      .rdx = 3,
                                      .rbx = 4,
                                      .rsp = 5,
                                      .rbp = 6,
                                      .rsi = 7,
                                      .rdi = 8,
                                      .r8 = 9,
                                      .r15 = 16,
                                      .rip = 17,
                                      .rflags = 18};
    read_all(m, &regs);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(regs.general.gpr[i], i + 1);
    assert_int_equal(regs.general.gpr[MH_R15], 16);
    assert_int_equal(regs.general.rip, 17);
    assert_int_equal(regs.general.rflags, 18);
}

static void what_is_read_and_written_back_is_the_same(void **state)
{
    struct fake_machine *m = *state;
    struct mh_x86_regs regs, again;
    for (unsigned i = 0; i < 512; i++)
        area()[i] = (uint8_t)(i * 7 + 1);
    for (unsigned i = 0; i < 256; i++)
        area()[FAKE_KVM_YMM_AT + i] = (uint8_t)(i * 11);
    const uint64_t present = 7;
    memcpy(area() + 512, &present, sizeof present);
    const struct kvm_regs general = fake_kvm.regs;
    const struct kvm_sregs system = fake_kvm.sregs;
    const struct kvm_xsave xsave = fake_kvm.xsave;
    read_all(m, &regs);
    write_all(m, &regs);
    assert_memory_equal(&fake_kvm.regs, &general, sizeof general);
    assert_memory_equal(&fake_kvm.sregs, &system, sizeof system);
    assert_memory_equal(&fake_kvm.xsave, &xsave, sizeof xsave);
    read_all(m, &again);
    assert_memory_equal(&again.fpu, &regs.fpu, sizeof regs.fpu);
}

static void each_part_is_written_alone(void **state)
{
    struct fake_machine *m = *state;
    struct mh_x86_regs regs;
    read_all(m, &regs);
    regs.general.gpr[MH_RAX] = 1;
    regs.system.cr2 = 2;
    regs.fpu.mxcsr = 3;
    assert_int_equal(register_state_write(m->vm, MH_REGS_SYSTEM, &regs, NULL), MH_OK);
    assert_int_equal(fake_kvm.regs.rax, 0);
    assert_int_equal(fake_kvm.sregs.cr2, 2);
    assert_int_equal(area()[24], 0);
}

static void segments_keep_all_their_attributes(void **state)
{
    struct fake_machine *m = *state;
    struct mh_x86_regs regs;
    read_all(m, &regs);
    assert_int_equal(regs.system.seg[MH_CS].attributes, 0xa09b);
    assert_int_equal(regs.system.seg[MH_DS].attributes, 0xc093);
    regs.system.seg[MH_FS].base = 0xffff888000000000;
    regs.system.seg[MH_GS] = (struct mh_x86_segment){.base = 1, .limit = 2, .selector = 3, .attributes = 0xd0f3};
    write_all(m, &regs);
    assert_int_equal(fake_kvm.sregs.fs.base, 0xffff888000000000);
    assert_int_equal(fake_kvm.sregs.gs.dpl, 3);
    assert_int_equal(fake_kvm.sregs.gs.avl, 1);
    assert_int_equal(fake_kvm.sregs.ldt.unusable, 1);
}

static void the_tag_word_is_made_of_what_the_registers_hold(void **state)
{
    struct fake_machine *m = *state;
    struct mh_x86_regs regs;
    static const uint8_t one[10] = {0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f};
    static const uint8_t infinity[10] = {0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x7f};
    const uint16_t top_5 = 5 << 11;
    memcpy(area() + 2, &top_5, sizeof top_5);
    area()[4] = 0xe0;                               /* registers 5 to 7 are in use: st(0) to st(2) */
    memcpy(area() + 32, one, sizeof one);           /* st(0) */
    memcpy(area() + 32 + 32, infinity, sizeof one); /* st(2); st(1) is zero */
    read_all(m, &regs);
    assert_int_equal(regs.fpu.ftag, 0x93ff);
    write_all(m, &regs);
    assert_int_equal(area()[4], 0xe0);
    regs.fpu.ftag = 0xffff;
    write_all(m, &regs);
    assert_int_equal(area()[4], 0);
}

static void what_is_written_counts_as_present(void **state)
{
    struct fake_machine *m = *state;
    struct mh_x86_regs regs;
    uint64_t present;
    read_all(m, &regs);
    memset(regs.fpu.ymmh[15], 0x5a, sizeof regs.fpu.ymmh[15]);
    write_all(m, &regs);
    memcpy(&present, area() + 512, sizeof present);
    assert_int_equal(present, 7);
    assert_int_equal(area()[FAKE_KVM_YMM_AT + 255], 0x5a);
}

static void without_avx_there_are_no_upper_halves(void **state)
{
    struct fake_machine *m = *state;
    struct mh_x86_regs regs;
    m->vm->host->xcr0 = 0;
    memset(area() + FAKE_KVM_YMM_AT, 0x5a, 256);
    read_all(m, &regs);
    assert_int_equal(regs.fpu.xcr0, MH_XCR0_X87 | MH_XCR0_SSE);
    assert_int_equal(regs.fpu.ymmh[0][0], 0);
    write_all(m, &regs);
    assert_int_equal(area()[FAKE_KVM_YMM_AT], 0x5a);
}

static void refusals_name_the_part(void **state)
{
    struct fake_machine *m = *state;
    static const struct {
        unsigned long request;
        const char *words;
    } writes[] = {{KVM_SET_SREGS, "segment, table or control register"},
                  {KVM_SET_REGS, "these general registers"},
                  {KVM_SET_XSAVE, "these floating-point registers"}};
    struct mh_x86_regs regs;
    struct mh_error err;
    read_all(m, &regs);
    fake_kvm.failing_errno = EINVAL;
    for (unsigned i = 0; i < COUNT(writes); i++) {
        fake_kvm.failing_request = writes[i].request;
        assert_int_equal(register_state_write(m->vm, MH_REGS_ALL, &regs, &err), MH_ERR_HOST);
        assert_text_has(err.text, writes[i].words);
    }
    fake_kvm.failing_request = KVM_GET_XSAVE;
    assert_int_equal(register_state_read(m->vm, MH_REGS_FPU, &regs, &err), MH_ERR_HOST);
    fake_kvm.failing_request = KVM_GET_SREGS;
    m->vm->vcpu.registers_are_current = false;
    assert_int_equal(register_state_read(m->vm, MH_REGS_GENERAL, &regs, &err), MH_ERR_HOST);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_machine_set_up, fake_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(general_registers_come_in_the_order_of_encodings),
        TEST(what_is_read_and_written_back_is_the_same),
        TEST(each_part_is_written_alone),
        TEST(segments_keep_all_their_attributes),
        TEST(the_tag_word_is_made_of_what_the_registers_hold),
        TEST(what_is_written_counts_as_present),
        TEST(without_avx_there_are_no_upper_halves),
        TEST(refusals_name_the_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
