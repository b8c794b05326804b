/* Whole machines on the software processor: a few bytes of code, and where and why they stop. */
#include "debug/debug.h"
#include "machine/image.h"
#include "machine/machine.h"
#include "machine/vm.h"

#include "taken_text.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

struct fixture {
    struct mh_host *host;
    struct mh_image *image;
    struct mh_vm_config config;
    struct mh_vm *vm;
    struct mh_debug_target target;
    const struct mh_debug_target_ops *ops;
    struct mh_stop stop;
    struct mh_error err;
    char output[256];
    size_t length;
    const char *input;
    unsigned asked;
    atomic_bool is_over;
};

static int take(void *ctx, const uint8_t *bytes, size_t length)
{
    struct fixture *f = ctx;
    assert_true(f->length + length < sizeof f->output);
    memcpy(f->output + f->length, bytes, length);
    f->length += length;
    return 0;
}

static int give(void *ctx, const int *wake_fds, unsigned wake_count)
{
    struct fixture *f = ctx;
    (void)wake_fds, (void)wake_count;
    return *f->input == '\0' ? MH_SERIAL_INPUT_ENDED : *f->input++;
}

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    mh_kick_install();
    f->input = "";
    assert_int_equal(mh_host_open(MH_ACCEL_SOFT, &f->host, NULL), MH_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    mh_vm_destroy(f->vm);
    mh_image_free(f->image);
    mh_host_close(f->host);
    test_free(f);
    return 0;
}

static void boot_with_limit(struct fixture *f, uint64_t limit, const void *code, size_t length)
{
    assert_int_equal(image_from_bytes(code, length, &f->image, NULL), MH_OK);
    f->config = (struct mh_vm_config){.number = 1,
                                      .name = "test",
                                      .ram_size = 2 * MB,
                                      .page_size = 4096,
                                      .image = f->image,
                                      .serial = {.ctx = f, .write = take, .read = give},
                                      .files_parent = "/nonexistent",
                                      .files_name = "1-test",
                                      .limits = {.open_files = 1, .bytes_written = 1},
                                      .max_instructions = limit};
    assert_int_equal(mh_vm_create(f->host, &f->config, &f->vm, NULL), MH_OK);
}

static void boot(struct fixture *f, const void *code, size_t length)
{
    boot_with_limit(f, 0, code, length);
}

#define BOOT(f, code) boot(f, code, sizeof(code) - 1)

static void debug(struct fixture *f)
{
    assert_int_equal(mh_vm_debug(f->vm, &f->target, NULL), MH_OK);
    f->ops = f->target.ops;
}

static enum mh_stop_kind resume(struct fixture *f, struct mh_resume how)
{
    unsigned number;
    f->ops->resume(f->target.ctx, 1, &how);
    assert_int_equal(f->ops->wait(f->target.ctx, NULL, 0, &number, &f->stop), MH_WAIT_STOPPED);
    return f->stop.kind;
}

#define CONTINUE ((struct mh_resume){.kind = MH_RESUME_CONTINUE})
#define STEP ((struct mh_resume){.kind = MH_RESUME_STEP})
#define RANGE(from, to) ((struct mh_resume){.kind = MH_RESUME_RANGE, .start = from, .end = to})

static void set(struct fixture *f, enum mh_break_kind kind, uint64_t address, uint64_t length)
{
    assert_int_equal(f->ops->set_breakpoint(f->target.ctx, 1, MH_OWNER_DEBUGGER, kind, address, length, NULL), MH_OK);
}

static uint64_t reg(struct fixture *f, enum mh_gpr number)
{
    struct mh_x86_regs regs;
    assert_true(vm_read_regs(f->vm, MH_REGS_GENERAL, &regs));
    return regs.general.gpr[number];
}

/* mov $5, %ecx;  1: dec %ecx;  jnz 1b;  hlt */
#define COUNTDOWN "\xb9\x05\x00\x00\x00\xff\xc9\x75\xfc\xf4"
#define AT_DEC 5u
#define AT_JNZ 7u
#define AT_HLT 9u

/* ---- without a debugger ---- */

