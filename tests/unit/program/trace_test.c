#include "observe/trace.h"

#include "collector.h"
#include "temp_dir.h"
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 22)

struct fixture {
    struct temp_dir dir;
    char path[PATH_MAX];
    struct trace trace;
    atomic_bool ending;
    struct collector *caught; /* what is said on stderr */
    int stderr_before;
    struct rlimit file_size;
    char *text;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    temp_path(&f->dir, "trace", f->path);
    f->caught = collector_make();
    f->stderr_before = dup(STDERR_FILENO);
    f->trace.fd = -1;
    f->text = test_malloc(FILE_MAX);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    *state = f;
    return getrlimit(RLIMIT_FSIZE, &f->file_size) != 0 || dup2(f->caught->write_fd, STDERR_FILENO) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    setrlimit(RLIMIT_FSIZE, &f->file_size);
    dup2(f->stderr_before, STDERR_FILENO);
    close(f->stderr_before);
    trace_close(&f->trace);
    collector_remove(f->caught);
    temp_dir_remove(&f->dir);
    test_free(f->text);
    test_free(f);
    return 0;
}

static void begin(struct fixture *f, const char *path)
{
    struct mh_error err;
    assert_int_equal(trace_open(&f->trace, path, &f->ending, &err), MH_OK);
}

