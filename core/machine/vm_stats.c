/* What a machine did, in numbers: for --stats and `monitor stats`. */
#include "machine/run_loop.h"
#include "text.h"

#include <inttypes.h>

static void vm_stats_code(const struct text_output *to, const struct cpu_code_stats *code)
{
    const uint64_t interpreted = code->executed - code->instructions;
    const double share = code->executed == 0 ? 0 : 100.0 * (double)interpreted / (double)code->executed;
    text_say(to, "executed: %" PRIu64 " instructions, %.1f %% of them interpreted\n", code->executed, share);
    text_say(to, "generated code: %" PRIu64 " blocks, emptied %" PRIu64 " times\n", code->units, code->flushes);
}

static void vm_stats_processor(const struct mh_vm *vm, const struct text_output *to)
{
    const struct cpu_ops *ops = vm->cpu->ops;
    uint64_t moves = 0, instructions;
    struct cpu_code_stats code;
    const char *name = ops->current != NULL ? ops->current(vm->cpu, &moves) : ops->name;
    if (moves == 0)
        text_say(to, "processor: %s\n", name);
    else
        text_say(to, "processor: kvm and soft, moved %" PRIu64 " times; now %s\n", moves, name);
    if (ops->instructions(vm->cpu, &instructions))
        text_say(to, "instructions: %" PRIu64 "\n", instructions);
    if (ops->code_stats != NULL && ops->code_stats(vm->cpu, &code))
        vm_stats_code(to, &code);
}

enum mh_status mh_vm_counts(struct mh_vm *vm, struct mh_counts *counts, struct mh_error *err)
{
    return vm->cpu->ops->read_counts(vm->cpu, counts, err);
}

enum mh_status mh_vm_calls(struct mh_vm *vm, struct mh_calls *calls, struct mh_error *err)
{
    return vm->cpu->ops->read_calls(vm->cpu, calls, err);
}

void mh_vm_stats(struct mh_vm *vm, mh_text_sink *sink, void *sink_ctx)
{
    const struct text_output to = {.sink = sink, .ctx = sink_ctx};
    vm_stats_processor(vm, &to);
    for (unsigned i = 0; i < CPU_EXIT_KINDS; i++) {
        if (vm->exits[i] != 0)
            text_say(&to, "exits, %s: %" PRIu64 "\n", run_loop_exit_name((enum cpu_exit_kind)i), vm->exits[i]);
    }
    text_say(&to, "bytes into the guest: %" PRIu64 "\n", vm->input.bytes);
}
