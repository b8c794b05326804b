#include "instruction.h"

#include "unit.h"

#include <string.h>

/* Registers whose values tell them apart. */
static const struct kvm_regs regs = {
    .rax = 0x1000,
    .rcx = 0x2,
    .rdx = 0x3000,
    .rbx = 0x4000,
    .rsp = 0x5000,
    .rbp = 0x6000,
    .rsi = 0x7000,
    .rdi = 0x8000,
    .r8 = 0x9000,
    .r12 = 0xc000,
    .r13 = 0xd000,
    .r15 = 0xf000,
    .rip = 0x100000,
};
static const struct kvm_sregs sregs = {.fs.base = 0x10000000, .gs.base = 0x20000000};

struct example {
    const char *text;
    const char *code;
    size_t length;
    unsigned count;
    struct instruction_read reads[INSTRUCTION_READS_MAX];
};

#define CODE(bytes) bytes, sizeof(bytes) - 1
#define NOTHING                                                                                                        \
    0,                                                                                                                 \
    {                                                                                                                  \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }
#define READS(address, length)                                                                                         \
    1,                                                                                                                 \
    {                                                                                                                  \
        {                                                                                                              \
            address, length                                                                                            \
        }                                                                                                              \
    }

static void check(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct example *e = &examples[i];
        struct instruction_read reads[INSTRUCTION_READS_MAX] = {{0}};
        unsigned found = instruction_reads((const uint8_t *)e->code, e->length, &regs, &sregs, reads);
        if (found != e->count)
            fail_msg("%s: %u reads, not %u", e->text, found, e->count);
        for (unsigned r = 0; r < found; r++) {
            if (reads[r].address != e->reads[r].address || reads[r].length != e->reads[r].length)
                fail_msg("%s: reads %u bytes at 0x%llx", e->text, reads[r].length,
                         (unsigned long long)reads[r].address);
        }
    }
}

static void addresses_are_made_of_all_their_parts(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"mov (%rbx),%eax", CODE("\x8b\x03"), READS(0x4000, 4)},
        {"mov -8(%rbp),%rax", CODE("\x48\x8b\x45\xf8"), READS(0x5ff8, 8)},
        {"mov 0x12345678(%rsi),%ax", CODE("\x66\x8b\x86\x78\x56\x34\x12"), READS(0x1234c678, 2)},
        {"mov (%r8),%al", CODE("\x41\x8a\x00"), READS(0x9000, 1)},
        {"mov 0(%r13),%eax", CODE("\x41\x8b\x45\x00"), READS(0xd000, 4)},
        {"mov (%rsp),%eax", CODE("\x8b\x04\x24"), READS(0x5000, 4)},
        {"mov (%r12),%eax", CODE("\x41\x8b\x04\x24"), READS(0xc000, 4)},
        {"mov 8(%rsp,%rcx,4),%eax", CODE("\x8b\x44\x8c\x08"), READS(0x5010, 4)},
        {"mov (%rbx,%r12,2),%eax", CODE("\x42\x8b\x04\x63"), READS(0x4000 + 2 * 0xc000, 4)},
        {"mov 0x1234(,%rcx,8),%eax", CODE("\x8b\x04\xcd\x34\x12\x00\x00"), READS(0x1244, 4)},
        {"mov 0x1234,%eax", CODE("\x8b\x04\x25\x34\x12\x00\x00"), READS(0x1234, 4)},
        {"mov -4,%eax", CODE("\x8b\x04\x25\xfc\xff\xff\xff"), READS(0xfffffffffffffffc, 4)},
        {"addr32 mov -0x4001(%ebx),%eax", CODE("\x67\x8b\x83\xff\xbf\xff\xff"), READS(0xffffffff, 4)},
        {"mov %fs:(%rbx),%eax", CODE("\x64\x8b\x03"), READS(0x10004000, 4)},
        {"mov %gs:0x10,%rax", CODE("\x65\x48\x8b\x04\x25\x10\x00\x00\x00"), READS(0x20000010, 8)},
        {"movabs 0xffff888012345678,%al", CODE("\xa0\x78\x56\x34\x12\x80\x88\xff\xff"), READS(0xffff888012345678, 1)},
        {"movabs 0x12345678,%rax", CODE("\x48\xa1\x78\x56\x34\x12\x00\x00\x00\x00"), READS(0x12345678, 8)},
        {"addr32 mov 0x89345678,%eax", CODE("\x67\xa1\x78\x56\x34\x89"), READS(0x89345678, 4)},
    };
    check(examples, COUNT(examples));
}

