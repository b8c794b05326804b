#include "console/serial_ends.h"

#include "collector.h"
#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* What a machine's end is opened with. */
struct fixture {
    struct temp_dir dir;
    char path[PATH_MAX];
    struct options options;
    struct collector *out;
    struct console console;
    int input[2];
    struct terminal terminal;
    struct serial_end end;
    bool is_open;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->dir = temp_dir_make();
    f->out = collector_make();
    f->options = (struct options){.console = 1};
    assert_int_equal(pipe2(f->input, O_CLOEXEC), 0);
    console_init(&f->console, f->out->write_fd, true, false, NULL);
    terminal_init(&f->terminal, f->input[0]);
    *state = f;
    return 0;
}

static void close_end(struct fixture *f)
{
    if (f->is_open)
        serial_end_close(&f->end);
    f->is_open = false;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    regain_root(NULL);
    close_end(f);
    console_destroy(&f->console);
    close(f->input[0]);
    if (f->input[1] >= 0)
        close(f->input[1]);
    collector_remove(f->out);
    temp_dir_remove(&f->dir);
    test_free(f);
    return 0;
}

static enum mh_status try_open(struct fixture *f, size_t number, struct mh_error *err)
{
    close_end(f);
    f->is_open = true;
    return serial_end_open(&f->end, &f->options, number, &f->console, "guest", &f->terminal, err);
}

static struct mh_serial_end open_end(struct fixture *f, enum serial_kind kind, size_t number)
{
    f->options.serial = kind;
    assert_int_equal(try_open(f, number, NULL), MH_OK);
    return serial_end_for_vm(&f->end);
}

static void put(struct mh_serial_end end, const char *text)
{
    assert_int_equal(end.write(end.ctx, (const uint8_t *)text, strlen(text)), 0);
}

static int get(struct mh_serial_end end)
{
    return end.read(end.ctx, NULL, 0);
}

static void type(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->input[1], text, strlen(text)), strlen(text));
}

static void end_input(struct fixture *f)
{
    close(f->input[1]);
    f->input[1] = -1;
}

/* ---- stdio ---- */

static void stdin_comes_byte_by_byte_and_ends_for_good(void **state)
{
    struct fixture *f = *state;
    struct mh_serial_end end = open_end(f, SERIAL_STDIO, 1);
    type(f, "a\xff");
    end_input(f);
    assert_int_equal(get(end), 'a');
    assert_int_equal(get(end), 0xff);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(get(end), MH_SERIAL_INPUT_ENDED);
}

static void no_more_is_taken_from_stdin_than_is_asked_for(void **state)
{
    struct fixture *f = *state;
    char rest[8];
    struct mh_serial_end end = open_end(f, SERIAL_STDIO, 1);
    type(f, "abc");
    assert_int_equal(get(end), 'a');
    assert_int_equal(read(f->input[0], rest, sizeof rest), 2);
    assert_memory_equal(rest, "bc", 2);
}

static void only_the_chosen_machine_reads_stdin(void **state)
{
    struct fixture *f = *state;
    f->options.console = 2;
    type(f, "x");
    assert_int_equal(get(open_end(f, SERIAL_STDIO, 1)), MH_SERIAL_INPUT_ENDED);
    assert_int_equal(get(open_end(f, SERIAL_STDIO, 2)), 'x');
}

static void stdout_takes_lines_and_the_last_unfinished_one(void **state)
{
    struct fixture *f = *state;
    struct mh_serial_end end = open_end(f, SERIAL_STDIO, 1);
    put(end, "line\nhalf");
    assert_string_equal(collector_text(f->out), "line\n");
    assert_int_equal(serial_end_finish(&f->end), 0);
    assert_string_equal(collector_text(f->out), "line\nhalf");
}

