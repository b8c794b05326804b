#include "console/console.h"

#include "collector.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* A console that leads to a pipe, and two machines' ports. */
struct fixture {
    struct collector *out;
    struct console console;
    struct console_port one, two;
};

static void connect(struct fixture *f, int fd, bool by_line, bool labels)
{
    console_init(&f->console, fd, by_line, labels, NULL);
    console_port_init(&f->one, &f->console, "one", 1);
    console_port_init(&f->two, &f->console, "two", 2);
}

static void disconnect(struct fixture *f)
{
    console_port_destroy(&f->one);
    console_port_destroy(&f->two);
    console_destroy(&f->console);
}

static void reconnect(struct fixture *f, bool by_line, bool labels)
{
    disconnect(f);
    connect(f, f->out->write_fd, by_line, labels);
}

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->out = collector_make();
    connect(f, f->out->write_fd, true, false);
    signal(SIGPIPE, SIG_IGN);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    disconnect(f);
    collector_remove(f->out);
    test_free(f);
    return 0;
}

static void print(struct console_port *port, const char *text)
{
    assert_int_equal(console_port_write(port, (const uint8_t *)text, strlen(text)), 0);
}

static void flush(struct console_port *port)
{
    assert_int_equal(console_port_flush(port), 0);
}

static void shows(struct fixture *f, const char *text)
{
    assert_string_equal(collector_text(f->out), text);
}

/* ---- one machine: raw ---- */

static void raw_bytes_go_out_as_they_are(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[256];
    reconnect(f, false, false);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(console_port_write(&f->one, bytes, sizeof bytes), 0);
    assert_int_equal(console_port_write(&f->one, bytes, 0), 0);
    collector_text(f->out);
    assert_int_equal(f->out->length, sizeof bytes);
    assert_memory_equal(f->out->text, bytes, sizeof bytes);
}

static void raw_bytes_are_seen_at_once(void **state)
{
    struct fixture *f = *state;
    reconnect(f, false, false);
    print(&f->one, "no newl");
    shows(f, "no newl");
    print(&f->one, "ine");
    flush(&f->one);
    shows(f, "no newline");
}

/* ---- several: by lines ---- */

static void lines_are_held_until_they_are_whole(void **state)
{
    struct fixture *f = *state;
    print(&f->one, "hel");
    shows(f, "");
    print(&f->one, "lo\nand ");
    shows(f, "hello\n");
    print(&f->one, "more\n");
    shows(f, "hello\nand more\n");
}

static void lines_of_two_machines_never_mix(void **state)
{
    struct fixture *f = *state;
    static const char one[] = "first of one\nsecond of one\n", two[] = "first of two\nsecond of two\n";
    for (size_t i = 0; i < sizeof one - 1; i++) {
        console_port_write(&f->one, (const uint8_t *)one + i, 1);
        console_port_write(&f->two, (const uint8_t *)two + i, 1);
    }
    shows(f, "first of one\nfirst of two\nsecond of one\nsecond of two\n");
}

static void several_lines_at_once_stay_together(void **state)
{
    struct fixture *f = *state;
    print(&f->one, "a\nb\n\nc\nrest");
    shows(f, "a\nb\n\nc\n");
}

static void an_unfinished_line_is_not_lost(void **state)
{
    struct fixture *f = *state;
    print(&f->one, "unfinished line");
    flush(&f->one);
    shows(f, "unfinished line");
    flush(&f->one);
    shows(f, "unfinished line");
}

static void after_an_unfinished_line_another_machine_starts_a_line_of_its_own(void **state)
{
    struct fixture *f = *state;
    print(&f->one, "name? ");
    flush(&f->one);
    print(&f->two, "hello\n");
    shows(f, "name? \nhello\n");
    print(&f->one, "more\n");
    shows(f, "name? \nhello\nmore\n");
}

static void two_unfinished_lines_are_two_lines(void **state)
{
    struct fixture *f = *state;
    print(&f->one, "one");
    print(&f->two, "two");
    flush(&f->one);
    flush(&f->two);
    shows(f, "one\ntwo");
}

static void the_same_machine_goes_on_in_its_line(void **state)
{
    struct fixture *f = *state;
    print(&f->one, "name? ");
    flush(&f->one);
    print(&f->one, "Ada\n");
    shows(f, "name? Ada\n");
    print(&f->two, "x\n");
    shows(f, "name? Ada\nx\n");
}

static void a_very_long_line_is_not_held_for_ever(void **state)
{
    struct fixture *f = *state;
    static const uint8_t part[64] = {'x'};
    for (size_t length = sizeof part; length < CONSOLE_LINE_MAX; length += sizeof part)
        console_port_write(&f->one, part, sizeof part);
    console_port_write(&f->one, part, sizeof part - 1);
    shows(f, "");
    print(&f->one, "y");
    collector_text(f->out);
    assert_int_equal(f->out->length, CONSOLE_LINE_MAX);
    print(&f->one, "z\n");
    assert_string_equal(collector_text(f->out) + CONSOLE_LINE_MAX - 1, "yz\n");
}