static void a_guest_echoes_and_halts(void **state)
{
    struct fixture *f = *state;
    f->input = "k";
    BOOT(f, "\xe4\xe9\xe6\xe9\xe6\xe9\xf4"); /* in $0xe9, %al; out %al, $0xe9; twice; hlt */
    mh_vm_run(f->vm, &f->stop);
    assert_int_equal(f->stop.kind, MH_STOP_HALTED);
    assert_string_equal(f->output, "kk");
    assert_int_equal(vm_rip(f->vm), 7);
    assert_string_equal(f->vm->cpu->ops->name, "soft");
}

static void faults_without_a_handler_stop_at_the_instruction(void **state)
{
    struct fixture *f = *state;
    BOOT(f, "\x90\x0f\x0b"); /* nop; ud2 */
    mh_vm_run(f->vm, &f->stop);
    assert_int_equal(f->stop.kind, MH_STOP_EXCEPTION);
    assert_int_equal(f->stop.vector, 6);
    assert_int_equal(vm_rip(f->vm), 1);
    assert_int_equal(reg(f, MH_RSP), 2 * MB - 8);
}

static void a_page_fault_comes_with_address_and_code(void **state)
{
    struct fixture *f = *state;
    BOOT(f, "\xc6\x04\x25\x00\x00\x40\x00\x01"); /* movb $1, 0x400000 */
    mh_vm_run(f->vm, &f->stop);
    assert_int_equal(f->stop.kind, MH_STOP_EXCEPTION);
    assert_int_equal(f->stop.vector, 14);
    assert_int_equal(f->stop.cr2, 0x400000);
    assert_int_equal(f->stop.error_code, 2);
}

static void an_entry_point_that_returns_is_told(void **state)
{
    struct fixture *f = *state;
    BOOT(f, "\xc3");
    mh_vm_run(f->vm, &f->stop);
    assert_int_equal(f->stop.kind, MH_STOP_RETURNED);
}

static void *request_stop(void *ctx)
{
    struct fixture *f = ctx;
    while (!atomic_load(&f->is_over)) {
        mh_vm_request_stop(f->vm);
        sched_yield();
    }
    return NULL;
}

static void a_guest_that_loops_can_be_stopped(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    BOOT(f, "\xeb\xfe"); /* 1: jmp 1b */
    assert_int_equal(pthread_create(&thread, NULL, request_stop, f), 0);
    mh_vm_run(f->vm, &f->stop);
    atomic_store(&f->is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(f->stop.kind, MH_STOP_INTERRUPTED);
    assert_int_equal(vm_rip(f->vm), 0);
}

/* Run `code` with a limit of its own; whether the limit ended it. */
static bool reaches_limit(struct fixture *f, uint64_t limit, const void *code, size_t length)
{
    mh_vm_destroy(f->vm);
    mh_image_free(f->image);
    f->vm = NULL;
    boot_with_limit(f, limit, code, length);
    mh_vm_run(f->vm, &f->stop);
    return f->stop.at_limit;
}

static void a_limit_of_instructions_is_exact(void **state)
{
    static const uint8_t three[] = {0x90, 0x90, 0xf4};      /* nop; nop; hlt */
    static const uint8_t loop[] = {0xff, 0xc0, 0xeb, 0xfc}; /* 1: inc eax; jmp 1b */
    struct fixture *f = *state;
    assert_true(reaches_limit(f, 2, three, sizeof three));
    assert_int_equal(f->stop.kind, MH_STOP_INTERRUPTED);
    assert_int_equal(vm_rip(f->vm), 2);
    assert_false(reaches_limit(f, 3, three, sizeof three));
    assert_int_equal(f->stop.kind, MH_STOP_HALTED);
    assert_true(reaches_limit(f, 1000001, loop, sizeof loop));
    assert_int_equal(vm_rip(f->vm), 2);
    assert_true(reaches_limit(f, 1000002, loop, sizeof loop));
    assert_int_equal(vm_rip(f->vm), 0);
}

static void a_fault_right_at_the_limit_is_a_fault(void **state)
{
    static const uint8_t code[] = {0x90, 0x0f, 0x0b}; /* nop; ud2 */
    struct fixture *f = *state;
    assert_true(reaches_limit(f, 1, code, sizeof code));
    for (uint64_t limit = 2; limit < 5; limit++) {
        assert_false(reaches_limit(f, limit, code, sizeof code));
        assert_int_equal(f->stop.kind, MH_STOP_EXCEPTION);
        assert_int_equal(vm_rip(f->vm), 1);
    }
}

/* ---- with one ---- */

static void a_breakpoint_stops_before_its_instruction_each_time(void **state)
{
    struct fixture *f = *state;
    BOOT(f, COUNTDOWN);
    debug(f);
    set(f, MH_BREAK_SOFTWARE, AT_JNZ, 1);
    for (uint64_t left = 4; left > 0; left--) {
        assert_int_equal(resume(f, CONTINUE), MH_STOP_BREAKPOINT);
        assert_int_equal(vm_rip(f->vm), AT_JNZ);
        assert_int_equal(reg(f, MH_RCX), left);
        assert_int_equal(resume(f, CONTINUE), MH_STOP_BREAKPOINT); /* nothing is executed */
        assert_int_equal(reg(f, MH_RCX), left);
        assert_int_equal(resume(f, STEP), MH_STOP_STEP);
        assert_int_equal(vm_rip(f->vm), AT_DEC);
    }
    assert_int_equal(resume(f, CONTINUE), MH_STOP_BREAKPOINT);
    assert_int_equal(resume(f, STEP), MH_STOP_STEP);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_HALTED);
    assert_int_equal(f->vm->ram.host[AT_JNZ], 0x75);
}

