/* Debuggers coming and going, over real sockets: the server on a thread, the test as the debugger. */
#include "fake_target.h"
#include "mh/gdbstub.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct served {
    struct fake_target fake;
    struct mh_gdb_listener listener;
    struct mh_gdb_options options;
    int stop_pipe[2];
    pthread_t thread;
    enum mh_status status;
    struct mh_error err;
};

static void *serve(void *ctx)
{
    struct served *served = ctx;

    served->status = mh_gdb_serve(&served->listener, &served->fake.target, &served->options, &served->err);
    return NULL;
}

/* A machine that spins, not served yet. */
static int set_up(void **state)
{
    const struct mh_gdb_endpoint endpoint = {.transport = MH_GDB_TCP};
    struct served *served = calloc(1, sizeof *served);

    if (served == NULL || pipe(served->stop_pipe) < 0)
        return -1;
    fake_target_init(&served->fake, 1);
    memcpy(served->fake.machines[0].memory + FAKE_START, "\xeb\xfe", 2);
    served->options.stop_fd = served->stop_pipe[0];
    *state = served;
    return mh_gdb_listen(&endpoint, &served->listener, &served->err) == MH_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct served *served = *state;

    mh_gdb_close(&served->listener);
    close(served->stop_pipe[0]);
    close(served->stop_pipe[1]);
    free(served);
    return 0;
}

static void start(struct served *served)
{
    assert_int_equal(pthread_create(&served->thread, NULL, serve, served), 0);
}

static enum mh_status finish(struct served *served)
{
    assert_int_equal(pthread_join(served->thread, NULL), 0);
    return served->status;
}

static void connect_to(const struct served *served, int fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(served->listener.endpoint.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
}

static int dial(const struct served *served)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    connect_to(served, fd);
    return fd;
}

static void send_packet(int fd, const char *payload)
{
    char packet[256];
    unsigned sum = 0;

    for (const char *at = payload; *at; at++)
        sum += (unsigned char)*at;
    int length = snprintf(packet, sizeof packet, "$%s#%02x", payload, sum & 0xff);
    assert_int_equal(send(fd, packet, (size_t)length, MSG_NOSIGNAL), length);
}

/* One byte from the server; -1 when it has closed. A server that says nothing fails the test. */
static int next_byte(int fd)
{
    struct pollfd one = {fd, POLLIN, 0};
    unsigned char byte;

    assert_int_equal(poll(&one, 1, PATIENCE_MS), 1);
    return recv(fd, &byte, 1, 0) == 1 ? byte : -1;
}

/* The payload of the next packet; "" with the connection closed. */
static const char *receive(int fd, char text[512])
{
    size_t length = 0;
    int c;

    while ((c = next_byte(fd)) != '$')
        if (c < 0)
            return "";
    while ((c = next_byte(fd)) != '#' && c >= 0)
        if (length < 511)
            text[length++] = (char)c;
    next_byte(fd);
    next_byte(fd);
    text[length] = '\0';
    return text;
}

static void expect(int fd, const char *packet, const char *reply)
{
    char text[512];

    send_packet(fd, packet);
    receive(fd, text);
    if (strncmp(text, reply, strlen(reply)) != 0)
        fail_msg("%s: got \"%s\", not \"%s\"", packet, text, reply);
}

/* Start serving, and come with a first packet. */
static int start_with(struct served *served, const char *packet, const char *reply)
{
    start(served);
    int fd = dial(served);
    expect(fd, packet, reply);
    return fd;
}

static void the_end_of_the_machine_ends_serving(void **state)
{
    struct served *served = *state;

    int fd = start_with(served, "?", "T05");
    expect(fd, "M1000,1:f4", "OK");
    expect(fd, "vCont;c", "W00");
    assert_int_equal(next_byte(fd), -1);
    assert_int_equal(finish(served), MH_OK);
    close(fd);
}