static void a_prompt_is_shown_when_there_is_nothing_to_read_yet(void **state)
{
    struct fixture *f = *state;
    struct mh_serial_end end = open_end(f, SERIAL_STDIO, 1);
    assert_int_equal(fcntl(f->input[0], F_SETFL, O_NONBLOCK), 0);
    put(end, "name? ");
    type(f, "x");
    assert_int_equal(get(end), 'x');
    assert_string_equal(collector_text(f->out), "");
    end_input(f);
    assert_int_equal(get(end), MH_SERIAL_INPUT_ENDED);
    assert_int_equal(serial_end_finish(&f->end), 0);
    assert_string_equal(collector_text(f->out), "name? ");
}

static int get_or_wake(struct mh_serial_end end, const int *wake_fds, unsigned wake_count)
{
    return end.read(end.ctx, wake_fds, wake_count);
}

static void *write_later(void *ctx)
{
    const int *fd = ctx;
    poll(NULL, 0, 20);
    return write(*fd, "x", 1) == 1 ? NULL : ctx;
}

/* Of several descriptors it is the last; it is readable before the wait, or becomes so meanwhile. */
static void a_wake_descriptor_ends_a_wait_for_input(void **state)
{
    struct fixture *f = *state;
    const enum serial_kind kinds[] = {SERIAL_STDIO, SERIAL_PTY};
    int quiet[2], wake[2];
    char byte;
    assert_int_equal(pipe2(quiet, O_CLOEXEC), 0);
    assert_int_equal(pipe2(wake, O_CLOEXEC), 0);
    const int fds[] = {quiet[0], wake[0]};
    for (unsigned i = 0; i < COUNT(kinds); i++) {
        pthread_t writer;
        void *failed = f;
        struct mh_serial_end end = open_end(f, kinds[i], 1);
        assert_int_equal(pthread_create(&writer, NULL, write_later, &wake[1]), 0);
        assert_int_equal(get_or_wake(end, fds, COUNT(fds)), MH_SERIAL_INTERRUPTED);
        assert_int_equal(pthread_join(writer, &failed), 0);
        assert_null(failed);
        assert_int_equal(get_or_wake(end, fds, COUNT(fds)), MH_SERIAL_INTERRUPTED);
        assert_int_equal(read(wake[0], &byte, 1), 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        close(quiet[i]);
        close(wake[i]);
    }
}

static void a_byte_that_is_there_comes_before_a_wake_descriptor(void **state)
{
    struct fixture *f = *state;
    int wake[2];
    assert_int_equal(pipe2(wake, O_CLOEXEC), 0);
    assert_int_equal(write(wake[1], "x", 1), 1);
    struct mh_serial_end end = open_end(f, SERIAL_STDIO, 1);
    type(f, "a");
    assert_int_equal(get_or_wake(end, wake, 1), 'a');
    assert_int_equal(get_or_wake(end, wake, 1), MH_SERIAL_INTERRUPTED);
    end_input(f);
    assert_int_equal(get_or_wake(end, wake, 1), MH_SERIAL_INPUT_ENDED);
    close(wake[0]);
    close(wake[1]);
}

static void a_prompt_is_shown_before_a_wake_descriptor_ends_the_wait(void **state)
{
    struct fixture *f = *state;
    int wake[2];
    assert_int_equal(pipe2(wake, O_CLOEXEC), 0);
    assert_int_equal(write(wake[1], "x", 1), 1);
    struct mh_serial_end end = open_end(f, SERIAL_STDIO, 1);
    put(end, "name? ");
    assert_int_equal(get_or_wake(end, wake, 1), MH_SERIAL_INTERRUPTED);
    assert_string_equal(collector_text(f->out), "name? ");
    close(wake[0]);
    close(wake[1]);
}

struct kicked {
    pthread_t thread;
    atomic_bool done;
};

static void ignore_signal(int number)
{
    (void)number;
}

static void *kick_until_done(void *ctx)
{
    struct kicked *kicked = ctx;
    while (!atomic_load(&kicked->done)) {
        pthread_kill(kicked->thread, MH_KICK_SIGNAL);
        poll(NULL, 0, 5);
    }
    return NULL;
}

/* More wake descriptors than can be watched change nothing about that. */
static void a_kick_ends_a_wait_for_input(void **state)
{
    struct fixture *f = *state;
    const enum serial_kind kinds[] = {SERIAL_STDIO, SERIAL_PTY};
    const struct sigaction action = {.sa_handler = ignore_signal};
    struct sigaction before;
    int quiet[2], fds[100];
    assert_int_equal(pipe2(quiet, O_CLOEXEC), 0);
    for (unsigned i = 0; i < COUNT(fds); i++)
        fds[i] = quiet[0];
    assert_int_equal(sigaction(MH_KICK_SIGNAL, &action, &before), 0);
    for (unsigned i = 0; i < COUNT(kinds); i++) {
        pthread_t kicker;
        struct kicked kicked = {.thread = pthread_self()};
        struct mh_serial_end end = open_end(f, kinds[i], 1);
        assert_int_equal(pthread_create(&kicker, NULL, kick_until_done, &kicked), 0);
        assert_int_equal(get_or_wake(end, fds, COUNT(fds)), MH_SERIAL_INTERRUPTED);
        atomic_store(&kicked.done, true);
        assert_int_equal(pthread_join(kicker, NULL), 0);
    }
    sigaction(MH_KICK_SIGNAL, &before, NULL);
    close(quiet[0]);
    close(quiet[1]);
}

static void input_that_cannot_be_read_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct mh_serial_end end = open_end(f, SERIAL_STDIO, 1);
    f->terminal.fd = 1000; /* which is not open */
    assert_int_equal(get(end), -EBADF);
    f->terminal.fd = f->input[0];
}

