/* Recordings: what was recorded repeats, and a damaged file is refused or good up to its damage. */
#include "machine/run_loop.h"
#include "mh/recording.h"
#include "past_machine.h"
#include "replay/recording.h"
#include "unit.h"

#include "crc32.h"

#include <errno.h>
#include <stdlib.h>

#define INSTRUCTIONS 3000u
#define NO_HISTORY 0

struct file {
    uint8_t *bytes;
    size_t length;
    size_t room; /* 0: any */
};

static int write_file(void *ctx, const void *bytes, size_t length)
{
    struct file *file = ctx;
    if (file->room != 0 && file->length + length > file->room)
        return -ENOSPC;
    file->bytes = realloc(file->bytes, file->length + length);
    assert_non_null(file->bytes);
    memcpy(file->bytes + file->length, bytes, length);
    file->length += length;
    return 0;
}

static struct mh_stop run_until(struct past_machine *machine, uint64_t until)
{
    const struct cpu_request request = {.mode = CPU_UNTIL, .until = until};
    struct run_result result;
    run_loop(machine->vm, &request, &result);
    assert_true(result.count_reached || result.stop.kind == MH_STOP_HISTORY_END);
    return (struct mh_stop){.kind = result.count_reached ? MH_STOP_INTERRUPTED : result.stop.kind};
}

/* Record a random program, up to an end from outside. */
static struct past_machine *record_random(uint64_t seed, struct file *file)
{
    struct past_machine *machine = past_machine_make_random(seed, NO_HISTORY);
    *file = (struct file){.bytes = NULL};
    assert_int_equal(mh_vm_record(machine->vm, write_file, file, NULL), MH_OK);
    for (uint64_t at = 100; at <= INSTRUCTIONS; at += 100) {
        run_until(machine, at);
        machine->vm->record_hooks.flush(machine->vm->record_hooks.ctx);
    }
    assert_int_equal(mh_vm_record_end(machine->vm, &(struct mh_stop){.kind = MH_STOP_INTERRUPTED}, NULL), MH_OK);
    return machine;
}

/* A machine in the place of the recorded one; its image is the original's, handlers and all. */
static struct mh_stop replay(struct past_machine *machine, const struct mh_recording *recording, uint64_t until)
{
    assert_int_equal(mh_vm_replay(machine->vm, recording, NULL), MH_OK);
    uint64_t end = machine->vm->replay_hooks.until < until ? machine->vm->replay_hooks.until : until;
    const struct cpu_request request = {.mode = CPU_UNTIL, .until = end};
    struct run_result result;
    run_loop(machine->vm, &request, &result);
    if (result.count_reached)
        result.stop.kind = MH_STOP_HISTORY_END;
    return result.stop;
}

static void what_was_recorded_repeats(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct file file;
        struct mh_recording *recording;
        struct mh_error err;
        char text[700];
        struct past_machine *original = record_random(seed, &file);
        assert_int_equal(mh_recording_read(file.bytes, file.length, &recording, NULL), MH_OK);
        struct past_machine *again = past_machine_make_random(seed, NO_HISTORY);
        const struct mh_stop stop = replay(again, recording, UINT64_MAX);
        assert_int_equal(stop.kind, MH_STOP_HISTORY_END);
        if (mh_vm_replay_end(again->vm, &stop, text, sizeof text, &err) != MH_OK)
            fail_msg("program %llu: %s", (unsigned long long)seed, err.text);
        assert_true(past_machine_hash(again) == past_machine_hash(original));
        assert_int_equal(again->output_length, original->output_length);
        assert_memory_equal(again->output, original->output, original->output_length);
        assert_int_equal(again->input_taken, 0);
        past_machine_remove(again);
        past_machine_remove(original);
        mh_recording_close(recording);
        free(file.bytes);
    }
}

static void a_run_that_differs_is_told(void **state)
{
    (void)state;
    struct file file;
    struct mh_recording *recording;
    struct mh_error err;
    char text[700];
    struct past_machine *original = record_random(1, &file);
    assert_int_equal(mh_recording_read(file.bytes, file.length, &recording, NULL), MH_OK);
    struct past_machine *other = past_machine_make_random(2, NO_HISTORY);
    const struct mh_stop stop = replay(other, recording, UINT64_MAX);
    assert_int_equal(mh_vm_replay_end(other->vm, &stop, text, sizeof text, &err), MH_ERR_RANGE);
    assert_text_has(err.text, "not the run that was recorded: at instruction");
    past_machine_remove(other);
    past_machine_remove(original);
    mh_recording_close(recording);
    free(file.bytes);
}

