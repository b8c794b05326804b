/* A machine that nobody counted has the past that it would have had if somebody had. */
#include "past_machine.h"
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#define PROGRAMS 24u
#define RUNS 12u
#define RUN_MAX 400u
#define LIMIT (64 * MB)

static struct past_machine *make_random(uint64_t seed, bool counts)
{
    uint8_t *image = test_calloc(1, PAST_IMAGE);
    past_machine_program(seed, false, image);
    struct past_machine *machine =
        counts ? past_machine_make(image, PAST_IMAGE, LIMIT) : past_machine_make_uncounted(image, PAST_IMAGE, LIMIT);
    test_free(image);
    return machine;
}

static bool is_located(const struct past_machine *machine)
{
    return timeline_is_located(past_machine_timeline(machine));
}

/* Run where nobody counts, for so many instructions. */
static void run_uncounted(struct past_machine *machine, uint64_t instructions)
{
    machine->uncounted.runs_for = instructions;
    past_machine_resume(machine, MH_RESUME_CONTINUE, false);
    assert_false(is_located(machine));
}

static void say(void *ctx, const char *text, size_t length)
{
    struct past_machine *machine = ctx;
    snprintf(machine->said, sizeof machine->said, "%.*s", (int)length, text);
}

static void monitor(struct past_machine *machine, const char *command)
{
    struct mh_error err;
    if (machine->target.ops->monitor(machine->target.ctx, 1, command, false, say, machine, &err) != MH_OK)
        fail_msg("%s: %s", command, err.text);
}

static void locate(struct past_machine *machine)
{
    monitor(machine, "when");
    if (!is_located(machine))
        fail_msg("%s", machine->said);
}

/* Let a machine that is counted step to `position`. */
static void step_to(struct past_machine *expected, uint64_t position)
{
    while (past_machine_now(expected) < position)
        past_machine_resume(expected, MH_RESUME_STEP, false);
    assert_int_equal(past_machine_now(expected), position);
}

static void assert_same(struct past_machine *machine, struct past_machine *expected, uint64_t seed)
{
    if (past_machine_hash(machine) != past_machine_hash(expected))
        fail_msg("program %llu: at %llu another state, rip 0x%llx", (unsigned long long)seed,
                 (unsigned long long)past_machine_now(machine), (unsigned long long)vm_rip(machine->vm));
}

/* Random runs; steps and jumps back and forth between some of them. */
static void its_past_is_that_of_a_machine_that_is_counted(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *machine = make_random(seed, false), *expected = make_random(seed, true);
        uint64_t chance = seed, position = 0;
        for (unsigned i = 0; i < RUNS; i++) {
            run_uncounted(machine, 1 + past_machine_next(&chance) % RUN_MAX);
            if (past_machine_next(&chance) % 3 != 0)
                continue;
            locate(machine);
            position = past_machine_now(machine);
            past_machine_go_to(expected, timeline_info(past_machine_timeline(expected)).last);
            step_to(expected, position);
            assert_same(machine, expected, seed);
            for (unsigned visits = 0; visits < 4; visits++) {
                const uint64_t place = past_machine_next(&chance) % (position + 1);
                past_machine_go_to(machine, place);
                past_machine_go_to(expected, place);
                assert_same(machine, expected, seed);
                if (place > 0 && past_machine_resume(machine, MH_RESUME_STEP, true).kind == MH_STOP_STEP) {
                    past_machine_resume(expected, MH_RESUME_STEP, true);
                    assert_same(machine, expected, seed);
                }
            }
            past_machine_go_to(machine, position);
        }
        assert_int_equal(machine->uncounted.ran > 0, true);
        past_machine_remove(expected);
        past_machine_remove(machine);
    }
}