static void an_address_relative_to_rip_counts_from_behind_the_immediate(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"mov 0x10(%rip),%eax", CODE("\x8b\x05\x10\x00\x00\x00"), READS(0x100016, 4)},
        {"mov -0x10(%rip),%eax", CODE("\x8b\x05\xf0\xff\xff\xff"), READS(0xffff6, 4)},
        {"cmpb $1,0x10(%rip)", CODE("\x80\x3d\x10\x00\x00\x00\x01"), READS(0x100017, 1)},
        {"cmpl $1,0x10(%rip), short", CODE("\x83\x3d\x10\x00\x00\x00\x01"), READS(0x100017, 4)},
        {"addl $0x11223344,0x10(%rip)", CODE("\x81\x05\x10\x00\x00\x00\x44\x33\x22\x11"), READS(0x10001a, 4)},
        {"addw $0x1122,0x10(%rip)", CODE("\x66\x81\x05\x10\x00\x00\x00\x22\x11"), READS(0x100019, 2)},
        {"addq $0x11223344,0x10(%rip)", CODE("\x48\x81\x05\x10\x00\x00\x00\x44\x33\x22\x11"), READS(0x10001b, 8)},
        {"testb $1,0x10(%rip)", CODE("\xf6\x05\x10\x00\x00\x00\x01"), READS(0x100017, 1)},
        {"testl $1,0x10(%rip)", CODE("\xf7\x05\x10\x00\x00\x00\x01\x00\x00\x00"), READS(0x10001a, 4)},
        {"negl 0x10(%rip)", CODE("\xf7\x1d\x10\x00\x00\x00"), READS(0x100016, 4)},
        {"imul $3,0x10(%rip),%eax", CODE("\x6b\x05\x10\x00\x00\x00\x03"), READS(0x100017, 4)},
        {"imul $0x333,0x10(%rip),%eax", CODE("\x69\x05\x10\x00\x00\x00\x33\x03\x00\x00"), READS(0x10001a, 4)},
        {"shll $3,0x10(%rip)", CODE("\xc1\x25\x10\x00\x00\x00\x03"), READS(0x100017, 4)},
        {"btl $3,0x10(%rip)", CODE("\x0f\xba\x25\x10\x00\x00\x00\x03"), READS(0x100018, 4)},
        {"pshufd $3,0x10(%rip),%xmm0", CODE("\x66\x0f\x70\x05\x10\x00\x00\x00\x03"), READS(0x100019, 16)},
        {"roundsd $3,0x10(%rip),%xmm0", CODE("\x66\x0f\x3a\x0b\x05\x10\x00\x00\x00\x03"), READS(0x10001a, 8)},
    };
    check(examples, COUNT(examples));
}

