/* The past of a machine: every place in it is what it was, on whatever way it is reached. */
#include "past_machine.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#define PROGRAMS 12u
#define STEPS 1500u
#define VISITS 150u
#define LIMIT (64 * MB)

/* What a machine was after each step of a run. */
struct trace {
    uint64_t position[STEPS + 1];
    uint64_t hash[STEPS + 1];
    uint64_t rip[STEPS + 1];
    unsigned count; /* places */
};

static void note(struct trace *trace, struct past_machine *machine)
{
    trace->position[trace->count] = past_machine_now(machine);
    trace->hash[trace->count] = past_machine_hash(machine);
    trace->rip[trace->count] = vm_rip(machine->vm);
    trace->count++;
}

static struct trace *trace_steps(struct past_machine *machine, unsigned steps)
{
    struct trace *trace = test_calloc(1, sizeof *trace);
    note(trace, machine);
    for (unsigned i = 0; i < steps; i++) {
        assert_int_equal(past_machine_resume(machine, MH_RESUME_STEP, false).kind, MH_STOP_STEP);
        note(trace, machine);
    }
    return trace;
}

static void assert_is_at(struct past_machine *machine, const struct trace *trace, unsigned place, uint64_t seed)
{
    if (past_machine_now(machine) != trace->position[place])
        fail_msg("program %llu: at %llu instead of %llu", (unsigned long long)seed,
                 (unsigned long long)past_machine_now(machine), (unsigned long long)trace->position[place]);
    if (past_machine_hash(machine) != trace->hash[place])
        fail_msg("program %llu: another state at %llu, rip 0x%llx", (unsigned long long)seed,
                 (unsigned long long)trace->position[place], (unsigned long long)vm_rip(machine->vm));
}

static void each_step_has_a_place_of_its_own(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *machine = past_machine_make_random(seed, LIMIT);
        struct trace *trace = trace_steps(machine, STEPS);
        for (unsigned i = 1; i < trace->count; i++) {
            if (trace->position[i] != trace->position[i - 1] + 1)
                fail_msg("program %llu: step %u leads from %llu to %llu, rip 0x%llx to 0x%llx",
                         (unsigned long long)seed, i, (unsigned long long)trace->position[i - 1],
                         (unsigned long long)trace->position[i], (unsigned long long)trace->rip[i - 1],
                         (unsigned long long)trace->rip[i]);
        }
        test_free(trace);
        past_machine_remove(machine);
    }
}

static void visit(struct past_machine *machine, const struct trace *trace, uint64_t seed, uint64_t *chance)
{
    unsigned place = (unsigned)(past_machine_next(chance) % trace->count);
    past_machine_go_to(machine, trace->position[place]);
    assert_is_at(machine, trace, place, seed);
    for (unsigned steps = past_machine_next(chance) % 4; steps > 0 && place > 0; steps--) {
        assert_int_equal(past_machine_resume(machine, MH_RESUME_STEP, true).kind, MH_STOP_STEP);
        assert_is_at(machine, trace, --place, seed);
    }
    for (unsigned steps = past_machine_next(chance) % 4; steps > 0 && place + 1 < trace->count; steps--) {
        assert_int_equal(past_machine_resume(machine, MH_RESUME_STEP, false).kind, MH_STOP_STEP);
        assert_is_at(machine, trace, ++place, seed);
    }
}

static void every_place_is_what_it_was(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *machine = past_machine_make_random(seed, LIMIT);
        struct trace *trace = trace_steps(machine, STEPS);
        const size_t output = machine->output_length;
        const uint64_t input = machine->input_taken;
        uint64_t chance = seed;
        for (unsigned i = 0; i < VISITS; i++)
            visit(machine, trace, seed, &chance);
        assert_int_equal(machine->output_length, output);
        assert_int_equal(machine->input_taken, input);
        past_machine_go_to(machine, trace->position[trace->count - 1]);
        assert_false(timeline_is_in_past(past_machine_timeline(machine)));
        test_free(trace);
        past_machine_remove(machine);
    }
}

