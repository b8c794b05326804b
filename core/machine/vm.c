#include "machine/vm.h"

#include <stdio.h>

bool vm_read_regs(struct mh_vm *vm, unsigned groups, struct mh_x86_regs *regs)
{
    return vm->cpu->ops->read_regs(vm->cpu, groups, regs, NULL) == MH_OK;
}

bool mh_vm_read_regs(struct mh_vm *vm, unsigned groups, struct mh_x86_regs *regs)
{
    return vm_read_regs(vm, groups, regs);
}

uint64_t vm_rip(struct mh_vm *vm)
{
    struct mh_x86_regs regs;
    uint64_t rip;
    if (vm->cpu->ops->rip_at_hand(vm->cpu, &rip))
        return rip;
    return vm_read_regs(vm, MH_REGS_GENERAL, &regs) ? regs.general.rip : 0;
}

void vm_notice(struct mh_vm *vm, enum vm_notice kind, const char *format, ...)
{
    if (vm->noticed[kind] || vm->config.notice == NULL)
        return;
    vm->noticed[kind] = true;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vm->config.notice(vm->config.notice_ctx, text);
}
