/*
 * The host executes an instruction here in the guest's place, because the manual leaves undefined what it does to some
 * flags (Intel SDM volume 1, appendix A) and only the host's own processor can say.
 *
 * Each function loads the flags, executes the one instruction, and reads the flags back. The stack is used below the
 * red zone, in which the compiler may keep variables.
 */
#include "host_x86_64_int.h"

#include <cpuid.h>

#define ARITHMETIC 0x8d5u
#define BELOW_RED_ZONE "leaq -128(%%rsp), %%rsp\n\t"
#define ABOVE_RED_ZONE "leaq 128(%%rsp), %%rsp\n\t"
#define LOAD_FLAGS BELOW_RED_ZONE "pushq %[image]\n\tpopfq\n\t"
#define STORE_FLAGS "\n\tpushfq\n\tpopq %[image]\n\t" ABOVE_RED_ZONE

/* `inputs` are all asm operands but the flags. */
#define EXECUTE(instruction, outputs, ...)                                                                             \
    __asm__ volatile(LOAD_FLAGS instruction STORE_FLAGS : [image] "+r"(image), outputs:__VA_ARGS__ : "cc")
#define OUTPUTS(...) __VA_ARGS__

static uint64_t flags_image(uint32_t flags)
{
    return 2u | (flags & ARITHMETIC);
}

static uint32_t arithmetic(uint64_t image)
{
    return (uint32_t)image & ARITHMETIC;
}

static uint64_t truncated(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & ((1ull << 8 * size) - 1);
}

bool host_is_amd(void)
{
    unsigned eax, ebx, ecx, edx;
    __cpuid(0, eax, ebx, ecx, edx);
    /* "AuthenticAMD" and "HygonGenuine" */
    return (ebx == 0x68747541 && ecx == 0x444d4163) || (ebx == 0x6f677948 && ecx == 0x656e6975);
}

/* ---- shifts ---- */