/* A run goes on as if nobody had ever looked back. */
static void looking_back_is_not_visible(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *expected = past_machine_make_random(seed, LIMIT);
        struct past_machine *machine = past_machine_make_random(seed, LIMIT);
        uint64_t chance = seed;
        struct trace *trace = trace_steps(expected, STEPS);
        for (unsigned i = 1; i < trace->count; i++) {
            past_machine_resume(machine, MH_RESUME_STEP, false);
            if (past_machine_next(&chance) % 16 == 0) {
                past_machine_go_to(machine, trace->position[past_machine_next(&chance) % i]);
                while (past_machine_now(machine) + 3 < trace->position[i])
                    past_machine_go_to(machine, trace->position[i]);
                while (past_machine_now(machine) < trace->position[i])
                    past_machine_resume(machine, MH_RESUME_STEP, false);
            }
            assert_is_at(machine, trace, i, seed);
        }
        assert_int_equal(machine->output_length, expected->output_length);
        assert_memory_equal(machine->output, expected->output, expected->output_length);
        test_free(trace);
        past_machine_remove(machine);
        past_machine_remove(expected);
    }
}

/* The debugger sets a register in the past: what follows is what would have followed, and input and output neither get
 * lost nor come twice. */
static void the_past_can_be_changed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *machine = past_machine_make_random(seed, LIMIT);
        struct past_machine *expected = past_machine_make_random(seed, LIMIT);
        struct trace *trace = trace_steps(machine, STEPS);
        uint64_t chance = seed;
        unsigned place = (unsigned)(past_machine_next(&chance) % STEPS);
        struct mh_x86_regs regs;
        struct past_machine *both[] = {machine, expected};
        past_machine_go_to(machine, trace->position[place]);
        for (unsigned i = 0; i < place; i++)
            past_machine_resume(expected, MH_RESUME_STEP, false);
        for (unsigned i = 0; i < 2; i++) {
            const struct mh_debug_target *target = &both[i]->target;
            assert_int_equal(target->ops->read_regs(target->ctx, 1, MH_REGS_GENERAL, &regs, NULL), MH_OK);
            regs.general.gpr[MH_RBX] += 12345;
            assert_int_equal(target->ops->write_regs(target->ctx, 1, MH_REGS_GENERAL, &regs, NULL), MH_OK);
        }
        const size_t printed = machine->output_length, before = expected->output_length;
        struct trace *after = trace_steps(expected, STEPS - place);
        for (unsigned i = 0; i < after->count; i++) {
            assert_is_at(machine, after, i, seed);
            if (i + 1 < after->count)
                past_machine_resume(machine, MH_RESUME_STEP, false);
        }
        /* what was printed before the change stays printed, what comes after it is printed once */
        assert_int_equal(machine->output_length - printed, expected->output_length - before);
        assert_memory_equal(machine->output + printed, expected->output + before, expected->output_length - before);
        past_machine_go_to(machine, 0);
        assert_is_at(machine, trace, 0, seed);
        past_machine_go_to(machine, after->position[after->count - 1]);
        assert_is_at(machine, after, after->count - 1, seed);
        for (unsigned i = 0; i < 20; i++)
            visit(machine, after, seed, &chance);
        test_free(after);
        test_free(trace);
        past_machine_remove(expected);
        past_machine_remove(machine);
    }
}

/* ---- breakpoints and watchpoints ---- */

struct point {
    enum mh_break_kind kind;
    uint64_t address, length;
};

#define POINTS 4u

static void set_random_points(struct past_machine *machine, struct point *points, uint64_t *chance)
{
    for (unsigned i = 0; i < POINTS; i++) {
        points[i] = (struct point){.kind = (enum mh_break_kind)(past_machine_next(chance) % 5), .length = 1};
        points[i].address = points[i].kind <= MH_BREAK_HARDWARE ? past_machine_next(chance) % 300
                                                                : PAST_DATA + past_machine_next(chance) % 64;
        assert_int_equal(machine->target.ops->set_breakpoint(machine->target.ctx, 1, MH_OWNER_DEBUGGER, points[i].kind,
                                                             points[i].address, points[i].length, NULL),
                         MH_OK);
    }
}

static bool arrives_at_point(struct past_machine *machine, const struct point *points)
{
    struct mh_cpu_state state;
    bool hit = false;
    assert_int_equal(machine->vm->cpu->ops->save(machine->vm->cpu, &state, NULL), MH_OK);
    for (unsigned i = 0; i < POINTS; i++)
        hit |= points[i].kind <= MH_BREAK_HARDWARE && points[i].address == state.general.rip;
    return hit && !state.is_repeating;
}

/* The places before `end` at which something is hit, in order, as steps find them. */
static unsigned collect_hits(struct past_machine *machine, const struct point *points, uint64_t end, uint64_t *hits)
{
    unsigned count = 0;
    past_machine_go_to(machine, 0);
    while (past_machine_now(machine) < end) {
        const uint64_t place = past_machine_now(machine);
        bool hit = arrives_at_point(machine, points);
        hit |= past_machine_resume(machine, MH_RESUME_STEP, false).kind == MH_STOP_WATCHPOINT;
        if (hit)
            hits[count++] = place;
    }
    return count;
}