static bool is_last(void *ctx, unsigned vm, struct mh_stop *stop)
{
    struct fixture *f = ctx;
    (void)vm, (void)stop;
    f->asked++;
    return reg(f, MH_RCX) == 1;
}

static void a_condition_is_asked_once_for_each_arrival(void **state)
{
    struct fixture *f = *state;
    BOOT(f, COUNTDOWN);
    debug(f);
    set(f, MH_BREAK_SOFTWARE, AT_JNZ, 1);
    assert_int_equal(resume(f, (struct mh_resume){.kind = MH_RESUME_CONTINUE, .filter = is_last, .filter_ctx = f}),
                     MH_STOP_BREAKPOINT);
    assert_int_equal(f->asked, 4);
    assert_int_equal(reg(f, MH_RCX), 1);
}

static void a_range_steps_over_the_loop(void **state)
{
    struct fixture *f = *state;
    BOOT(f, COUNTDOWN);
    debug(f);
    assert_int_equal(resume(f, RANGE(0, AT_HLT)), MH_STOP_STEP);
    assert_int_equal(vm_rip(f->vm), AT_HLT);
    assert_int_equal(reg(f, MH_RCX), 0);
}

static void a_breakpoint_within_a_range_stops_it(void **state)
{
    struct fixture *f = *state;
    BOOT(f, COUNTDOWN);
    debug(f);
    set(f, MH_BREAK_HARDWARE, AT_JNZ, 1);
    assert_int_equal(resume(f, RANGE(0, AT_HLT)), MH_STOP_HW_BREAKPOINT);
    assert_int_equal(reg(f, MH_RCX), 4);
    assert_int_equal(resume(f, RANGE(0, AT_HLT)), MH_STOP_HW_BREAKPOINT);
    assert_int_equal(reg(f, MH_RCX), 3);
}

/* mov $1, 0x5000 (four bytes); mov 0x5000, %eax; out %al, $0xe9; hlt */
#define STORE_AND_LOAD                                                                                                 \
    "\xc7\x04\x25\x00\x50\x00\x00\x01\x00\x00\x00"                                                                     \
    "\x8b\x04\x25\x00\x50\x00\x00"                                                                                     \
    "\xe6\xe9\xf4"
#define BEHIND_STORE 11u
#define BEHIND_LOAD 18u

