#include "anywhere_gdb.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

/* A launcher's entrance, and somebody who knocks there. */
struct fixture {
    struct anywhere_gdb gdb;
    struct relay relay;
    int machine, debugger;
};

static bool take_frame(void *ctx, const struct wire_frame *frame)
{
    (void)ctx, (void)frame;
    return false;
}

static int set_up(void **state)
{
    const struct options options = {.gdb = true, .gdb_all = true, .gdb_endpoint.transport = MH_GDB_TCP};
    struct fixture *f = calloc(1, sizeof *f);
    struct mh_error err;
    int ends[2];
    if (f == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        return -1;
    relay_init(&f->relay, ends[0], take_frame, f);
    f->machine = ends[1];
    *state = f;
    if (anywhere_gdb_open(&f->gdb, &options, &err) != MH_OK)
        return -1;
    f->debugger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(f->gdb.entrances[0].listener.endpoint.port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(f->debugger, (const struct sockaddr *)&address, sizeof address);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    relay_close(&f->relay);
    anywhere_gdb_close(&f->gdb);
    close(f->relay.channel);
    close(f->machine);
    close(f->debugger);
    free(f);
    return 0;
}

/* What there is to watch is readable within this time. */
static bool knocks(const struct fixture *f, int timeout_ms)
{
    struct pollfd fd = {.fd = anywhere_gdb_fd(&f->gdb, 0), .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1;
}

/* The number of the descriptor that `left` others would be opened before. */
static int number_after(const struct fixture *f, unsigned left)
{
    int next = dup(f->debugger);
    int after = left == 0 ? next : number_after(f, left - 1);
    close(next);
    return after;
}

/* Let in who knocks while so many descriptors are left. */
static void accept_with(struct fixture *f, unsigned left)
{
    struct rlimit enough, hardly;
    assert_true(knocks(f, PATIENCE_MS));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &enough), 0);
    hardly = enough;
    hardly.rlim_cur = (rlim_t)number_after(f, left);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &hardly), 0);
    anywhere_gdb_accept(&f->gdb, 0, &f->relay);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &enough), 0);
}

static void who_comes_gets_a_stream(void **state)
{
    struct fixture *f = *state;
    unsigned stream = relay_free_stream(&f->relay);
    accept_with(f, 2);
    assert_false(relay_may_open(&f->relay, stream));
    assert_false(knocks(f, 0));
}

static void while_no_descriptor_is_left_who_comes_waits_and_nothing_spins(void **state)
{
    struct fixture *f = *state;
    unsigned stream = relay_free_stream(&f->relay);
    accept_with(f, 0);
    assert_true(relay_may_open(&f->relay, stream));
    assert_int_not_equal(anywhere_gdb_fd(&f->gdb, 0), f->gdb.entrances[0].listener.fd);
    who_comes_gets_a_stream(state);
}

static void who_cannot_have_both_descriptors_is_sent_away(void **state)
{
    struct fixture *f = *state;
    unsigned stream = relay_free_stream(&f->relay);
    char byte;
    accept_with(f, 1);
    assert_true(relay_may_open(&f->relay, stream));
    assert_int_equal(recv(f->debugger, &byte, 1, 0), 0);
    assert_false(knocks(f, 0));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_comes_gets_a_stream),
        TEST(while_no_descriptor_is_left_who_comes_waits_and_nothing_spins),
        TEST(who_cannot_have_both_descriptors_is_sent_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