static void a_continue_backwards_meets_what_a_run_met(void **state)
{
    (void)state;
    static uint64_t hits[2 * STEPS];
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *machine = past_machine_make_random(seed, LIMIT);
        struct point points[POINTS];
        uint64_t chance = seed;
        for (unsigned i = 0; i < STEPS; i++)
            past_machine_resume(machine, MH_RESUME_STEP, false);
        const uint64_t end = past_machine_now(machine);
        set_random_points(machine, points, &chance);
        const unsigned count = collect_hits(machine, points, end - 1, hits);
        past_machine_go_to(machine, end - 1);
        uint64_t at = end - 1;
        for (unsigned i = count; i > 0; i--) {
            if (hits[i - 1] >= at)
                continue;
            struct mh_stop stop = past_machine_resume(machine, MH_RESUME_CONTINUE, true);
            if (past_machine_now(machine) != hits[i - 1] || stop.kind == MH_STOP_HISTORY_BEGIN)
                fail_msg("program %llu: backwards from %llu stopped at %llu (%s), not at %llu",
                         (unsigned long long)seed, (unsigned long long)at,
                         (unsigned long long)past_machine_now(machine), mh_stop_name(stop.kind),
                         (unsigned long long)hits[i - 1]);
            at = hits[i - 1];
        }
        assert_int_equal(past_machine_resume(machine, MH_RESUME_CONTINUE, true).kind, MH_STOP_HISTORY_BEGIN);
        assert_int_equal(past_machine_now(machine), 0);
        past_machine_remove(machine);
    }
}

/* ---- long runs ---- */

/* mov ecx, count; loop: add rax, rcx; xor [0x4000], rax; dec ecx; jnz loop; hlt */
static const char counting[] = "\xb9\x00\x00\x10\x00"
                               "\x48\x01\xc8"
                               "\x48\x31\x04\x25\x00\x40\x00\x00"
                               "\xff\xc9"
                               "\x75\xf1"
                               "\xf4";

static void ten_thousand_steps_back_and_forth(void **state)
{
    (void)state;
    struct past_machine *machine = past_machine_make(counting, sizeof counting - 1, LIMIT);
    assert_int_equal(past_machine_resume(machine, MH_RESUME_CONTINUE, false).kind, MH_STOP_HALTED);
    const uint64_t end = past_machine_now(machine), hash = past_machine_hash(machine);
    assert_int_equal(end, 1 + 4 * 0x100000 + 1);
    for (unsigned i = 1; i <= 10000; i++) {
        assert_int_equal(past_machine_resume(machine, MH_RESUME_STEP, true).kind, MH_STOP_STEP);
        assert_int_equal(past_machine_now(machine), end - i);
    }
    assert_int_equal(past_machine_resume(machine, MH_RESUME_CONTINUE, false).kind, MH_STOP_HALTED);
    assert_int_equal(past_machine_now(machine), end);
    assert_true(past_machine_hash(machine) == hash);
    past_machine_remove(machine);
}

/* mov ecx, count; loop: mov edi, 0x10000; mov eax, ecx; push rcx; mov ecx, 0x3c000; rep stosq; pop rcx; dec ecx;
 * jnz loop; hlt: all memory is written all the time */
static const char filling[] = "\xb9\x30\x00\x00\x00"
                              "\xbf\x00\x00\x01\x00\x89\xc8\x51\xb9\x00\xc0\x03\x00\xf3\x48\xab\x59\xff\xc9\x75\xeb"
                              "\xf4";

static void a_small_limit_holds(void **state)
{
    (void)state;
    const uint64_t limit = 12 * MB;
    struct past_machine *machine = past_machine_make(filling, sizeof filling - 1, limit);
    assert_int_equal(past_machine_resume(machine, MH_RESUME_CONTINUE, false).kind, MH_STOP_HALTED);
    const struct timeline_info info = timeline_info(past_machine_timeline(machine));
    assert_true(info.bytes <= limit);
    assert_true(info.checkpoints >= 3);
    assert_int_equal(info.first, 0);
    assert_text_lacks(machine->said, "dropped"); /* what is between checkpoints is still there */
    const uint64_t end = past_machine_now(machine);
    uint64_t chance = 1;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t position = past_machine_next(&chance) % end;
        past_machine_go_to(machine, position);
        const uint64_t hash = past_machine_hash(machine);
        past_machine_go_to(machine, past_machine_next(&chance) % end);
        past_machine_go_to(machine, position);
        assert_true(past_machine_hash(machine) == hash);
        assert_true(timeline_info(past_machine_timeline(machine)).bytes <= limit);
    }
    past_machine_remove(machine);
}