/* Trace to a pipe. */
static void begin_on_pipe(struct fixture *f, int end[2])
{
    char path[64];
    assert_int_equal(pipe2(end, O_CLOEXEC), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", end[1]);
    begin(f, path);
}

/* What is in the file now. */
static const char *contents(struct fixture *f)
{
    long length = temp_read(&f->dir, "trace", f->text, FILE_MAX - 1);
    assert_true(length >= 0);
    f->text[length] = '\0';
    return f->text;
}

static void tell(struct fixture *f, const struct mh_event *event)
{
    trace_event(&f->trace, 1, f->trace.start + 1234567, event);
}

/* The one line that an event makes, after its time. */
static void becomes(struct fixture *f, const struct mh_event *event, const char *phase, const char *rest)
{
    char line[512];
    snprintf(line, sizeof line, "\n{\"ph\":\"%s\",\"pid\":1,\"tid\":1,\"ts\":1234.567%s},\n", phase, rest);
    begin(f, f->path);
    tell(f, event);
    trace_close(&f->trace);
    assert_text_has(contents(f), line);
}

static const struct mh_event one_byte = {.kind = MH_EVENT_PORT,
                                         .has_rip = true,
                                         .rip = 0x10,
                                         .port = 0xe9,
                                         .width = 1,
                                         .count = 1,
                                         .value = 0x41,
                                         .data = (const uint8_t *)"A"};

static void each_kind_of_event_is_a_line(void **state)
{
    struct fixture *f = *state;
    const struct mh_stop stop = {.kind = MH_STOP_EXCEPTION};
    const struct mh_event enter = {.kind = MH_EVENT_ENTER, .has_rip = true, .rip = 1};
    const struct mh_event leave = {.kind = MH_EVENT_EXIT, .reason = "hlt", .has_rip = true, .rip = 0xf4};
    const struct mh_event in = {.kind = MH_EVENT_PORT, .port = 0x60, .width = 4, .count = 2, .value = 7, .is_in = true};
    const struct mh_event file = {.kind = MH_EVENT_FILE, .op = 1, .name = "a\"\n", .result = -2};
    const struct mh_event fault = {.kind = MH_EVENT_FAULT, .vector = 14, .handler = 0x99};
    const struct mh_event cr3 = {.kind = MH_EVENT_CR3, .old = 0x1000, .now = 0x2000};
    const struct mh_event stopped = {.kind = MH_EVENT_STOP, .stop = &stop, .text = "page fault"};
    becomes(f, &enter, "E", "");
    becomes(f, &leave, "B", ",\"name\":\"hlt\",\"args\":{\"rip\":\"0xf4\"}");
    becomes(f, &one_byte, "i",
            ",\"name\":\"serial out\",\"args\":{\"rip\":\"0x10\",\"port\":\"0xe9\",\"width\":1,\"count\":1,"
            "\"value\":\"0x41\",\"bytes\":\"A\"}");
    becomes(f, &in, "i",
            ",\"name\":\"port in\",\"args\":{\"port\":\"0x60\",\"width\":4,\"count\":2,\"value\":\"0x7\"}");
    becomes(f, &file, "i", ",\"name\":\"file open\",\"args\":{\"file\":\"a\\u0022\\u000a\",\"result\":-2}");
    becomes(f, &fault, "i", ",\"name\":\"fault, handled\",\"args\":{\"vector\":14,\"handler\":\"0x99\"}");
    becomes(f, &cr3, "i", ",\"name\":\"cr3\",\"args\":{\"old\":\"0x1000\",\"new\":\"0x2000\"}");
    becomes(f, &stopped, "i", ",\"name\":\"stop: fault\",\"args\":{\"what\":\"page fault\"}");
}

static void packets_and_names_are_lines(void **state)
{
    struct fixture *f = *state;
    begin(f, f->path);
    trace_name_track(&f->trace, 3, "VM 3 (\"x\")");
    trace_command(&f->trace, 3, "vCont;c");
    trace_close(&f->trace);
    assert_text_has(contents(f), ",\"name\":\"thread_name\",\"args\":{\"name\":\"VM 3 (\\u0022x\\u0022)\"}},\n");
    assert_text_has(f->text, ",\"name\":\"gdb\",\"args\":{\"packet\":\"vCont;c\"}},\n");
    assert_memory_equal(f->text, "[\n{", 3);
    assert_string_equal(f->text + strlen(f->text) - 4, "}\n]\n");
}

static void the_end_fits_behind_a_full_buffer(void **state)
{
    struct fixture *f = *state;
    begin(f, f->path);
    memset(f->trace.buffer, ' ', TRACE_BUFFER_SIZE);
    f->trace.length = TRACE_BUFFER_SIZE;
    trace_close(&f->trace);
    assert_int_equal(strspn(contents(f), " "), TRACE_BUFFER_SIZE);
    assert_string_equal(f->text + TRACE_BUFFER_SIZE, "{\"ph\":\"M\",\"pid\":1,\"name\":\"end\",\"args\":{}}\n]\n");
}

static void the_longest_event_fits(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = test_malloc(4096);
    struct mh_event string = one_byte;
    memset(bytes, 0xff, 4096);
    string.count = 4096;
    string.data = bytes;
    string.rip = UINT64_MAX;
    begin(f, f->path);
    for (unsigned i = 0; i < 10; i++)
        tell(f, &string);
    tell(f, &one_byte);
    trace_close(&f->trace);
    test_free(bytes);
    assert_text_has(contents(f), "\\u00ff\"}},\n{\"ph\":\"i\"");
    assert_text_has(f->text, "\"bytes\":\"A\"}},\n");
}

static void much_goes_out_before_the_end_and_a_tick_lets_the_rest_out(void **state)
{
    struct fixture *f = *state;
    begin(f, f->path);
    assert_string_equal(contents(f), "");
    tell(f, &one_byte);
    trace_tick(&f->trace);
    assert_text_has(contents(f), "\"bytes\":\"A\"}},\n");
    size_t before = strlen(f->text);
    for (unsigned i = 0; i < 1000; i++)
        tell(f, &one_byte);
    assert_true(strlen(contents(f)) > before);
    assert_string_equal(f->text + strlen(f->text) - 4, "}},\n");
}

static void a_full_disk_ends_the_trace_with_a_whole_line(void **state)
{
    struct fixture *f = *state;
    const struct rlimit limit = {.rlim_cur = 100000, .rlim_max = f->file_size.rlim_max};
    begin(f, f->path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (unsigned i = 0; i < 2000; i++)
        tell(f, &one_byte);
    trace_tick(&f->trace);
    trace_close(&f->trace);
    assert_string_equal(collector_text(f->caught),
                        "mini_hypervisor: the trace cannot be written: File too large; it ends here\n");
    assert_true(strlen(contents(f)) > 10000);
    assert_string_equal(f->text + strlen(f->text) - 4, "}},\n");
}

static void a_device_that_takes_nothing_is_told_once(void **state)
{
    struct fixture *f = *state;
    begin(f, "/dev/full");
    trace_tick(&f->trace);
    for (unsigned i = 0; i < 2000; i++)
        tell(f, &one_byte);
    trace_close(&f->trace);
    assert_string_equal(collector_text(f->caught),
                        "mini_hypervisor: the trace cannot be written: No space left on device; it ends here\n");
}

static void nobody_waits_for_a_pipe_that_is_full_when_all_is_to_end(void **state)
{
    struct fixture *f = *state;
    int end[2];
    begin_on_pipe(f, end);
    atomic_store(&f->ending, true);
    for (unsigned i = 0; i < 2000; i++) {
        tell(f, &one_byte);
        trace_tick(&f->trace);
    }
    trace_close(&f->trace);
    assert_string_equal(collector_text(f->caught),
                        "mini_hypervisor: the trace cannot be written: it is not being read; it ends here\n");
    close(end[0]);
    close(end[1]);
}

static void ticks_feed_a_pipe(void **state)
{
    struct fixture *f = *state;
    int end[2];
    begin_on_pipe(f, end);
    for (unsigned i = 0; i < 100; i++)
        tell(f, &one_byte);
    trace_tick(&f->trace);
    assert_int_equal(f->trace.length, 0);
    assert_true(read(end[0], f->text, FILE_MAX) > 10000);
    assert_memory_equal(f->text, "[\n{", 3);
    close(end[0]);
    close(end[1]);
    trace_tick(&f->trace);
}

static void a_place_that_cannot_be_written_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct mh_error err;
    char path[PATH_MAX];
    assert_int_equal(trace_open(&f->trace, temp_path(&f->dir, "missing/trace", path), &f->ending, &err), MH_ERR_IO);
    assert_text_has(err.text, "missing/trace: cannot open it: No such file or directory");
    assert_int_equal(f->trace.fd, -1);
    tell(f, &one_byte);
    trace_command(&f->trace, 1, "?");
    trace_tick(&f->trace);
    trace_close(&f->trace);
}

static void a_fifo_nobody_reads_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct mh_error err;
    assert_int_equal(mkfifo(f->path, 0600), 0);
    alarm(10); /* or the test, should it wait */
    assert_int_equal(trace_open(&f->trace, f->path, &f->ending, &err), MH_ERR_IO);
    alarm(0);
    assert_text_has(err.text, "the FIFO has no reader");
    assert_int_equal(f->trace.fd, -1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_kind_of_event_is_a_line),
        TEST(packets_and_names_are_lines),
        TEST(the_end_fits_behind_a_full_buffer),
        TEST(the_longest_event_fits),
        TEST(much_goes_out_before_the_end_and_a_tick_lets_the_rest_out),
        TEST(a_full_disk_ends_the_trace_with_a_whole_line),
        TEST(a_device_that_takes_nothing_is_told_once),
        TEST(nobody_waits_for_a_pipe_that_is_full_when_all_is_to_end),
        TEST(ticks_feed_a_pipe),
        TEST(a_place_that_cannot_be_written_is_an_error),
        TEST(a_fifo_nobody_reads_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