/* ---- files ---- */

static void use_path(struct fixture *f, const char *pattern)
{
    f->options.serial_path = temp_path(&f->dir, pattern, f->path);
}

static void output_goes_to_the_file_at_once(void **state)
{
    struct fixture *f = *state;
    use_path(f, "out.txt");
    struct mh_serial_end end = open_end(f, SERIAL_FILE, 1);
    put(end, "no newline");
    assert_true(temp_file_is(&f->dir, "out.txt", "no newline"));
    assert_int_equal(serial_end_finish(&f->end), 0);
    assert_null(end.read);
}

static void the_file_is_begun_anew(void **state)
{
    struct fixture *f = *state;
    temp_text(&f->dir, "out.txt", "of an earlier run");
    use_path(f, "out.txt");
    put(open_end(f, SERIAL_FILE, 1), "new");
    assert_true(temp_file_is(&f->dir, "out.txt", "new"));
}

static void the_number_of_the_machine_stands_for_percent_n(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"out-%n", "out-12"}, {"%n", "12"},   {"%n-%n.txt", "12-12.txt"}, {"%", "%"}, {"100%", "100%"},
        {"%d%s%x", "%d%s%x"}, {"%%n", "%12"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        use_path(f, cases[i][0]);
        put(open_end(f, SERIAL_FILE, 12), "x");
        assert_true(temp_file_is(&f->dir, cases[i][1], "x"));
    }
}

static void a_file_that_cannot_be_opened_is_told_by_its_real_name(void **state)
{
    struct fixture *f = *state;
    struct mh_error err = {0};
    unsigned fds = count_open_fds();
    use_path(f, "missing/out-%n");
    f->options.serial = SERIAL_FILE;
    assert_int_equal(try_open(f, 7, &err), MH_ERR_IO);
    assert_text_has(err.text, "missing/out-7: cannot open it: No such file or directory");
    close_end(f);
    f->options.serial_path = f->dir.path;
    assert_int_equal(try_open(f, 7, &err), MH_ERR_IO);
    assert_text_has(err.text, "Is a directory");
    close_end(f);
    assert_int_equal(count_open_fds(), fds);
}