static void a_machine_goes_on_after_a_detach_and_is_found_again(void **state)
{
    struct served *served = *state;

    start(served);
    for (unsigned i = 0; i < 20; i++) {
        int fd = dial(served);

        expect(fd, "?", "T05");
        expect(fd, "qAttached", i ? "1" : "0");
        expect(fd, "D", "OK");
        close(fd);
    }
    assert_int_equal(write(served->stop_pipe[1], "x", 1), 1);
    assert_int_equal(finish(served), MH_ERR_INTERRUPTED);
    assert_false(served->fake.machines[0].running);
    assert_int_equal(served->fake.machines[0].resumes, 20);
}

static void a_dropped_connection_leaves_it_stopped(void **state)
{
    struct served *served = *state;

    int fd = start_with(served, "Z0,1800,1", "OK");
    send_packet(fd, "vCont;c");
    close(fd);
    fd = dial(served);
    expect(fd, "?", "T0");
    expect(fd, "vKill;1", "OK");
    close(fd);
    assert_int_equal(finish(served), MH_OK);
    assert_int_equal(fake_target_breaks(&served->fake, 1), 0);
}

/* All that was received, one line each. */
static void hear(void *ctx, const char *text)
{
    char *heard = ctx;

    assert_true(strlen(text) <= MH_GDB_COMMAND_MAX);
    assert_true(strlen(heard) + MH_GDB_COMMAND_MAX + 2 < 1024);
    strcat(strcat(heard, text), "\n");
}

static void who_listens_hears_each_packet(void **state)
{
    struct served *served = *state;
    char heard[1024] = "", longest[201] = "m", text[512];

    memset(longest + 1, '0', 199);
    longest[200] = '\0';
    served->options.command = hear;
    served->options.command_ctx = heard;
    int fd = start_with(served, "?", "T05");
    expect(fd, "X1800,1:\x80", "OK");
    expect(fd, longest, "E");
    send_packet(fd, "vCont;c");
    assert_int_equal(send(fd, "\x03", 1, MSG_NOSIGNAL), 1);
    assert_memory_equal(receive(fd, text), "T02", 3);
    expect(fd, "k", "X09");
    close(fd);
    finish(served);
    longest[MH_GDB_COMMAND_MAX] = '\0';
    assert_memory_equal(heard, "?\nX1800,1:.\nm000", 16);
    assert_non_null(strstr(heard, longest));
    assert_non_null(strstr(heard, "0\nvCont;c\ninterrupt\n"));
    assert_string_equal(heard + strlen(heard) - 3, "\nk\n");
}

/* A debugger that is gone after one packet. */
static void lose(struct served *served, enum mh_gdb_lost lost, const char *packet, const char *reply)
{
    served->options.lost = lost;
    int fd = start_with(served, packet, reply);
    close(fd);
    assert_int_equal(finish(served), MH_OK);
}

static void or_kills_it(void **state)
{
    struct served *served = *state;

    lose(served, MH_GDB_LOST_KILL, "?", "T05");
    assert_int_equal(served->fake.machines[0].kills, 1);
}

static void or_lets_it_go_on(void **state)
{
    struct served *served = *state;

    lose(served, MH_GDB_LOST_CONTINUE, "M1000,1:f4", "OK");
    assert_int_equal(served->fake.machines[0].resumes, 1);
    assert_int_equal(served->fake.machines[0].kills, 0);
}

static void a_second_debugger_is_told_and_the_first_is_not_disturbed(void **state)
{
    struct served *served = *state;
    char text[512];
    int first, second;

    first = start_with(served, "?", "T05");
    for (unsigned i = 0; i < 10; i++) {
        second = dial(served);
        assert_int_equal(next_byte(second), '+');
        assert_string_equal(receive(second, text), "E.another debugger is connected; there can be only one at a time");
        assert_int_equal(next_byte(second), -1);
        close(second);
    }
    send_packet(first, "vCont;c");
    second = dial(served); /* while the machine runs, too */
    assert_non_null(strstr(receive(second, text), "E.another"));
    close(second);
    assert_int_equal(send(first, "\x03", 1, 0), 1);
    assert_memory_equal(receive(first, text), "T02", 3);
    expect(first, "k", "X09");
    close(first);
    assert_int_equal(finish(served), MH_OK);
}

