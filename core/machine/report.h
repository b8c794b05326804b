/* The report about a stop, for people: what happened, registers, code bytes, page walk. */
#ifndef MH_CORE_MACHINE_REPORT_H
#define MH_CORE_MACHINE_REPORT_H

#include "machine/vm.h"
#include "text.h"

/* Write the report of mh_vm_describe_stop(). */
void report_stop(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                 void *write_ctx);

/* For people, when report_is_misplaced(). */
#define REPORT_MISPLACED                                                                                               \
    "a flat image is loaded and entered at 0: if this one is linked for another address, add it, as in --load 0x8000"

/* Did a flat image at 0 come to its end without having used a port, and within its first instructions where the
 * processor counts them? Such an image may be linked for another address. */
bool report_is_misplaced(const struct mh_vm *vm);

/* What happened alone, without the machine's state. */
void report_stop_in_words(struct mh_vm *vm, const struct mh_stop *stop, mh_text_sink *sink, void *sink_ctx);

/* The same without what a debugger shows better: registers and code. */
void report_stop_briefly(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                         void *write_ctx);

/* Write all registers, as the report has them. */
void report_registers(struct mh_vm *vm, void (*write)(void *, const char *, size_t), void *write_ctx);

/* Write how the page tables translate an address, level by level. */
void report_page_walk(struct mh_vm *vm, uint64_t address, const struct text_output *output);

#endif