static void a_file_we_may_not_write_is_told(void **state)
{
    struct fixture *f = *state;
    struct mh_error err = {0};
    use_path(f, "out.txt");
    f->options.serial = SERIAL_FILE;
    drop_root();
    assert_int_equal(try_open(f, 1, &err), MH_ERR_IO);
    assert_text_has(err.text, "Permission denied");
}

static void a_fifo_takes_output_if_somebody_reads(void **state)
{
    struct fixture *f = *state;
    struct mh_error err;
    char text[4] = "";
    use_path(f, "fifo");
    assert_int_equal(mkfifo(f->path, 0600), 0);
    f->options.serial = SERIAL_FILE;
    assert_int_equal(try_open(f, 1, &err), MH_ERR_IO);
    assert_text_has(err.text, "the FIFO has no reader");
    int reader = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    put(open_end(f, SERIAL_FILE, 1), "abc");
    assert_int_equal(fcntl(f->end.fd, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(read(reader, text, 4), 3);
    assert_string_equal(text, "abc");
    close(reader);
}

static void a_full_disk_is_an_error_of_the_write(void **state)
{
    struct fixture *f = *state;
    f->options.serial_path = "/dev/full";
    struct mh_serial_end end = open_end(f, SERIAL_FILE, 1);
    assert_int_equal(end.write(end.ctx, (const uint8_t *)"x", 1), -ENOSPC);
}

/* ---- nowhere ---- */

static void nowhere_takes_everything_and_gives_nothing(void **state)
{
    struct fixture *f = *state;
    type(f, "x");
    struct mh_serial_end end = open_end(f, SERIAL_NULL, 1);
    assert_null(end.write);
    assert_null(end.read);
    assert_int_equal(serial_end_finish(&f->end), 0);
    assert_string_equal(collector_text(f->out), "");
}

/* ---- a pseudo-terminal ---- */

static void reads(int fd, const void *bytes, size_t length)
{
    char got[512];
    size_t done = 0;
    while (done < length) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&poll_fd, 1, 5000), 1);
        ssize_t more = read(fd, got + done, length - done);
        assert_true(more > 0);
        done += (size_t)more;
    }
    assert_memory_equal(got, bytes, length);
}