static void more_than_a_line_can_hold_at_once_comes_whole(void **state)
{
    struct fixture *f = *state;
    size_t size = 3 * CONSOLE_LINE_MAX;
    char *text = test_malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    text[1000] = '\n';
    print(&f->one, text);
    shows(f, text);
    test_free(text);
}

static void bytes_that_are_no_text_go_through_in_lines_too(void **state)
{
    struct fixture *f = *state;
    static const uint8_t bytes[] = "a\0b\xff\x1b\n\0";
    assert_int_equal(console_port_write(&f->one, bytes, 7), 0);
    collector_text(f->out);
    assert_int_equal(f->out->length, 6);
    assert_memory_equal(f->out->text, bytes, 6);
}

/* ---- labels ---- */

static void every_line_has_its_label(void **state)
{
    struct fixture *f = *state;
    reconnect(f, true, true);
    print(&f->one, "a\n\nb\n");
    print(&f->two, "c\n");
    shows(f, "one| a\none| \none| b\ntwo| c\n");
}

static void a_line_that_goes_on_has_one_label(void **state)
{
    struct fixture *f = *state;
    reconnect(f, true, true);
    print(&f->one, "name? ");
    flush(&f->one);
    print(&f->one, "Ada\nhello\n");
    shows(f, "one| name? Ada\none| hello\n");
}

static void a_line_that_was_broken_has_its_label_again(void **state)
{
    struct fixture *f = *state;
    reconnect(f, true, true);
    print(&f->one, "name? ");
    flush(&f->one);
    print(&f->two, "x\n");
    print(&f->one, "Ada\n");
    shows(f, "one| name? \ntwo| x\none| Ada\n");
}

static void there_are_no_colours_in_a_pipe(void **state)
{
    struct fixture *f = *state;
    reconnect(f, true, true);
    print(&f->one, "x\n");
    assert_null(strchr(collector_text(f->out), '\033'));
}

/* ---- pipes are no terminals ---- */

static void ticks_and_ended_lines_mean_nothing_to_a_pipe(void **state)
{
    struct fixture *f = *state;
    print(&f->one, "half");
    console_port_tick(&f->one);
    console_port_tick(&f->one);
    shows(f, "");
    flush(&f->one);
    console_end_line(&f->console);
    shows(f, "half");
}

static void a_reader_that_went_away_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct collector *gone = collector_make();
    disconnect(f);
    connect(f, gone->write_fd, true, false);
    close(gone->read_fd);
    assert_int_equal(console_port_write(&f->one, (const uint8_t *)"half", 4), 0);
    assert_int_equal(console_port_flush(&f->one), -EPIPE);
    assert_int_equal(console_port_write(&f->one, (const uint8_t *)"line\n", 5), -EPIPE);
    assert_int_equal(console_port_flush(&f->one), 0);
    gone->read_fd = -1;
    disconnect(f);
    connect(f, f->out->write_fd, false, false);
    collector_remove(gone);
}

/* ---- threads ---- */

struct printer {
    struct console_port *port;
    char letter;
};

#define LINES 500
#define LINE_LENGTH 37

static void *print_lines(void *ctx)
{
    const struct printer *printer = ctx;
    for (unsigned i = 0; i < LINES * LINE_LENGTH; i++) {
        const uint8_t byte = i % LINE_LENGTH == LINE_LENGTH - 1 ? '\n' : (uint8_t)printer->letter;
        console_port_write(printer->port, &byte, 1);
    }
    return NULL;
}

static void lines_of_threads_never_mix(void **state)
{
    struct fixture *f = *state;
    struct printer printers[] = {{&f->one, 'a'}, {&f->two, 'b'}};
    pthread_t thread[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, print_lines, &printers[i]), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    const char *text = collector_text(f->out);
    assert_int_equal(f->out->length, 2 * LINES * LINE_LENGTH);
    for (size_t line = 0; line < 2 * LINES; line++) {
        const char *start = text + line * LINE_LENGTH;
        for (size_t i = 0; i < LINE_LENGTH - 1; i++)
            assert_int_equal(start[i], start[0]);
        assert_int_equal(start[LINE_LENGTH - 1], '\n');
    }
}

/* ---- on a terminal ---- */

struct screen {
    int person, program; /* the two sides of a pseudo-terminal */
    char text[256];
};