#define SHIFT_BY_SIZE(name)                                                                                            \
    static uint64_t execute_##name(unsigned size, uint64_t *to, uint8_t count, uint64_t image)                         \
    {                                                                                                                  \
        uint64_t value = *to;                                                                                          \
        switch (size) {                                                                                                \
        case 1:                                                                                                        \
            EXECUTE(#name "b %%cl, %b[value]", [value] "+r"(value), "c"(count));                                       \
            break;                                                                                                     \
        case 2:                                                                                                        \
            EXECUTE(#name "w %%cl, %w[value]", [value] "+r"(value), "c"(count));                                       \
            break;                                                                                                     \
        case 4:                                                                                                        \
            EXECUTE(#name "l %%cl, %k[value]", [value] "+r"(value), "c"(count));                                       \
            break;                                                                                                     \
        default:                                                                                                       \
            EXECUTE(#name "q %%cl, %[value]", [value] "+r"(value), "c"(count));                                        \
            break;                                                                                                     \
        }                                                                                                              \
        *to = truncated(value, size);                                                                                  \
        return image;                                                                                                  \
    }

SHIFT_BY_SIZE(rol)
SHIFT_BY_SIZE(ror)
SHIFT_BY_SIZE(rcl)
SHIFT_BY_SIZE(rcr)
SHIFT_BY_SIZE(shl)
SHIFT_BY_SIZE(shr)
SHIFT_BY_SIZE(sar)

uint32_t host_shift(unsigned operation, unsigned size, uint64_t *value, uint8_t count, uint32_t flags)
{
    static uint64_t (*const execute[])(unsigned, uint64_t *, uint8_t, uint64_t) = {
        execute_rol, execute_ror, execute_rcl, execute_rcr, execute_shl, execute_shr, execute_shl, execute_sar,
    };
    return arithmetic(execute[operation & 7](size, value, count, flags_image(flags)));
}

/*
 * An immediate count is part of the instruction, so there is one for each count: eight tables, of ROL and ROR for each
 * size, of 64 functions of ROTATE_STRIDE bytes that rotate rax.
 */
#define ROTATE_STRIDE 8u
#define ROTATE_COUNTS 64u

__asm__(".pushsection .text\n"
        ".macro mh_host_rotate name, register\n"
        ".set mh_host_count, 0\n"
        ".rept 64\n"
        ".balign 8\n"
        "\\name $mh_host_count, \\register\n"
        "ret\n"
        ".set mh_host_count, mh_host_count + 1\n"
        ".endr\n"
        ".endm\n"
        ".balign 8\n"
        "mh_host_rotate_table:\n"
        "mh_host_rotate rolb, %al\n"
        "mh_host_rotate rolw, %ax\n"
        "mh_host_rotate roll, %eax\n"
        "mh_host_rotate rolq, %rax\n"
        "mh_host_rotate rorb, %al\n"
        "mh_host_rotate rorw, %ax\n"
        "mh_host_rotate rorl, %eax\n"
        "mh_host_rotate rorq, %rax\n"
        ".popsection\n");

uint32_t host_rotate_immediate(bool right, unsigned size, uint64_t *value, uint8_t count, uint32_t flags)
{
    const uint64_t size_index = size == 8 ? 3 : size / 2;
    uint64_t image = flags_image(flags), a = *value, at;
    __asm__("leaq mh_host_rotate_table(%%rip), %[at]" : [at] "=r"(at));
    at += (((right ? 4 : 0) + size_index) * ROTATE_COUNTS + count % ROTATE_COUNTS) * ROTATE_STRIDE;
    EXECUTE("call *%[at]", [value] "+a"(a), [at] "r"(at));
    *value = truncated(a, size);
    return arithmetic(image);
}

#define DOUBLE_SHIFT_BY_SIZE(name)                                                                                     \
    static uint64_t execute_##name(unsigned size, uint64_t *to, uint64_t fill, uint8_t count, uint64_t image)          \
    {                                                                                                                  \
        uint64_t value = *to;                                                                                          \
        switch (size) {                                                                                                \
        case 2:                                                                                                        \
            EXECUTE(#name "w %%cl, %w[fill], %w[value]", [value] "+r"(value), [fill] "r"(fill), "c"(count));           \
            break;                                                                                                     \
        case 4:                                                                                                        \
            EXECUTE(#name "l %%cl, %k[fill], %k[value]", [value] "+r"(value), [fill] "r"(fill), "c"(count));           \
            break;                                                                                                     \
        default:                                                                                                       \
            EXECUTE(#name "q %%cl, %[fill], %[value]", [value] "+r"(value), [fill] "r"(fill), "c"(count));             \
            break;                                                                                                     \
        }                                                                                                              \
        *to = truncated(value, size);                                                                                  \
        return image;                                                                                                  \
    }

DOUBLE_SHIFT_BY_SIZE(shld)
DOUBLE_SHIFT_BY_SIZE(shrd)

uint32_t host_double_shift(bool right, unsigned size, uint64_t *value, uint64_t fill, uint8_t count, uint32_t flags)
{
    const uint64_t image = flags_image(flags);
    return arithmetic(right ? execute_shrd(size, value, fill, count, image)
                            : execute_shld(size, value, fill, count, image));
}

/* ---- multiplication and division ---- */

#define ACCUMULATOR_BY_SIZE(name)                                                                                      \
    static uint64_t execute_##name(unsigned size, uint64_t *low, uint64_t *high, uint64_t operand, uint64_t image)     \
    {                                                                                                                  \
        uint64_t a = *low, d = *high;                                                                                  \
        switch (size) {                                                                                                \
        case 1:                                                                                                        \
            a = (a & 0xff) | (d & 0xff) << 8;                                                                          \
            EXECUTE(#name "b %b[operand]", OUTPUTS("+a"(a), "+d"(d)), [operand] "r"(operand));                         \
            d = a >> 8;                                                                                                \
            break;                                                                                                     \
        case 2:                                                                                                        \
            EXECUTE(#name "w %w[operand]", OUTPUTS("+a"(a), "+d"(d)), [operand] "r"(operand));                         \
            break;                                                                                                     \
        case 4:                                                                                                        \
            EXECUTE(#name "l %k[operand]", OUTPUTS("+a"(a), "+d"(d)), [operand] "r"(operand));                         \
            break;                                                                                                     \
        default:                                                                                                       \
            EXECUTE(#name "q %[operand]", OUTPUTS("+a"(a), "+d"(d)), [operand] "r"(operand));                          \
            break;                                                                                                     \
        }                                                                                                              \
        *low = truncated(a, size);                                                                                     \
        *high = truncated(d, size);                                                                                    \
        return image;                                                                                                  \
    }

ACCUMULATOR_BY_SIZE(mul)
ACCUMULATOR_BY_SIZE(imul)
ACCUMULATOR_BY_SIZE(div)
ACCUMULATOR_BY_SIZE(idiv)

uint32_t host_mul_flags(unsigned size, uint64_t left, uint64_t right, uint32_t flags)
{
    uint64_t high = 0;
    return arithmetic(execute_mul(size, &left, &high, right, flags_image(flags)));
}

uint32_t host_imul_flags(unsigned size, uint64_t left, uint64_t right, uint32_t flags)
{
    uint64_t high = 0;
    return arithmetic(execute_imul(size, &left, &high, right, flags_image(flags)));
}

uint32_t host_div(unsigned size, uint64_t *low, uint64_t *high, uint64_t divisor, uint32_t flags)
{
    return arithmetic(execute_div(size, low, high, divisor, flags_image(flags)));
}

uint32_t host_idiv(unsigned size, uint64_t *low, uint64_t *high, uint64_t divisor, uint32_t flags)
{
    return arithmetic(execute_idiv(size, low, high, divisor, flags_image(flags)));
}

/* ---- one destination, one source ---- */

#define UNARY_BY_SIZE(name, mnemonic)                                                                                  \
    static uint64_t execute_##name(unsigned size, uint64_t *to, uint64_t from, uint64_t image)                         \
    {                                                                                                                  \
        uint64_t value = *to;                                                                                          \
        if (size == 2)                                                                                                 \
            EXECUTE(mnemonic "w %w[from], %w[value]", [value] "+r"(value), [from] "r"(from));                          \
        else if (size == 4)                                                                                            \
            EXECUTE(mnemonic "l %k[from], %k[value]", [value] "+r"(value), [from] "r"(from));                          \
        else                                                                                                           \
            EXECUTE(mnemonic "q %[from], %[value]", [value] "+r"(value), [from] "r"(from));                            \
        *to = value;                                                                                                   \
        return image;                                                                                                  \
    }

/* The instructions of BMI1, which have no 16-bit form. */
#define UNARY_VEX(name)                                                                                                \
    static uint64_t execute_##name(unsigned size, uint64_t *to, uint64_t from, uint64_t image)                         \
    {                                                                                                                  \
        uint64_t value = *to;                                                                                          \
        if (size == 4)                                                                                                 \
            EXECUTE(#name " %k[from], %k[value]", [value] "+r"(value), [from] "r"(from));                              \
        else                                                                                                           \
            EXECUTE(#name " %[from], %[value]", [value] "+r"(value), [from] "r"(from));                                \
        *to = value;                                                                                                   \
        return image;                                                                                                  \
    }

UNARY_BY_SIZE(bsf, "bsf")
UNARY_BY_SIZE(bsr, "bsr")
UNARY_BY_SIZE(tzcnt, "tzcnt")
UNARY_BY_SIZE(lzcnt, "lzcnt")
UNARY_BY_SIZE(popcnt, "popcnt")
UNARY_BY_SIZE(imul2, "imul")
UNARY_VEX(blsr)
UNARY_VEX(blsmsk)
UNARY_VEX(blsi)

uint32_t host_unary(enum host_unary operation, unsigned size, uint64_t *to, uint64_t from, uint32_t flags)
{
    static uint64_t (*const execute[])(unsigned, uint64_t *, uint64_t, uint64_t) = {
        [HOST_BSF] = execute_bsf,       [HOST_BSR] = execute_bsr,       [HOST_TZCNT] = execute_tzcnt,
        [HOST_LZCNT] = execute_lzcnt,   [HOST_POPCNT] = execute_popcnt, [HOST_BLSR] = execute_blsr,
        [HOST_BLSMSK] = execute_blsmsk, [HOST_BLSI] = execute_blsi,
    };
    return arithmetic(execute[operation](size, to, from, flags_image(flags)));
}

uint32_t host_imul2_flags(unsigned size, uint64_t left, uint64_t right, uint32_t flags)
{
    return arithmetic(execute_imul2(size, &left, right, flags_image(flags)));
}

/* ---- one destination, two sources ---- */

#define BINARY(name)                                                                                                   \
    static uint64_t execute_##name(unsigned size, uint64_t *to, uint64_t first, uint64_t second, uint64_t image)       \
    {                                                                                                                  \
        uint64_t value = 0;                                                                                            \
        if (size == 4)                                                                                                 \
            EXECUTE(#name " %k[second], %k[first], %k[value]", [value] "+r"(value), [first] "r"(first),                \
                    [second] "r"(second));                                                                             \
        else                                                                                                           \
            EXECUTE(#name " %[second], %[first], %[value]", [value] "+r"(value), [first] "r"(first),                   \
                    [second] "r"(second));                                                                             \
        *to = value;                                                                                                   \
        return image;                                                                                                  \
    }

BINARY(andn)
BINARY(bextr)
BINARY(bzhi)
BINARY(pdep)
BINARY(pext)

uint32_t host_binary(enum host_binary operation, unsigned size, uint64_t *to, uint64_t first, uint64_t second,
                     uint32_t flags)
{
    static uint64_t (*const execute[])(unsigned, uint64_t *, uint64_t, uint64_t, uint64_t) = {
        [HOST_ANDN] = execute_andn, [HOST_BEXTR] = execute_bextr, [HOST_BZHI] = execute_bzhi,
        [HOST_PDEP] = execute_pdep, [HOST_PEXT] = execute_pext,
    };
    return arithmetic(execute[operation](size, to, first, second, flags_image(flags)));
}

/* ---- bits ---- */

UNARY_BY_SIZE(bt, "bt")
UNARY_BY_SIZE(bts, "bts")
UNARY_BY_SIZE(btr, "btr")
UNARY_BY_SIZE(btc, "btc")

uint32_t host_bit_test(unsigned operation, unsigned size, uint64_t *value, uint64_t bit, uint32_t flags)
{
    static uint64_t (*const execute[])(unsigned, uint64_t *, uint64_t, uint64_t) = {execute_bt, execute_bts,
                                                                                    execute_btr, execute_btc};
    return arithmetic(execute[operation & 3](size, value, bit, flags_image(flags)));
}

uint16_t host_bswap16(uint16_t value)
{
    uint64_t whole = value;
    __asm__(".byte 0x66, 0x0f, 0xc8" : "+a"(whole)); /* data16 bswap %eax: assemblers refuse bswap %ax */
    return (uint16_t)whole;
}

uint32_t host_crc32(unsigned length, uint32_t crc, uint64_t data)
{
    uint64_t value = crc;
    switch (length) {
    case 1:
        __asm__("crc32b %b1, %k0" : "+r"(value) : "r"(data));
        break;
    case 2:
        __asm__("crc32w %w1, %k0" : "+r"(value) : "r"(data));
        break;
    case 4:
        __asm__("crc32l %k1, %k0" : "+r"(value) : "r"(data));
        break;
    default:
        __asm__("crc32q %1, %0" : "+r"(value) : "r"(data));
        break;
    }
    return (uint32_t)value;
}