/* What a killed program leaves is good up to there. */
static void every_truncation_is_refused_or_good(void **state)
{
    (void)state;
    struct file file;
    struct past_machine *original = record_random(3, &file);
    unsigned good = 0;
    for (size_t length = 0; length<file.length; length += length> 100 && length < file.length - 4000 ? 97 : 1) {
        struct mh_recording *recording;
        struct mh_error err;
        char text[700];
        uint8_t *copy = test_malloc(length + 1);
        memcpy(copy, file.bytes, length);
        if (mh_recording_read(copy, length, &recording, &err) == MH_OK) {
            assert_false(recording->has_end);
            if (good++ % 200 == 0) {
                struct past_machine *again = past_machine_make_random(3, NO_HISTORY);
                const struct mh_stop stop = replay(again, recording, 2 * INSTRUCTIONS);
                assert_int_equal(mh_vm_replay_end(again->vm, &stop, text, sizeof text, &err), MH_OK);
                assert_text_has(text, "has no end");
                past_machine_remove(again);
            }
            mh_recording_close(recording);
        } else {
            assert_true(err.status == MH_ERR_IMAGE);
        }
        test_free(copy);
    }
    assert_true(good > 1000);
    past_machine_remove(original);
    free(file.bytes);
}

/* Put right checksums back, so that what lies behind them is reached. */
static void seal(uint8_t *bytes, size_t length)
{
    struct recording_section section;
    for (size_t at = sizeof(struct recording_head); at + sizeof section <= length;
         at += sizeof section + section.length) {
        memcpy(&section, bytes + at, sizeof section);
        if (section.length > length - at - sizeof section)
            return;
        section.checksum = 0;
        memcpy(bytes + at, &section, sizeof section);
        section.checksum = crc32_more(0, bytes + at, sizeof section + section.length);
        memcpy(bytes + at, &section, sizeof section);
    }
}

static void damage(const struct file *file, size_t at, uint8_t bits, bool sealed)
{
    struct mh_recording *recording;
    uint8_t *copy = test_malloc(file->length);
    memcpy(copy, file->bytes, file->length);
    copy[at] ^= bits;
    if (sealed)
        seal(copy, file->length);
    if (mh_recording_read(copy, file->length, &recording, NULL) == MH_OK) {
        assert_true(sealed || recording->is_damaged);
        mh_recording_close(recording);
    }
    test_free(copy);
}

static void flipped_bits_do_no_harm(void **state)
{
    (void)state;
    struct file file;
    struct past_machine *original = record_random(4, &file);
    uint64_t chance = 4;
    for (unsigned i = 0; i < 3000; i++) {
        size_t at = past_machine_next(&chance) % file.length;
        damage(&file, at, (uint8_t)(1u << past_machine_next(&chance) % 8), i % 2 == 0);
    }
    for (size_t at = 0; at < 2500; at++)
        damage(&file, at, (uint8_t)(1u << at % 8), true);
    past_machine_remove(original);
    free(file.bytes);
}

static void a_full_disk_ends_the_recording_and_not_the_run(void **state)
{
    (void)state;
    struct file file = {.bytes = NULL};
    struct mh_recording *recording;
    struct mh_error err;
    struct past_machine *machine = past_machine_make_random(5, NO_HISTORY);
    assert_int_equal(mh_vm_record(machine->vm, write_file, &file, NULL), MH_OK);
    file.room = file.length + 10;
    run_until(machine, INSTRUCTIONS);
    assert_int_equal(mh_vm_record_end(machine->vm, &(struct mh_stop){.kind = MH_STOP_INTERRUPTED}, &err), MH_ERR_IO);
    assert_text_has(err.text, "No space left");
    assert_text_has(machine->files->notice, "the recording ends here");
    assert_int_equal(mh_recording_read(file.bytes, file.length, &recording, NULL), MH_OK);
    mh_recording_close(recording);
    past_machine_remove(machine);
    free(file.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_recorded_repeats),
        cmocka_unit_test(a_run_that_differs_is_told),
        cmocka_unit_test(every_truncation_is_refused_or_good),
        cmocka_unit_test(flipped_bits_do_no_harm),
        cmocka_unit_test(a_full_disk_ends_the_recording_and_not_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