static void watchpoints_stop_behind_the_access(void **state)
{
    struct fixture *f = *state;
    BOOT(f, STORE_AND_LOAD);
    debug(f);
    set(f, MH_BREAK_WATCH_WRITE, 0x5002, 1);
    set(f, MH_BREAK_WATCH_READ, 0x5000, 4);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_WATCHPOINT);
    assert_int_equal(f->stop.watch, MH_WATCH_WRITE);
    assert_int_equal(f->stop.watch_address, 0x5002);
    assert_int_equal(vm_rip(f->vm), BEHIND_STORE);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_WATCHPOINT);
    assert_int_equal(f->stop.watch, MH_WATCH_READ);
    assert_int_equal(vm_rip(f->vm), BEHIND_LOAD);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_HALTED);
}

static bool refuse_watchpoints(void *ctx, unsigned vm, struct mh_stop *stop)
{
    (void)ctx, (void)vm;
    return stop->kind != MH_STOP_WATCHPOINT;
}

static void a_breakpoint_behind_an_unwanted_watchpoint_is_met(void **state)
{
    struct fixture *f = *state;
    const struct mh_resume go = {.kind = MH_RESUME_CONTINUE, .filter = refuse_watchpoints};
    const struct mh_resume one = {.kind = MH_RESUME_STEP, .filter = refuse_watchpoints};
    BOOT(f, STORE_AND_LOAD);
    debug(f);
    set(f, MH_BREAK_WATCH_WRITE, 0x5000, 4);
    set(f, MH_BREAK_SOFTWARE, BEHIND_STORE, 1);
    assert_int_equal(resume(f, go), MH_STOP_BREAKPOINT);
    assert_int_equal(vm_rip(f->vm), BEHIND_STORE);
    assert_int_equal(f->ops->restart(f->target.ctx, 1, NULL), MH_OK);
    assert_int_equal(resume(f, one), MH_STOP_STEP);
    assert_int_equal(vm_rip(f->vm), BEHIND_STORE);
}

static void steps_go_over_port_accesses_one_by_one(void **state)
{
    struct fixture *f = *state;
    f->input = "k";
    BOOT(f, "\xe4\xe9\xe6\xe9\xf4");
    debug(f);
    assert_int_equal(resume(f, STEP), MH_STOP_STEP);
    assert_int_equal(vm_rip(f->vm), 2);
    assert_int_equal(reg(f, MH_RAX) & 0xff, 'k');
    assert_int_equal(resume(f, STEP), MH_STOP_STEP);
    assert_int_equal(vm_rip(f->vm), 4);
    assert_string_equal(f->output, "k");
    assert_int_equal(resume(f, STEP), MH_STOP_HALTED);
}

static void what_a_debugger_writes_is_what_is_executed(void **state)
{
    struct fixture *f = *state;
    size_t done;
    BOOT(f, COUNTDOWN);
    debug(f);
    set(f, MH_BREAK_SOFTWARE, AT_JNZ, 1);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_BREAKPOINT);
    assert_int_equal(f->ops->write_memory(f->target.ctx, 1, MH_SPACE_VIRTUAL, AT_JNZ, "\x90\x90", 2, &done), MH_OK);
    f->ops->clear_all_breakpoints(f->target.ctx, 1);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_HALTED);
    assert_int_equal(reg(f, MH_RCX), 4);
}

static void a_snapshot_brings_back_registers_memory_and_input(void **state)
{
    struct fixture *f = *state;
    struct taken_text text = {.length = 0};
    f->input = "ab";
    /* in $0xe9, %al; mov %al, 0x5000; in $0xe9, %al; mov %al, 0x5001; hlt */
    BOOT(f, "\xe4\xe9\x88\x04\x25\x00\x50\x00\x00\xe4\xe9\x88\x04\x25\x01\x50\x00\x00\xf4");
    debug(f);
    set(f, MH_BREAK_SOFTWARE, 9, 1);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_BREAKPOINT);
    assert_int_equal(f->ops->monitor(f->target.ctx, 1, "snapshot here", false, take_text, &text, &f->err), MH_OK);
    f->ops->clear_all_breakpoints(f->target.ctx, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(resume(f, CONTINUE), MH_STOP_HALTED);
        assert_memory_equal(f->vm->ram.host + 0x5000, "ab", 2);
        assert_int_equal(f->ops->restore(f->target.ctx, 1, "here", &f->err), MH_OK);
        assert_int_equal(vm_rip(f->vm), 9);
        assert_memory_equal(f->vm->ram.host + 0x5000, "a\0", 2);
    }
    assert_int_equal(f->ops->restart(f->target.ctx, 1, &f->err), MH_OK);
    assert_int_equal(vm_rip(f->vm), 0);
    assert_int_equal(f->vm->ram.host[0x5000], 0);
}