static void a_machine_may_start_without_a_debugger(void **state)
{
    struct served *served = *state;

    served->options.start_running = true;
    served->fake.machines[0].memory[FAKE_START] = 0xf4;
    start(served);
    assert_int_equal(finish(served), MH_OK);
    assert_int_equal(served->fake.machines[0].resumes, 1);
}

static void a_crash_without_a_debugger_is_the_end(void **state)
{
    struct served *served = *state;

    served->options.start_running = true;
    memcpy(served->fake.machines[0].memory + FAKE_START, "\x0f\x0b", 2);
    start(served);
    assert_int_equal(finish(served), MH_OK);
    assert_int_equal(served->fake.machines[0].kills, 1);
}

static void unless_it_is_held_for_one(void **state)
{
    struct served *served = *state;

    served->options.start_running = true;
    served->options.hold_at_exit = true;
    memcpy(served->fake.machines[0].memory + FAKE_START, "\x0f\x0b", 2);
    int fd = start_with(served, "?", "T04");
    expect(fd, "vCont;C04", "X04");
    close(fd);
    assert_int_equal(finish(served), MH_OK);
}

static void the_stop_descriptor_ends_a_waiting_session(void **state)
{
    struct served *served = *state;
    char text[512];

    int fd = start_with(served, "?", "T05");
    assert_int_equal(write(served->stop_pipe[1], "x", 1), 1);
    assert_int_equal(finish(served), MH_ERR_INTERRUPTED);
    close(fd);
    start(served); /* readable still */
    assert_int_equal(finish(served), MH_ERR_INTERRUPTED);
    assert_int_equal(read(served->stop_pipe[0], text, 1), 1);
    fd = start_with(served, "qC", "QC1");
    send_packet(fd, "vCont;c");
    assert_int_equal(next_byte(fd), '+');
    assert_int_equal(write(served->stop_pipe[1], "x", 1), 1);
    assert_string_equal(receive(fd, text), "X0f");
    assert_int_equal(finish(served), MH_ERR_INTERRUPTED);
    close(fd);
}

static void end_the_shortage(void *ctx, const char *line)
{
    const struct rlimit *enough = ctx;

    if (strstr(line, "cannot accept a debugger at the moment") != NULL)
        setrlimit(RLIMIT_NOFILE, enough);
}

static void who_finds_no_descriptor_left_comes_in_later(void **state)
{
    struct served *served = *state;
    struct rlimit enough, hardly;
    int first, second;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &enough), 0);
    hardly = enough;
    served->options.note = end_the_shortage;
    served->options.note_ctx = &enough;
    first = start_with(served, "?", "T05");
    second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    hardly.rlim_cur = (rlim_t)first; /* all below are in use, and so is this one */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &hardly), 0);
    connect_to(served, second);
    assert_int_equal(next_byte(second), '+');
    close(second);
    expect(first, "k", "X09");
    close(first);
    assert_int_equal(finish(served), MH_OK);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_end_of_the_machine_ends_serving),
        TEST(a_machine_goes_on_after_a_detach_and_is_found_again),
        TEST(a_dropped_connection_leaves_it_stopped),
        TEST(who_listens_hears_each_packet),
        TEST(or_kills_it),
        TEST(or_lets_it_go_on),
        TEST(a_second_debugger_is_told_and_the_first_is_not_disturbed),
        TEST(a_machine_may_start_without_a_debugger),
        TEST(a_crash_without_a_debugger_is_the_end),
        TEST(unless_it_is_held_for_one),
        TEST(the_stop_descriptor_ends_a_waiting_session),
        TEST(who_finds_no_descriptor_left_comes_in_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
