#include "console/terminal.h"

#include "unit.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A terminal can only be taken by its own session, so each test runs in a child that has a terminal for itself. It
 * returns 0 when all is well, or the line where it is not.
 */
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return __LINE__;                                                                                           \
    } while (0)

typedef int child_test(struct terminal *terminal);

static bool is_cooked(void)
{
    struct termios mode;
    return tcgetattr(STDIN_FILENO, &mode) == 0 && (mode.c_lflag & (ICANON | ECHO)) == (ICANON | ECHO);
}

static bool is_raw(void)
{
    struct termios mode;
    return tcgetattr(STDIN_FILENO, &mode) == 0 && (mode.c_lflag & (ICANON | ECHO)) == 0 && (mode.c_lflag & ISIG) != 0;
}

/* Report the line through a pipe: an exit status is too narrow for it. */
static void run_child(child_test *test, int tell)
{
    struct terminal terminal;
    terminal_init(&terminal, STDIN_FILENO);
    int line = terminal.is_terminal ? test(&terminal) : -1;
    _exit(write(tell, &line, sizeof line) == (ssize_t)sizeof line ? 0 : 1);
}

static void on_a_terminal(child_test *test)
{
    int master, tell[2], line = -2, status;
    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0)
        run_child(test, tell[1]);
    close(tell[1]);
    ssize_t got = read(tell[0], &line, sizeof line);
    close(tell[0]);
    close(master);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(got, sizeof line);
    if (line != 0)
        fail_msg("line %d does not hold", line);
}

static int left_alone(struct terminal *terminal)
{
    EXPECT(is_cooked());
    terminal_resume(terminal);
    EXPECT(is_cooked());
    terminal_restore(terminal);
    EXPECT(is_cooked());
    return 0;
}

static void a_terminal_nobody_reads_from_is_left_alone(void **state)
{
    (void)state;
    on_a_terminal(left_alone);
}

static int taken_and_given_back(struct terminal *terminal)
{
    struct termios before, after;
    tcgetattr(STDIN_FILENO, &before);
    terminal_prepare(terminal);
    EXPECT(is_raw());
    terminal_prepare(terminal);
    terminal_restore(terminal);
    tcgetattr(STDIN_FILENO, &after);
    EXPECT(before.c_lflag == after.c_lflag && before.c_iflag == after.c_iflag && before.c_oflag == after.c_oflag);
    EXPECT(memcmp(before.c_cc, after.c_cc, sizeof before.c_cc) == 0);
    terminal_restore(terminal);
    EXPECT(is_cooked());
    return 0;
}

static void a_terminal_is_taken_for_a_reader_and_given_back_as_it_was(void **state)
{
    (void)state;
    on_a_terminal(taken_and_given_back);
}

static int taken_again(struct terminal *terminal)
{
    terminal_prepare(terminal);
    terminal_restore(terminal);
    EXPECT(is_cooked());
    terminal_resume(terminal);
    EXPECT(is_raw());
    terminal_resume(terminal);
    terminal_restore(terminal);
    EXPECT(is_cooked());
    return 0;
}

static void a_terminal_is_taken_again_when_the_process_goes_on(void **state)
{
    (void)state;
    on_a_terminal(taken_again);
}

static int end_of_input(struct terminal *terminal)
{
    struct termios mode;
    tcgetattr(STDIN_FILENO, &mode);
    mode.c_cc[VEOF] = 'Q';
    EXPECT(tcsetattr(STDIN_FILENO, TCSANOW, &mode) == 0);
    EXPECT(!terminal_is_end(terminal, 'Q'));
    terminal_prepare(terminal);
    EXPECT(terminal_is_end(terminal, 'Q'));
    EXPECT(!terminal_is_end(terminal, 4));
    terminal_restore(terminal);
    EXPECT(!terminal_is_end(terminal, 'Q'));
    return 0;
}

static void the_end_of_input_is_the_terminals_own_character(void **state)
{
    (void)state;
    on_a_terminal(end_of_input);
}

static int in_the_background(struct terminal *terminal)
{
    pid_t other = fork();
    if (other == 0) { /* it becomes the foreground, we the background */
        setpgid(0, 0);
        for (;;)
            pause();
    }
    setpgid(other, other);
    EXPECT(tcsetpgrp(STDIN_FILENO, other) == 0);
    signal(SIGTTOU, SIG_IGN); /* so that nothing but good manners keeps us from changing it */
    terminal_prepare(terminal);
    bool untouched = is_cooked();
    terminal_restore(terminal);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    EXPECT(untouched);
    return 0;
}

static void in_the_background_the_terminal_belongs_to_others(void **state)
{
    (void)state;
    on_a_terminal(in_the_background);
}

static void what_is_no_terminal_is_left_alone(void **state)
{
    (void)state;
    int end[2];
    struct terminal terminal;
    assert_int_equal(pipe(end), 0);
    terminal_init(&terminal, end[0]);
    assert_false(terminal.is_terminal);
    terminal_prepare(&terminal);
    terminal_restore(&terminal);
    assert_false(terminal_is_end(&terminal, 4));
    close(end[0]);
    close(end[1]);
}

#define TEST(function) cmocka_unit_test(function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_terminal_nobody_reads_from_is_left_alone),
        TEST(a_terminal_is_taken_for_a_reader_and_given_back_as_it_was),
        TEST(a_terminal_is_taken_again_when_the_process_goes_on),
        TEST(the_end_of_input_is_the_terminals_own_character),
        TEST(in_the_background_the_terminal_belongs_to_others),
        TEST(what_is_no_terminal_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
