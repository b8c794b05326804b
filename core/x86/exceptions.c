#include "x86/exceptions.h"

#include <stdio.h>

static const char *const names[] = {
    [0] = "divide error (#DE)",
    [1] = "debug exception (#DB)",
    [2] = "non-maskable interrupt",
    [3] = "breakpoint (#BP)",
    [4] = "overflow (#OF)",
    [5] = "bound range exceeded (#BR)",
    [6] = "invalid opcode (#UD)",
    [7] = "device not available (#NM)",
    [8] = "double fault (#DF)",
    [10] = "invalid TSS (#TS)",
    [11] = "segment not present (#NP)",
    [12] = "stack fault (#SS)",
    [13] = "general protection fault (#GP)",
    [14] = "page fault (#PF)",
    [16] = "x87 floating-point error (#MF)",
    [17] = "alignment check (#AC)",
    [18] = "machine check (#MC)",
    [19] = "SIMD floating-point exception (#XM)",
    [20] = "virtualization exception (#VE)",
    [21] = "control protection exception (#CP)",
    [28] = "hypervisor injection exception (#HV)",
    [29] = "VMM communication exception (#VC)",
    [30] = "security exception (#SX)",
};

const char *exception_name(uint8_t vector)
{
    if (vector < sizeof names / sizeof names[0] && names[vector] != NULL)
        return names[vector];
    return "reserved exception";
}

static void explain_page_fault(uint32_t code, char *text, size_t size)
{
    const char *access = (code & PAGE_FAULT_FETCH) != 0   ? "instruction fetch from"
                         : (code & PAGE_FAULT_WRITE) != 0 ? "write to"
                                                          : "read of";
    const char *page = (code & PAGE_FAULT_RESERVED) != 0  ? "a page whose tables have reserved bits set"
                       : (code & PAGE_FAULT_PRESENT) != 0 ? "a page that does not allow it"
                                                          : "a page that is not mapped";
    snprintf(text, size, "%s %s, in ring %s", access, page, (code & PAGE_FAULT_USER) != 0 ? "3" : "0 to 2");
}

#define SELECTOR_EXTERNAL 1u
#define SELECTOR_IDT 2u
#define SELECTOR_LDT 4u

static void explain_selector(uint32_t code, char *text, size_t size)
{
    if ((code & SELECTOR_IDT) != 0)
        snprintf(text, size, "entry %u of the IDT", code >> 3);
    else if (code != 0)
        snprintf(text, size, "selector 0x%x of the %s", code & ~(SELECTOR_EXTERNAL | SELECTOR_LDT),
                 (code & SELECTOR_LDT) != 0 ? "LDT" : "GDT");
    else
        snprintf(text, size, "%s", "");
}

void exception_explain_error(uint8_t vector, uint32_t error_code, char *text, size_t size)
{
    switch (vector) {
    case EXCEPTION_PAGE_FAULT:
        explain_page_fault(error_code, text, size);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        explain_selector(error_code, text, size);
        break;
    default:
        snprintf(text, size, "%s", "");
    }
}
