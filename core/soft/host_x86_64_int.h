/*
 * Integer instructions executed by the host processor, for results and flags that the manual leaves undefined: then
 * the guest sees what this host's processor does. `size` is the operand size in bytes.
 *
 * `flags` is the arithmetic flags before the instruction; what is returned is those after it.
 */
#ifndef MH_CORE_SOFT_HOST_X86_64_INT_H
#define MH_CORE_SOFT_HOST_X86_64_INT_H

#include <stdbool.h>
#include <stdint.h>

/* Does the host's processor behave as AMD's manual says where it differs from Intel's? */
bool host_is_amd(void);

/* ModRM.reg of the shift group: rol ror rcl rcr shl shr sal sar. `count` is CL as it is. */
uint32_t host_shift(unsigned operation, unsigned size, uint64_t *value, uint8_t count, uint32_t flags);
/* ROL, or ROR with `right`, of a register by an immediate: OF is not what it is when the count is in
 * CL or the operand in memory. */
uint32_t host_rotate_immediate(bool right, unsigned size, uint64_t *value, uint8_t count, uint32_t flags);
/* SHLD, or SHRD with `right`; size is 2, 4 or 8. */
uint32_t host_double_shift(bool right, unsigned size, uint64_t *value, uint64_t fill, uint8_t count, uint32_t flags);

/* MUL and one-operand IMUL of the two factors: flags only. */
uint32_t host_mul_flags(unsigned size, uint64_t left, uint64_t right, uint32_t flags);
uint32_t host_imul_flags(unsigned size, uint64_t left, uint64_t right, uint32_t flags);
/* IMUL with two or three operands: flags only. */
uint32_t host_imul2_flags(unsigned size, uint64_t left, uint64_t right, uint32_t flags);

/* DIV and IDIV of high:low; the caller has made sure that the quotient fits. */
uint32_t host_div(unsigned size, uint64_t *low, uint64_t *high, uint64_t divisor, uint32_t flags);
uint32_t host_idiv(unsigned size, uint64_t *low, uint64_t *high, uint64_t divisor, uint32_t flags);

/* DIV of 64 bits where its flags do not matter. */
static inline void host_divide(uint64_t *low, uint64_t *high, uint64_t divisor)
{
    __asm__("divq %[divisor]" : "+a"(*low), "+d"(*high) : [divisor] "r"(divisor) : "cc");
}

enum host_unary {
    HOST_BSF,
    HOST_BSR,
    HOST_TZCNT,
    HOST_LZCNT,
    HOST_POPCNT,
    HOST_BLSR,
    HOST_BLSMSK,
    HOST_BLSI,
};

/* `*to` is the destination before and after. TZCNT, LZCNT and BLS* only where the guest is offered them. */
uint32_t host_unary(enum host_unary operation, unsigned size, uint64_t *to, uint64_t from, uint32_t flags);

enum host_binary {
    HOST_ANDN,
    HOST_BEXTR,
    HOST_BZHI,
    HOST_PDEP,
    HOST_PEXT,
};

/* Operands in the order of Intel's syntax; size is 4 or 8. */
uint32_t host_binary(enum host_binary operation, unsigned size, uint64_t *to, uint64_t first, uint64_t second,
                     uint32_t flags);

/* BT, BTS, BTR, BTC (0 to 3) of a register; `bit` is below the operand's width. */
uint32_t host_bit_test(unsigned operation, unsigned size, uint64_t *value, uint64_t bit, uint32_t flags);

/* BSWAP of a 16-bit register, which the manual leaves undefined. */
uint16_t host_bswap16(uint16_t value);

/* CRC32 of `length` bytes (1, 2, 4 or 8) of data. */
uint32_t host_crc32(unsigned length, uint32_t crc, uint64_t data);

#endif