/* What the outside sees is what it would have seen. */
static void looking_back_is_not_visible(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *machine = make_random(seed, false), *expected = make_random(seed, true);
        uint64_t chance = seed;
        for (unsigned i = 0; i < RUNS; i++) {
            run_uncounted(machine, 1 + past_machine_next(&chance) % RUN_MAX);
            if (past_machine_next(&chance) % 2 == 0)
                past_machine_resume(machine, MH_RESUME_CONTINUE, true);
            if (!is_located(machine))
                continue;
            past_machine_go_to(machine, timeline_info(past_machine_timeline(machine)).last);
        }
        locate(machine);
        step_to(expected, past_machine_now(machine));
        assert_same(machine, expected, seed);
        assert_int_equal(machine->input_taken, expected->input_taken);
        assert_int_equal(machine->output_length, expected->output_length);
        assert_memory_equal(machine->output, expected->output, expected->output_length);
        past_machine_remove(expected);
        past_machine_remove(machine);
    }
}

static void edit(struct past_machine *machine, uint64_t *chance)
{
    const struct mh_debug_target *target = &machine->target;
    const uint8_t byte = (uint8_t)past_machine_next(chance);
    struct mh_x86_regs regs;
    size_t done;
    assert_int_equal(target->ops->write_memory(target->ctx, 1, MH_SPACE_VIRTUAL,
                                               PAST_DATA + past_machine_next(chance) % 64, &byte, 1, &done),
                     MH_OK);
    assert_int_equal(target->ops->read_regs(target->ctx, 1, MH_REGS_GENERAL, &regs, NULL), MH_OK);
    regs.general.gpr[MH_RBX] += past_machine_next(chance);
    assert_int_equal(target->ops->write_regs(target->ctx, 1, MH_REGS_GENERAL, &regs, NULL), MH_OK);
}

/* A debugger's edits, and places that got names, are where they were. */
static void edits_and_snapshots_have_places(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        struct past_machine *machine = make_random(seed, false);
        uint64_t chance = seed, hash[RUNS];
        char command[32];
        for (unsigned i = 0; i < RUNS; i++) {
            run_uncounted(machine, 1 + past_machine_next(&chance) % RUN_MAX);
            if (past_machine_next(&chance) % 2 == 0)
                edit(machine, &chance);
            snprintf(command, sizeof command, "snapshot s%u", i);
            monitor(machine, command);
            hash[i] = past_machine_hash(machine);
            if (past_machine_next(&chance) % 4 == 0)
                locate(machine);
        }
        for (unsigned i = 0; i < 4 * RUNS; i++) {
            const unsigned which = (unsigned)(past_machine_next(&chance) % RUNS);
            struct mh_error err;
            snprintf(command, sizeof command, "s%u", which);
            if (machine->target.ops->restore(machine->target.ctx, 1, command, &err) != MH_OK)
                fail_msg("program %llu: %s: %s", (unsigned long long)seed, command, err.text);
            if (past_machine_hash(machine) != hash[which])
                fail_msg("program %llu: %s is another state", (unsigned long long)seed, command);
            if (past_machine_next(&chance) % 2 == 0) {
                past_machine_resume(machine, MH_RESUME_STEP, true);
                past_machine_resume(machine, MH_RESUME_STEP, false);
                if (past_machine_hash(machine) != hash[which])
                    fail_msg("program %llu: %s is another state after a step", (unsigned long long)seed, command);
            }
        }
        past_machine_remove(machine);
    }
}

#define LONG_RUN 96000u

/* A change of the past, far from the present: files and input are those of then. */
static void change_the_past(uint64_t seed, bool counts)
{
    struct past_machine *machine = make_random(seed, counts), *expected = make_random(seed, true);
    uint64_t chance = seed;
    if (counts)
        step_to(machine, LONG_RUN);
    else
        run_uncounted(machine, LONG_RUN);
    locate(machine);
    const uint64_t position = past_machine_next(&chance) % past_machine_now(machine);
    uint64_t same = chance;
    past_machine_go_to(machine, position);
    step_to(expected, position);
    const size_t printed = machine->output_length, before = expected->output_length;
    edit(machine, &chance);
    edit(expected, &same);
    assert_same(machine, expected, seed);
    if (counts)
        step_to(machine, position + 1000);
    else
        run_uncounted(machine, 1000);
    locate(machine);
    step_to(expected, past_machine_now(machine));
    assert_same(machine, expected, seed);
    assert_int_equal(machine->output_length - printed, expected->output_length - before);
    assert_memory_equal(machine->output + printed, expected->output + before, expected->output_length - before);
    past_machine_remove(expected);
    past_machine_remove(machine);
}

