/* The names of the processor's exceptions, and what they leave on a stack (Intel SDM volume 3, 6.14 and 6.15). */
#ifndef MH_CORE_EXCEPTIONS_H
#define MH_CORE_EXCEPTIONS_H

#include <stddef.h>
#include <stdint.h>

#define EXCEPTION_DEBUG 1
#define EXCEPTION_BREAKPOINT 3
#define EXCEPTION_STACK_FAULT 12
#define EXCEPTION_NOT_PRESENT 11
#define EXCEPTION_GENERAL_PROTECTION 13
#define EXCEPTION_PAGE_FAULT 14

/* Bits of a page fault's error code. */
#define PAGE_FAULT_PRESENT 0x01u
#define PAGE_FAULT_WRITE 0x02u
#define PAGE_FAULT_USER 0x04u
#define PAGE_FAULT_RESERVED 0x08u
#define PAGE_FAULT_FETCH 0x10u

/* The frame the processor pushes, lowest address first; below it lies the error code of those that have one. */
struct exception_frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

/* "page fault (#PF)"; "reserved exception" for vectors without a name. */
const char *exception_name(uint8_t vector);

/* What an error code says, as words after "error code 0x..: "; empty when it says nothing. Never longer than `size`. */
void exception_explain_error(uint8_t vector, uint32_t error_code, char *text, size_t size);

#endif