static struct screen open_screen(void)
{
    struct screen screen = {.person = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    struct termios mode;
    char path[64];
    assert_true(screen.person >= 0);
    assert_int_equal(grantpt(screen.person), 0);
    assert_int_equal(unlockpt(screen.person), 0);
    assert_int_equal(ptsname_r(screen.person, path, sizeof path), 0);
    screen.program = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(screen.program >= 0);
    assert_int_equal(tcgetattr(screen.program, &mode), 0);
    cfmakeraw(&mode);
    assert_int_equal(tcsetattr(screen.program, TCSANOW, &mode), 0);
    return screen;
}

/* The next so many bytes on the screen. A terminal hands them on a moment later: wait for them, some seconds at most.
 */
static const char *next_on(struct screen *screen, size_t length)
{
    size_t got = 0;
    while (got < length) {
        struct pollfd poll_fd = {.fd = screen->person, .events = POLLIN};
        assert_int_equal(poll(&poll_fd, 1, 5000), 1);
        ssize_t more = read(screen->person, screen->text + got, length - got);
        assert_true(more > 0);
        got += (size_t)more;
    }
    screen->text[got] = '\0';
    return screen->text;
}

static void use_screen(struct fixture *f, const struct screen *screen, bool labels)
{
    disconnect(f);
    connect(f, screen->program, true, labels);
}

static void leave_screen(struct fixture *f, const struct screen *screen)
{
    disconnect(f);
    connect(f, f->out->write_fd, true, false);
    close(screen->person);
    close(screen->program);
}

static void on_a_terminal_labels_have_colours(void **state)
{
    struct fixture *f = *state;
    struct screen screen = open_screen();
    unsetenv("NO_COLOR");
    use_screen(f, &screen, true);
    print(&f->one, "x\n");
    assert_string_equal(next_on(&screen, 16), "\033[32mone|\033[0m x\n");
    leave_screen(f, &screen);
}

static void people_who_want_no_colours_get_none(void **state)
{
    struct fixture *f = *state;
    struct screen screen = open_screen();
    setenv("NO_COLOR", "1", 1);
    use_screen(f, &screen, true);
    unsetenv("NO_COLOR");
    print(&f->one, "x\n");
    assert_string_equal(next_on(&screen, 7), "one| x\n");
    leave_screen(f, &screen);
}

static void on_a_terminal_a_line_held_for_a_tick_is_shown(void **state)
{
    struct fixture *f = *state;
    struct screen screen = open_screen();
    use_screen(f, &screen, false);
    print(&f->one, "half");
    console_port_tick(&f->one);
    print(&f->one, " a line");
    console_port_tick(&f->one); /* it has just grown */
    assert_int_equal(f->one.length, strlen("half a line"));
    console_port_tick(&f->one);
    assert_int_equal(f->one.length, 0);
    assert_string_equal(next_on(&screen, 11), "half a line");
    leave_screen(f, &screen);
}

static void on_a_terminal_other_messages_start_a_fresh_line(void **state)
{
    struct fixture *f = *state;
    struct screen screen = open_screen();
    use_screen(f, &screen, false);
    console_end_line(&f->console);
    print(&f->one, "half");
    flush(&f->one);
    console_end_line(&f->console);
    console_end_line(&f->console);
    print(&f->two, "x\n");
    console_end_line(&f->console);
    print(&f->two, "y\n");
    assert_string_equal(next_on(&screen, 9), "half\nx\ny\n");
    leave_screen(f, &screen);
}

/* With a thousand machines behind a reader that is stuck, waiting for it once is enough. */
static void when_all_is_ending_a_reader_that_does_not_read_is_waited_for_once(void **state)
{
    struct fixture *f = *state;
    static const char bytes[4096];
    atomic_bool ending = true;
    struct timespec start, end;
    disconnect(f);
    assert_int_equal(fcntl(f->out->write_fd, F_SETFL, O_NONBLOCK), 0);
    while (write(f->out->write_fd, bytes, sizeof bytes) > 0) {
    }
    console_init(&f->console, f->out->write_fd, true, false, &ending);
    console_port_init(&f->one, &f->console, "one", 1);
    console_port_init(&f->two, &f->console, "two", 2);
    assert_int_equal(console_port_write(&f->one, (const uint8_t *)"a\n", 2), -EINTR);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(console_port_write(&f->two, (const uint8_t *)"b\n", 2), -EINTR);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - start.tv_sec < 5);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(when_all_is_ending_a_reader_that_does_not_read_is_waited_for_once),
        TEST(raw_bytes_go_out_as_they_are),
        TEST(raw_bytes_are_seen_at_once),
        TEST(lines_are_held_until_they_are_whole),
        TEST(lines_of_two_machines_never_mix),
        TEST(several_lines_at_once_stay_together),
        TEST(an_unfinished_line_is_not_lost),
        TEST(after_an_unfinished_line_another_machine_starts_a_line_of_its_own),
        TEST(two_unfinished_lines_are_two_lines),
        TEST(the_same_machine_goes_on_in_its_line),
        TEST(a_very_long_line_is_not_held_for_ever),
        TEST(more_than_a_line_can_hold_at_once_comes_whole),
        TEST(bytes_that_are_no_text_go_through_in_lines_too),
        TEST(every_line_has_its_label),
        TEST(a_line_that_goes_on_has_one_label),
        TEST(a_line_that_was_broken_has_its_label_again),
        TEST(there_are_no_colours_in_a_pipe),
        TEST(ticks_and_ended_lines_mean_nothing_to_a_pipe),
        TEST(a_reader_that_went_away_is_an_error),
        TEST(lines_of_threads_never_mix),
        TEST(on_a_terminal_labels_have_colours),
        TEST(people_who_want_no_colours_get_none),
        TEST(on_a_terminal_a_line_held_for_a_tick_is_shown),
        TEST(on_a_terminal_other_messages_start_a_fresh_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