static void the_far_past_can_be_changed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS / 2; seed++) {
        change_the_past(seed, true);
        change_the_past(seed, false);
    }
}

/* ---- what cannot be repeated ---- */

static void assert_refused(struct past_machine *machine, const char *why)
{
    const uint64_t hash = past_machine_hash(machine);
    assert_int_equal(past_machine_resume(machine, MH_RESUME_STEP, true).kind, MH_STOP_HISTORY_BEGIN);
    assert_text_has(machine->said, "cannot run backwards");
    assert_text_has(machine->said, why);
    machine->said[0] = '\0';
    assert_int_equal(past_machine_resume(machine, MH_RESUME_CONTINUE, true).kind, MH_STOP_HISTORY_BEGIN);
    assert_text_has(machine->said, why);
    struct mh_error err;
    assert_int_equal(machine->target.ops->go_to(machine->target.ctx, 1, "start", &err), MH_ERR_RANGE);
    assert_text_has(err.text, why);
    monitor(machine, "history");
    assert_text_has(machine->said, why);
    assert_true(past_machine_hash(machine) == hash);
}

/* rdtsc; xor eax, eax; xor edx, edx; loop: in al, 0xe9; out 0xe9, al; jmp loop: nothing remains of what was read */
static const char reading_clock[] = "\x90\x90\x0f\x31\x31\xc0\x31\xd2\xe4\xe9\xe6\xe9\xeb\xfa";

static void a_clock_cannot_be_read_again(void **state)
{
    (void)state;
    struct past_machine *machine = past_machine_make_uncounted(reading_clock, sizeof reading_clock - 1, LIMIT);
    run_uncounted(machine, 2);
    past_machine_resume(machine, MH_RESUME_STEP, true); /* it has not been read yet */
    assert_int_equal(past_machine_now(machine), 1);
    past_machine_go_to(machine, 2);
    run_uncounted(machine, 30);
    monitor(machine, "snapshot here");
    assert_refused(machine, "at instruction 2, the guest reads the time stamp counter");
    const uint64_t hash = past_machine_hash(machine);
    const size_t printed = machine->output_length;
    run_uncounted(machine, 30); /* it still runs forwards, and reads its input in order */
    assert_int_equal(machine->output_length, printed + 10);
    for (unsigned i = 0; i < machine->output_length; i++)
        assert_int_equal(machine->output[i], past_machine_input(i));
    assert_refused(machine, "at instruction 2, the guest reads the time stamp counter");
    struct mh_error err; /* a snapshot has its state, if not its place */
    assert_int_equal(machine->target.ops->restore(machine->target.ctx, 1, "here", &err), MH_OK);
    assert_true(past_machine_hash(machine) == hash);
    run_uncounted(machine, 30); /* and a history begins there */
    assert_int_equal(past_machine_resume(machine, MH_RESUME_CONTINUE, true).kind, MH_STOP_HISTORY_BEGIN);
    assert_true(is_located(machine));
    assert_true(past_machine_hash(machine) == hash);
    past_machine_remove(machine);
}

/* What software read before KVM ran is read again. */
static void a_clock_read_in_software_can_be_read_again(void **state)
{
    (void)state;
    struct past_machine *machine = past_machine_make_uncounted(reading_clock, sizeof reading_clock - 1, LIMIT);
    for (unsigned i = 0; i < 3; i++)
        past_machine_resume(machine, MH_RESUME_STEP, false);
    const uint64_t hash = past_machine_hash(machine);
    run_uncounted(machine, 30);
    locate(machine);
    assert_int_equal(past_machine_now(machine), 33);
    past_machine_go_to(machine, 3);
    assert_true(past_machine_hash(machine) == hash);
    past_machine_remove(machine);
}