static int connect_to(const struct fixture *f)
{
    int fd = open(f->end.pty_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void every_byte_passes_a_pseudo_terminal_unchanged_both_ways(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[256];
    struct mh_serial_end end = open_end(f, SERIAL_PTY, 1);
    int person = connect_to(f);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(end.write(end.ctx, bytes, sizeof bytes), 0);
    reads(person, bytes, sizeof bytes);
    assert_int_equal(write(person, bytes, sizeof bytes), sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i++)
        assert_int_equal(get(end), i);
    close(person);
}

static void what_was_typed_is_not_echoed(void **state)
{
    struct fixture *f = *state;
    struct mh_serial_end end = open_end(f, SERIAL_PTY, 1);
    int person = connect_to(f);
    assert_int_equal(write(person, "k\n", 2), 2);
    assert_int_equal(get(end), 'k');
    assert_int_equal(get(end), '\n');
    put(end, "!");
    reads(person, "!", 1);
    close(person);
}

static void people_may_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct mh_serial_end end = open_end(f, SERIAL_PTY, 1);
    put(end, "before anybody came");
    for (unsigned i = 0; i < 2; i++) {
        int person = connect_to(f);
        if (i == 0)
            reads(person, "before anybody came", 19);
        put(end, "hello");
        reads(person, "hello", 5);
        close(person);
    }
}

static void pseudo_terminals_are_different_for_each_machine_and_given_back(void **state)
{
    struct fixture *f = *state;
    unsigned fds = count_open_fds();
    struct serial_end other;
    open_end(f, SERIAL_PTY, 1);
    assert_int_equal(serial_end_open(&other, &f->options, 2, &f->console, "guest", &f->terminal, NULL), MH_OK);
    assert_string_not_equal(f->end.pty_path, other.pty_path);
    assert_int_equal(strncmp(other.pty_path, "/dev/pts/", 9), 0);
    serial_end_close(&other);
    close_end(f);
    assert_int_equal(count_open_fds(), fds);
}

#define MUCH 3000

static void *read_much(void *ctx)
{
    const int *person = ctx;
    char got[64];
    for (size_t done = 0; done < MUCH;) {
        ssize_t more = read(*person, got, sizeof got);
        if (more <= 0)
            return ctx;
        done += (size_t)more;
    }
    return NULL;
}

static void a_reader_that_reads_gets_everything_before_the_end(void **state)
{
    struct fixture *f = *state;
    char text[MUCH + 1];
    pthread_t reader;
    void *failed = f;
    int unread = -1;
    struct mh_serial_end end = open_end(f, SERIAL_PTY, 1);
    int person = connect_to(f);
    memset(text, 'x', MUCH);
    text[MUCH] = '\0';
    put(end, text);
    assert_int_equal(pthread_create(&reader, NULL, read_much, &person), 0);
    assert_int_equal(serial_end_finish(&f->end), 0);
    assert_int_equal(ioctl(f->end.peer_fd, FIONREAD, &unread), 0);
    assert_int_equal(unread, 0);
    assert_int_equal(pthread_join(reader, &failed), 0);
    assert_null(failed);
    close(person);
}

#define ROUNDS 200

static void *read_one(void *ctx)
{
    const int *person = ctx;
    char got;
    return read(*person, &got, 1) == 1 ? NULL : ctx;
}

/* What was written a moment ago is still on its way through the kernel. */
static void the_last_byte_arrives_before_the_end(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_t reader;
        void *failed = f;
        struct mh_serial_end end = open_end(f, SERIAL_PTY, 1);
        int person = connect_to(f);
        assert_int_equal(pthread_create(&reader, NULL, read_one, &person), 0);
        put(end, "x");
        assert_int_equal(serial_end_finish(&f->end), 0);
        close_end(f);
        assert_int_equal(pthread_join(reader, &failed), 0);
        assert_null(failed);
        close(person);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stdin_comes_byte_by_byte_and_ends_for_good),
        TEST(no_more_is_taken_from_stdin_than_is_asked_for),
        TEST(only_the_chosen_machine_reads_stdin),
        TEST(stdout_takes_lines_and_the_last_unfinished_one),
        TEST(a_prompt_is_shown_when_there_is_nothing_to_read_yet),
        TEST(a_wake_descriptor_ends_a_wait_for_input),
        TEST(a_byte_that_is_there_comes_before_a_wake_descriptor),
        TEST(a_prompt_is_shown_before_a_wake_descriptor_ends_the_wait),
        TEST(a_kick_ends_a_wait_for_input),
        TEST(input_that_cannot_be_read_is_an_error),
        TEST(output_goes_to_the_file_at_once),
        TEST(the_file_is_begun_anew),
        TEST(the_number_of_the_machine_stands_for_percent_n),
        TEST(a_file_that_cannot_be_opened_is_told_by_its_real_name),
        TEST(a_file_we_may_not_write_is_told),
        TEST(a_fifo_takes_output_if_somebody_reads),
        TEST(a_full_disk_is_an_error_of_the_write),
        TEST(nowhere_takes_everything_and_gives_nothing),
        TEST(every_byte_passes_a_pseudo_terminal_unchanged_both_ways),
        TEST(what_was_typed_is_not_echoed),
        TEST(people_may_come_and_go),
        TEST(pseudo_terminals_are_different_for_each_machine_and_given_back),
        TEST(a_reader_that_reads_gets_everything_before_the_end),
        TEST(the_last_byte_arrives_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