static void what_only_writes_or_computes_reads_nothing(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"mov %eax,(%rbx)", CODE("\x89\x03"), NOTHING},
        {"mov %al,(%rbx)", CODE("\x88\x03"), NOTHING},
        {"movl $1,(%rbx)", CODE("\xc7\x03\x01\x00\x00\x00"), NOTHING},
        {"lea (%rbx),%rax", CODE("\x48\x8d\x03"), NOTHING},
        {"mov %ecx,%eax", CODE("\x89\xc8"), NOTHING},
        {"push %rax", CODE("\x50"), NOTHING},
        {"nop", CODE("\x90"), NOTHING},
        {"nopl (%rax)", CODE("\x0f\x1f\x00"), NOTHING},
        {"prefetcht0 (%rax)", CODE("\x0f\x18\x08"), NOTHING},
        {"sete (%rbx)", CODE("\x0f\x94\x03"), NOTHING},
        {"call", CODE("\xe8\x00\x00\x00\x00"), NOTHING},
        {"movups %xmm0,(%rbx)", CODE("\x0f\x11\x03"), NOTHING},
        {"movq %xmm0,(%rbx)", CODE("\x66\x0f\xd6\x03"), NOTHING},
        {"movd %xmm0,(%rbx)", CODE("\x66\x0f\x7e\x03"), NOTHING},
        {"movnti %eax,(%rbx)", CODE("\x0f\xc3\x03"), NOTHING},
        {"fxsave (%rbx)", CODE("\x0f\xae\x03"), NOTHING},
        {"stmxcsr (%rbx)", CODE("\x0f\xae\x1b"), NOTHING},
        {"sgdt (%rbx)", CODE("\x0f\x01\x03"), NOTHING},
        {"invlpg (%rbx)", CODE("\x0f\x01\x3b"), NOTHING},
        {"fstps (%rbx)", CODE("\xd9\x1b"), NOTHING},
        {"fstpt (%rbx)", CODE("\xdb\x3b"), NOTHING},
        {"fstpl (%rbx)", CODE("\xdd\x1b"), NOTHING},
        {"pextrb $1,%xmm0,(%rbx)", CODE("\x66\x0f\x3a\x14\x03\x01"), NOTHING},
        {"movbe %eax,(%rbx)", CODE("\x0f\x38\xf1\x03"), NOTHING},
        {"vmovups %ymm0,(%rbx)", CODE("\xc5\xfc\x11\x03"), NOTHING},
        {"vextractf128 $1,%ymm0,(%rbx)", CODE("\xc4\xe3\x7d\x19\x03\x01"), NOTHING},
        {"vzeroupper", CODE("\xc5\xf8\x77"), NOTHING},
        {"vpgatherdd, of many places", CODE("\xc4\xe2\x6d\x90\x04\x8b"), NOTHING},
    };
    check(examples, COUNT(examples));
}

static void what_reads_and_writes_reads(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"add %eax,(%rbx)", CODE("\x01\x03"), READS(0x4000, 4)},
        {"incq (%rbx)", CODE("\x48\xff\x03"), READS(0x4000, 8)},
        {"xchg %al,(%rbx)", CODE("\x86\x03"), READS(0x4000, 1)},
        {"lock cmpxchg %ecx,(%rbx)", CODE("\xf0\x0f\xb1\x0b"), READS(0x4000, 4)},
        {"lock cmpxchg16b (%rbx)", CODE("\xf0\x48\x0f\xc7\x0b"), READS(0x4000, 16)},
        {"lock xadd %eax,(%rbx)", CODE("\xf0\x0f\xc1\x03"), READS(0x4000, 4)},
        {"call *(%rbx)", CODE("\xff\x13"), READS(0x4000, 8)},
        {"jmp *(%rbx)", CODE("\xff\x23"), READS(0x4000, 8)},
        {"push (%rbx)", CODE("\xff\x33"), READS(0x4000, 8)},
        {"lgdt (%rbx)", CODE("\x0f\x01\x13"), READS(0x4000, 10)},
        {"ldmxcsr (%rbx)", CODE("\x0f\xae\x13"), READS(0x4000, 4)},
    };
    check(examples, COUNT(examples));
}