/* Another result than software has. */
static void wear_out(struct cpu *cpu)
{
    struct mh_x86_regs regs;
    assert_int_equal(cpu->ops->read_regs(cpu, MH_REGS_GENERAL, &regs, NULL), MH_OK);
    regs.general.gpr[MH_RBX]++;
    assert_int_equal(cpu->ops->write_regs(cpu, MH_REGS_GENERAL, &regs, NULL), MH_OK);
}

static void registers_at_an_access_tell(void **state)
{
    (void)state;
    struct past_machine *machine = past_machine_make_uncounted(reading_clock + 4, sizeof reading_clock - 5, LIMIT);
    run_uncounted(machine, 30);
    locate(machine);
    machine->uncounted.before = wear_out;
    run_uncounted(machine, 30);
    assert_refused(machine, "an access to a port is made with other registers");
    machine->uncounted.before = NULL;
    run_uncounted(machine, 30);
    past_machine_remove(machine);
}

/* inc rbx; out 0x10, al; hlt; jmp to the hlt */
static const char halting[] = "\x48\xff\xc3\xe6\xe9\xf4\xeb\xfd";

static void a_state_that_never_comes_is_not_found(void **state)
{
    (void)state;
    struct past_machine *machine = past_machine_make_uncounted(halting, sizeof halting - 1, LIMIT);
    machine->uncounted.before = wear_out;
    assert_int_equal(past_machine_resume(machine, MH_RESUME_CONTINUE, false).kind, MH_STOP_HALTED);
    assert_refused(machine, "at instruction 5, the guest stopped: halted");
    past_machine_remove(machine);
}

/* ---- breaking off ---- */

/* mov ecx, 1000000000; loop: dec ecx; jnz loop; hlt */
static const char counting[] = "\xb9\x00\xca\x9a\x3b\xff\xc9\x75\xfc\xf4";

static void input_breaks_a_search_off(void **state)
{
    (void)state;
    struct past_machine *machine = past_machine_make_uncounted(counting, sizeof counting - 1, LIMIT);
    const struct mh_debug_target *target = &machine->target;
    const struct mh_resume back = {.kind = MH_RESUME_STEP, .backwards = true};
    int fds[2];
    struct mh_stop stop;
    unsigned number;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    run_uncounted(machine, 10000);
    edit(machine, &(uint64_t){1});
    run_uncounted(machine, 1000000);
    const uint64_t hash = past_machine_hash(machine);
    target->ops->resume(target->ctx, 1, &back);
    assert_int_equal(target->ops->wait(target->ctx, fds, 1, &number, &stop), MH_WAIT_INPUT);
    target->ops->interrupt(target->ctx, 1);
    assert_int_equal(target->ops->wait(target->ctx, fds, 1, &number, &stop), MH_WAIT_STOPPED);
    assert_int_equal(stop.kind, MH_STOP_INTERRUPTED);
    assert_false(is_located(machine));
    assert_true(past_machine_hash(machine) == hash);
    assert_int_equal(past_machine_resume(machine, MH_RESUME_STEP, true).kind, MH_STOP_STEP);
    assert_int_equal(past_machine_now(machine), 1010000 - 1);
    past_machine_go_to(machine, 10000);
    past_machine_resume(machine, MH_RESUME_STEP, true);
    assert_int_equal(past_machine_now(machine), 10000 - 1);
    close(fds[0]);
    close(fds[1]);
    past_machine_remove(machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_past_is_that_of_a_machine_that_is_counted),
        cmocka_unit_test(looking_back_is_not_visible),
        cmocka_unit_test(edits_and_snapshots_have_places),
        cmocka_unit_test(the_far_past_can_be_changed),
        cmocka_unit_test(a_clock_cannot_be_read_again),
        cmocka_unit_test(a_clock_read_in_software_can_be_read_again),
        cmocka_unit_test(registers_at_an_access_tell),
        cmocka_unit_test(a_state_that_never_comes_is_not_found),
        cmocka_unit_test(input_breaks_a_search_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