/* mov %cr3, %rax; mov %rax, %cr3; hlt */
static void a_write_to_cr3_is_caught(void **state)
{
    struct fixture *f = *state;
    struct taken_text text = {.length = 0};
    BOOT(f, "\x0f\x20\xd8\x0f\x22\xd8\xf4");
    debug(f);
    assert_int_equal(f->ops->monitor(f->target.ctx, 1, "catch cr3", false, take_text, &text, &f->err), MH_OK);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_CAUGHT);
    assert_text_has(f->stop.text, "catchpoint 1");
    assert_int_equal(vm_rip(f->vm), 6);
    assert_int_equal(resume(f, CONTINUE), MH_STOP_HALTED);
}

/* ---- a debugger that wants to get through ---- */

static bool refuse_all(void *ctx, unsigned vm, struct mh_stop *stop)
{
    struct fixture *f = ctx;
    (void)vm, (void)stop;
    f->asked++;
    return false;
}

struct caller {
    struct fixture *f;
    int fd;
};

static void *make_input_and_kick(void *ctx)
{
    struct caller *caller = ctx;
    assert_int_equal(write(caller->fd, "x", 1), 1);
    while (!atomic_load(&caller->f->is_over)) {
        mh_vm_kick(caller->f->vm);
        sched_yield();
    }
    return NULL;
}

/* A breakpoint at every instruction of an endless loop, each time with a condition that is false. */
static void input_gets_through_where_every_stop_is_unwanted(void **state)
{
    struct fixture *f = *state;
    const struct mh_resume how = {.kind = MH_RESUME_CONTINUE, .filter = refuse_all, .filter_ctx = f};
    pthread_t thread;
    unsigned number;
    int fds[2];
    BOOT(f, "\xeb\xfe");
    debug(f);
    assert_int_equal(pipe(fds), 0);
    struct caller caller = {f, fds[1]};
    set(f, MH_BREAK_SOFTWARE, 0, 1);
    f->ops->resume(f->target.ctx, 1, &how);
    assert_int_equal(pthread_create(&thread, NULL, make_input_and_kick, &caller), 0);
    assert_int_equal(f->ops->wait(f->target.ctx, fds, 1, &number, &f->stop), MH_WAIT_INPUT);
    atomic_store(&f->is_over, true);
    pthread_join(thread, NULL);
    close(fds[0]);
    close(fds[1]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_echoes_and_halts),
        TEST(faults_without_a_handler_stop_at_the_instruction),
        TEST(a_page_fault_comes_with_address_and_code),
        TEST(an_entry_point_that_returns_is_told),
        TEST(a_guest_that_loops_can_be_stopped),
        TEST(a_limit_of_instructions_is_exact),
        TEST(a_fault_right_at_the_limit_is_a_fault),
        TEST(a_breakpoint_stops_before_its_instruction_each_time),
        TEST(a_condition_is_asked_once_for_each_arrival),
        TEST(a_range_steps_over_the_loop),
        TEST(a_breakpoint_within_a_range_stops_it),
        TEST(watchpoints_stop_behind_the_access),
        TEST(a_breakpoint_behind_an_unwanted_watchpoint_is_met),
        TEST(steps_go_over_port_accesses_one_by_one),
        TEST(what_a_debugger_writes_is_what_is_executed),
        TEST(a_snapshot_brings_back_registers_memory_and_input),
        TEST(a_write_to_cr3_is_caught),
        TEST(input_gets_through_where_every_stop_is_unwanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