static void operands_have_the_size_their_instruction_gives_them(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"movzbl (%rbx),%eax", CODE("\x0f\xb6\x03"), READS(0x4000, 1)},
        {"movswq (%rbx),%rax", CODE("\x48\x0f\xbf\x03"), READS(0x4000, 2)},
        {"movslq (%rbx),%rax", CODE("\x48\x63\x03"), READS(0x4000, 4)},
        {"mov (%rbx),%ds", CODE("\x8e\x1b"), READS(0x4000, 2)},
        {"cmove (%rbx),%rax", CODE("\x48\x0f\x44\x03"), READS(0x4000, 8)},
        {"flds (%rbx)", CODE("\xd9\x03"), READS(0x4000, 4)},
        {"fldl (%rbx)", CODE("\xdd\x03"), READS(0x4000, 8)},
        {"fldt (%rbx)", CODE("\xdb\x2b"), READS(0x4000, 10)},
        {"fldcw (%rbx)", CODE("\xd9\x2b"), READS(0x4000, 2)},
        {"filds (%rbx)", CODE("\xdf\x03"), READS(0x4000, 2)},
        {"fildll (%rbx)", CODE("\xdf\x2b"), READS(0x4000, 8)},
        {"movaps (%rbx),%xmm0", CODE("\x0f\x28\x03"), READS(0x4000, 16)},
        {"movss (%rbx),%xmm0", CODE("\xf3\x0f\x10\x03"), READS(0x4000, 4)},
        {"addsd (%rbx),%xmm0", CODE("\xf2\x0f\x58\x03"), READS(0x4000, 8)},
        {"ucomisd (%rbx),%xmm0", CODE("\x66\x0f\x2e\x03"), READS(0x4000, 8)},
        {"comiss (%rbx),%xmm0", CODE("\x0f\x2f\x03"), READS(0x4000, 4)},
        {"cvtsi2sdl (%rbx),%xmm0", CODE("\xf2\x0f\x2a\x03"), READS(0x4000, 4)},
        {"cvtsi2sdq (%rbx),%xmm0", CODE("\xf2\x48\x0f\x2a\x03"), READS(0x4000, 8)},
        {"movq (%rbx),%xmm0", CODE("\xf3\x0f\x7e\x03"), READS(0x4000, 8)},
        {"movd (%rbx),%xmm0", CODE("\x66\x0f\x6e\x03"), READS(0x4000, 4)},
        {"pmovzxbw (%rbx),%xmm0", CODE("\x66\x0f\x38\x30\x03"), READS(0x4000, 8)},
        {"pmovsxbq (%rbx),%xmm0", CODE("\x66\x0f\x38\x22\x03"), READS(0x4000, 2)},
        {"movbe (%rbx),%eax", CODE("\x0f\x38\xf0\x03"), READS(0x4000, 4)},
        {"crc32b (%rbx),%eax", CODE("\xf2\x0f\x38\xf0\x03"), READS(0x4000, 1)},
        {"pinsrb $1,(%rbx),%xmm0", CODE("\x66\x0f\x3a\x20\x03\x01"), READS(0x4000, 1)},
    };
    check(examples, COUNT(examples));
}

static void vex_and_evex_are_understood(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"vmovups (%rbx),%ymm0", CODE("\xc5\xfc\x10\x03"), READS(0x4000, 32)},
        {"vaddps (%rbx),%xmm1,%xmm0", CODE("\xc5\xf0\x58\x03"), READS(0x4000, 16)},
        {"vaddsd (%rbx),%xmm1,%xmm0", CODE("\xc5\xf3\x58\x03"), READS(0x4000, 8)},
        {"vmovups (%r8),%ymm0", CODE("\xc4\xc1\x7c\x10\x00"), READS(0x9000, 32)},
        {"vmovups (%rbx,%r12,1),%ymm0", CODE("\xc4\xa1\x7c\x10\x04\x23"), READS(0x10000, 32)},
        {"vbroadcastss (%rbx),%ymm0", CODE("\xc4\xe2\x7d\x18\x03"), READS(0x4000, 4)},
        {"vpshufb (%rbx),%ymm1,%ymm0", CODE("\xc4\xe2\x75\x00\x03"), READS(0x4000, 32)},
        {"andn (%rbx),%rcx,%rax", CODE("\xc4\xe2\xf0\xf2\x03"), READS(0x4000, 8)},
        {"vmovups (%rbx),%zmm0", CODE("\x62\xf1\x7c\x48\x10\x03"), READS(0x4000, 64)},
        {"vmovups 0x40(%rbx),%zmm0, one vector on", CODE("\x62\xf1\x7c\x48\x10\x43\x01"), READS(0x4040, 64)},
        {"vmovups -0x20(%rbx),%ymm16", CODE("\x62\xe1\x7c\x28\x10\x43\xff"), READS(0x3fe0, 32)},
        {"vaddps 4(%rbx){1to16},%zmm1,%zmm0", CODE("\x62\xf1\x74\x58\x58\x43\x01"), READS(0x4004, 4)},
        {"vaddsd 8(%rbx),%xmm16,%xmm0", CODE("\x62\xf1\xff\x00\x58\x43\x01"), READS(0x4008, 8)},
        {"vmovups 0x10(%rip),%zmm0", CODE("\x62\xf1\x7c\x48\x10\x05\x10\x00\x00\x00"), READS(0x10001a, 64)},
    };
    check(examples, COUNT(examples));
}