/* No place is far behind a checkpoint: what a limit leaves is spread over the whole past. */
static void checkpoints_are_everywhere(void **state)
{
    (void)state;
    char longer[sizeof filling];
    memcpy(longer, filling, sizeof filling);
    longer[2] = 1; /* 0x130 rounds, of which six fit */
    struct past_machine *machine = past_machine_make(longer, sizeof longer - 1, 12 * MB);
    assert_int_equal(past_machine_resume(machine, MH_RESUME_CONTINUE, false).kind, MH_STOP_HALTED);
    const struct timeline *timeline = past_machine_timeline(machine);
    const struct timeline_info info = timeline_info(timeline);
    uint64_t longest = 0, from;
    for (uint64_t at = info.last; timeline_checkpoint_before(timeline, at, &from); at = from)
        longest = at - from > longest ? at - from : longest;
    assert_true(2 * longest < 5 * info.last / info.checkpoints);
    past_machine_remove(machine);
}

/* ---- a debugger's edits ---- */

/* Places before and behind an edit stay what they were. */
static void edits_in_the_present_are_part_of_the_past(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *machine = past_machine_make_random(seed, LIMIT);
        struct trace *trace = test_calloc(1, sizeof *trace);
        uint64_t chance = seed;
        note(trace, machine);
        for (unsigned i = 0; i < STEPS; i++) {
            past_machine_resume(machine, MH_RESUME_STEP, false);
            bool edits = past_machine_next(&chance) % 50 == 0;
            if (edits) {
                size_t done;
                uint8_t byte = (uint8_t)past_machine_next(&chance);
                assert_int_equal(machine->target.ops->write_memory(machine->target.ctx, 1, MH_SPACE_VIRTUAL,
                                                                   PAST_DATA + past_machine_next(&chance) % 64, &byte,
                                                                   1, &done),
                                 MH_OK);
            }
            note(trace, machine);
        }
        for (unsigned i = 0; i < VISITS; i++)
            visit(machine, trace, seed, &chance);
        test_free(trace);
        past_machine_remove(machine);
    }
}

/* ---- failures ---- */

static bool differ(void *ctx, const struct cpu_exit *exit, struct mh_event *file, bool *differs)
{
    (void)ctx, (void)exit, (void)file;
    *differs = true;
    return true;
}

/* The guest does not repeat itself: the seek fails, and the machine is in its present again, good to run on. */
static void a_failed_seek_leads_back_to_the_present(void **state)
{
    (void)state;
    /* in al, 0xe9; test al, al; jz ...: what was read decides what follows */
    static const char reading[] = "\xe4\xe9\x3c\x00\x74\x02\xe4\x11\xeb\xf6";
    struct past_machine *machine = past_machine_make(reading, sizeof reading - 1, LIMIT);
    for (unsigned i = 0; i < 200; i++)
        past_machine_resume(machine, MH_RESUME_STEP, false);
    const uint64_t end = past_machine_now(machine), hash = past_machine_hash(machine);
    struct mh_error err;
    const struct vm_port_hooks hooks = machine->vm->port_hooks;
    machine->vm->port_hooks.replay = differ;
    assert_int_not_equal(machine->target.ops->go_to(machine->target.ctx, 1, "150", &err), MH_OK);
    assert_text_has(err.text, "does not repeat");
    assert_int_equal(past_machine_now(machine), end);
    assert_true(past_machine_hash(machine) == hash);
    assert_true(machine->target.ops->vm_alive(machine->target.ctx, 1));
    machine->vm->port_hooks = hooks;
    past_machine_resume(machine, MH_RESUME_STEP, false);
    assert_int_equal(past_machine_now(machine), end + 1);
    past_machine_remove(machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_has_a_place_of_its_own),
        cmocka_unit_test(every_place_is_what_it_was),
        cmocka_unit_test(looking_back_is_not_visible),
        cmocka_unit_test(the_past_can_be_changed),
        cmocka_unit_test(a_continue_backwards_meets_what_a_run_met),
        cmocka_unit_test(ten_thousand_steps_back_and_forth),
        cmocka_unit_test(a_small_limit_holds),
        cmocka_unit_test(checkpoints_are_everywhere),
        cmocka_unit_test(edits_in_the_present_are_part_of_the_past),
        cmocka_unit_test(a_failed_seek_leads_back_to_the_present),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