static void the_stack_and_strings_are_read_without_being_named(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"pop %rax", CODE("\x58"), READS(0x5000, 8)},
        {"pop %r15", CODE("\x41\x5f"), READS(0x5000, 8)},
        {"pop (%rbx)", CODE("\x8f\x03"), READS(0x5000, 8)},
        {"popf", CODE("\x9d"), READS(0x5000, 8)},
        {"pop %fs", CODE("\x0f\xa1"), READS(0x5000, 8)},
        {"ret", CODE("\xc3"), READS(0x5000, 8)},
        {"ret $8", CODE("\xc2\x08\x00"), READS(0x5000, 8)},
        {"leave", CODE("\xc9"), READS(0x6000, 8)},
        {"iretq", CODE("\x48\xcf"), READS(0x5000, 40)},
        {"xlat", CODE("\xd7"), READS(0x4000, 1)},
        {"movsb", CODE("\xa4"), READS(0x7000, 1)},
        {"rep movsq", CODE("\xf3\x48\xa5"), READS(0x7000, 8)},
        {"lodsw %gs:", CODE("\x65\x66\xad"), READS(0x20007000, 2)},
        {"scasl", CODE("\xaf"), READS(0x8000, 4)},
        {"outsb", CODE("\x6e"), READS(0x7000, 1)},
        {"cmpsb", CODE("\xa6"), 2, {{0x7000, 1}, {0x8000, 1}}},
        {"stosb", CODE("\xaa"), NOTHING},
        {"insb", CODE("\x6c"), NOTHING},
    };
    check(examples, COUNT(examples));
}

static void a_string_of_no_repetitions_reads_nothing(void **state)
{
    (void)state;
    struct kvm_regs none = regs;
    struct instruction_read reads[INSTRUCTION_READS_MAX];
    none.rcx = 0;
    assert_int_equal(instruction_reads((const uint8_t *)"\xf3\xa4", 2, &none, &sregs, reads), 0);
    assert_int_equal(instruction_reads((const uint8_t *)"\xa4", 1, &none, &sregs, reads), 1);
}

/* Guests may stand at the end of their memory, or at no instruction at all. */
static void no_bytes_however_few_lead_astray(void **state)
{
    (void)state;
    uint8_t code[15];
    struct instruction_read reads[INSTRUCTION_READS_MAX];
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            memset(code, (int)(first ^ second), sizeof code);
            code[0] = (uint8_t)first;
            code[1] = (uint8_t)second;
            for (size_t length = 0; length <= sizeof code; length++)
                assert_in_range(instruction_reads(code, length, &regs, &sregs, reads), 0, INSTRUCTION_READS_MAX);
        }
    }
}

static void the_opcode_lies_behind_all_prefixes(void **state)
{
    (void)state;
    assert_int_equal(instruction_opcode((const uint8_t *)"\xf4", 1), 0xf4);
    assert_int_equal(instruction_opcode((const uint8_t *)"\x48\xcf", 2), 0xcf);
    assert_int_equal(instruction_opcode((const uint8_t *)"\x66\xf3\x2e\x48\x9d", 5), 0x9d);
    assert_int_equal(instruction_opcode((const uint8_t *)"\x66", 1), 0);
    assert_int_equal(instruction_opcode(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_made_of_all_their_parts),
        cmocka_unit_test(an_address_relative_to_rip_counts_from_behind_the_immediate),
        cmocka_unit_test(what_only_writes_or_computes_reads_nothing),
        cmocka_unit_test(what_reads_and_writes_reads),
        cmocka_unit_test(operands_have_the_size_their_instruction_gives_them),
        cmocka_unit_test(vex_and_evex_are_understood),
        cmocka_unit_test(the_stack_and_strings_are_read_without_being_named),
        cmocka_unit_test(a_string_of_no_repetitions_reads_nothing),
        cmocka_unit_test(no_bytes_however_few_lead_astray),
        cmocka_unit_test(the_opcode_lies_behind_all_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
