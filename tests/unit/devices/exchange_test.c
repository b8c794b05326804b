/* The exchange: whose turn it is, what may be read and written in it, and machines on threads that wait for each other.
 */
#include "devices/exchange.h"

#include "mh/guest_abi.h"
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE 8u
#define DATA MH_PORT_EXCHANGE
#define DONE MH_PORT_EXCHANGE_DONE
#define WRITER 1u

static char text[EXCHANGE_TEXT_MAX];

/* Machines 1 to 3, of which the first writes. */
static int set_up(void **state)
{
    struct mh_exchange *exchange;
    if (mh_exchange_create(3, SIZE, &exchange, NULL) != MH_OK)
        return -1;
    *state = exchange;
    return 0;
}

static int tear_down(void **state)
{
    mh_exchange_destroy(*state);
    return 0;
}

static uint32_t in(struct mh_exchange *exchange, unsigned number, uint16_t port, size_t width)
{
    uint8_t data[4] = {0};
    uint32_t value;
    exchange_in(exchange, number, port, data, width);
    memcpy(&value, data, sizeof value);
    return value;
}

static enum exchange_result out(struct mh_exchange *exchange, unsigned number, uint16_t port, uint32_t value,
                                size_t width)
{
    uint8_t data[4];
    memcpy(data, &value, sizeof data);
    return exchange_out(exchange, number, port, data, width, text);
}

static void interrupt(struct mh_exchange *exchange, unsigned number)
{
    assert_true(exchange_is_pending(exchange, number));
    exchange_take_interrupt(exchange, number);
    assert_false(exchange_is_pending(exchange, number));
}

static void learn_roles(struct mh_exchange *exchange, unsigned machines)
{
    for (unsigned number = 1; number <= machines; number++) {
        interrupt(exchange, number);
        assert_int_equal(in(exchange, number, DATA, 4), number == WRITER);
    }
}

/* Send some of the alphabet; returns how many bytes were accepted. */
static uint32_t send(struct mh_exchange *exchange, uint32_t length)
{
    assert_int_equal(out(exchange, WRITER, DATA, length, 4), EXCHANGE_DONE);
    for (uint32_t i = 0; i < length; i++)
        assert_int_equal(out(exchange, WRITER, DATA, 'a' + i % 26, 1), EXCHANGE_DONE);
    return in(exchange, WRITER, DONE, 4);
}

static void receive(struct mh_exchange *exchange, unsigned number, uint32_t length)
{
    interrupt(exchange, number);
    assert_int_equal(in(exchange, number, DATA, 4), length);
    for (uint32_t i = 0; i < length; i++)
        assert_int_equal(in(exchange, number, DATA, 1), 'a' + i % 26);
    assert_int_equal(out(exchange, number, DONE, length, 4), EXCHANGE_DONE);
}

static enum exchange_wait wait_for(struct mh_exchange *exchange, unsigned number)
{
    return exchange_wait(exchange, number, NULL, 0, text);
}

/* ---- turns ---- */

static void everybody_learns_a_role_first(void **state)
{
    struct mh_exchange *exchange = *state;
    interrupt(exchange, WRITER);
    assert_false(exchange_is_pending(exchange, WRITER));
    assert_int_equal(in(exchange, WRITER, DATA, 1), 1);
    assert_true(exchange_is_pending(exchange, WRITER)); /* its turn */
    interrupt(exchange, 2);
    assert_int_equal(in(exchange, 2, DATA, 4), 0);
    assert_false(exchange_is_pending(exchange, 2));
}

static void a_turn_ends_when_all_have_reported(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    assert_int_equal(send(exchange, 5), 5);
    assert_false(exchange_is_pending(exchange, WRITER));
    receive(exchange, 3, 5);
    assert_false(exchange_is_pending(exchange, WRITER));
    receive(exchange, 2, 5);
    assert_true(exchange_is_pending(exchange, WRITER));
}

static void a_reader_that_learns_its_role_late_gets_the_data(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 2);
    interrupt(exchange, WRITER);
    send(exchange, 3);
    receive(exchange, 2, 3);
    assert_false(exchange_is_pending(exchange, WRITER));
    interrupt(exchange, 3);
    assert_int_equal(in(exchange, 3, DATA, 1), 0);
    receive(exchange, 3, 3);
    assert_true(exchange_is_pending(exchange, WRITER));
}

static void what_exceeds_the_buffer_is_not_accepted(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    assert_int_equal(send(exchange, 100), SIZE);
    receive(exchange, 2, SIZE);
}

static void an_empty_turn_is_a_turn(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    assert_int_equal(send(exchange, 0), 0);
    receive(exchange, 2, 0);
    receive(exchange, 3, 0);
    assert_true(exchange_is_pending(exchange, WRITER));
}

static void asking_early_ends_the_turn(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    out(exchange, WRITER, DATA, 0xffffffff, 4);
    out(exchange, WRITER, DATA, 'b' << 8 | 'a', 2);
    assert_int_equal(in(exchange, WRITER, DONE, 4), 2);
    receive(exchange, 2, 2);
}

static void words_may_reach_beyond_the_end(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 2);
    interrupt(exchange, WRITER);
    out(exchange, WRITER, DATA, 1, 4);
    assert_int_equal(out(exchange, WRITER, DATA, 0x12345678, 4), EXCHANGE_DONE);
    assert_int_equal(in(exchange, WRITER, DONE, 2), 1);
    interrupt(exchange, 2);
    in(exchange, 2, DATA, 4);
    assert_int_equal(in(exchange, 2, DATA, 4), 0x78);
}

static void out_of_turn_nothing_happens(void **state)
{
    struct mh_exchange *exchange = *state;
    for (unsigned number = 1; number <= 2; number++) {
        assert_int_equal(in(exchange, number, DATA, 4), 0xffffffff);
        assert_int_equal(in(exchange, number, DONE, 4), 0xffffffff);
        assert_int_equal(out(exchange, number, DATA, 1, 4), EXCHANGE_OUT_OF_TURN);
        assert_int_equal(out(exchange, number, DONE, 1, 4), EXCHANGE_OUT_OF_TURN);
    }
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    assert_int_equal(out(exchange, 2, DATA, 1, 1), EXCHANGE_OUT_OF_TURN);
    assert_int_equal(send(exchange, 1), 1);
}

/* ---- breaking the rules ---- */

static void a_report_that_is_not_true_is_an_error(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    send(exchange, 3);
    interrupt(exchange, 2);
    assert_int_equal(out(exchange, 2, DONE, 3, 4), EXCHANGE_BROKEN);
    assert_string_equal(text, "it reported 3 bytes of the exchange as read, and has read 0 of them");
    interrupt(exchange, 3);
    assert_int_equal(in(exchange, 3, DATA, 4), 3);
    assert_int_equal(out(exchange, 3, DONE, 0, 4), EXCHANGE_BROKEN);
    assert_string_equal(text, "it reported 0 of the 3 bytes of the exchange as read");
    mh_exchange_leave(exchange, 2);
    assert_false(exchange_is_pending(exchange, WRITER));
    mh_exchange_leave(exchange, 3);
    assert_int_equal(wait_for(exchange, WRITER), EXCHANGE_NO_MORE);
}

static void nobody_may_wait_with_a_turn_unfinished(void **state)
{
    struct mh_exchange *exchange = *state;
    interrupt(exchange, 2);
    assert_int_equal(wait_for(exchange, 2), EXCHANGE_STOPPED);
    assert_text_has(text, "has not read its role");
    interrupt(exchange, 3);
    in(exchange, 3, DATA, 1);
    interrupt(exchange, WRITER);
    in(exchange, WRITER, DATA, 1);
    interrupt(exchange, WRITER);
    out(exchange, WRITER, DATA, 2, 1);
    assert_int_equal(wait_for(exchange, WRITER), EXCHANGE_STOPPED);
    assert_text_has(text, "has sent 1 of the 4 bytes of a count");
    out(exchange, WRITER, DATA, 0, 4); /* three bytes of the count, and one of the two announced */
    assert_int_equal(wait_for(exchange, WRITER), EXCHANGE_STOPPED);
    assert_text_has(text, "has sent 1 of the 2 bytes it announced");
    out(exchange, WRITER, DATA, 0, 1);
    interrupt(exchange, 3);
    assert_int_equal(wait_for(exchange, 3), EXCHANGE_STOPPED);
    assert_text_has(text, "has not reported to port 0x520 how many of the 2 bytes it read");
}

/* ---- waiting, and the ends of machines ---- */

static void the_last_to_wait_ends_the_wait_of_all(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER); /* and has nothing to say */
    mh_exchange_leave(exchange, 2);
    mh_exchange_leave(exchange, 2);
    mh_exchange_leave(exchange, 3);
    assert_int_equal(wait_for(exchange, WRITER), EXCHANGE_NO_MORE);
    exchange_return(exchange, 3);
    mh_exchange_leave(exchange, WRITER);
    assert_int_equal(wait_for(exchange, 3), EXCHANGE_NO_MORE);
}

static void data_is_read_after_its_writer_has_ended(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    send(exchange, 4);
    mh_exchange_leave(exchange, WRITER);
    assert_int_equal(wait_for(exchange, 2), EXCHANGE_INTERRUPT);
    receive(exchange, 2, 4);
    assert_int_equal(wait_for(exchange, 2), EXCHANGE_NO_MORE);
}

/* What the writer has sent since is shorter than what it had begun to read. */
static void a_reader_that_returns_late_has_lost_its_turn(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    send(exchange, SIZE);
    interrupt(exchange, 2);
    in(exchange, 2, DATA, 4);
    in(exchange, 2, DATA, 2);
    mh_exchange_leave(exchange, 2);
    receive(exchange, 3, SIZE);
    interrupt(exchange, WRITER);
    send(exchange, 1);
    exchange_return(exchange, 2);
    for (unsigned i = 0; i < 2 * SIZE; i++)
        assert_int_equal(in(exchange, 2, DATA, 4), 0xffffffff);
    assert_int_equal(out(exchange, 2, DONE, 2, 4), EXCHANGE_OUT_OF_TURN);
    receive(exchange, 3, 1);
    interrupt(exchange, WRITER);
    send(exchange, 3);
    receive(exchange, 2, 3);
}

static void a_reader_that_returns_in_time_keeps_its_turn(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    send(exchange, 3);
    interrupt(exchange, 2);
    in(exchange, 2, DATA, 4);
    mh_exchange_leave(exchange, 2);
    exchange_return(exchange, 2);
    assert_int_equal(in(exchange, 2, DATA, 4), 'c' << 16 | 'b' << 8 | 'a');
    assert_int_equal(out(exchange, 2, DONE, 3, 4), EXCHANGE_DONE);
}

/* There was no turn for the writer while nobody listened. */
static void a_reader_that_returns_is_sent_data_again(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    send(exchange, 1);
    mh_exchange_leave(exchange, 2);
    mh_exchange_leave(exchange, 3);
    assert_false(exchange_is_pending(exchange, WRITER));
    exchange_return(exchange, 3);
    assert_true(exchange_is_pending(exchange, WRITER));
}

static void input_for_a_debugger_ends_a_wait(void **state)
{
    struct mh_exchange *exchange = *state;
    int ends[2];
    learn_roles(exchange, 3);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(exchange_wait(exchange, 2, ends, 1, text), EXCHANGE_WAIT_ENDS);
    assert_false(exchange_is_pending(exchange, 2));
    close(ends[0]);
    close(ends[1]);
}

static void a_machine_that_is_restarted_learns_its_role_again(void **state)
{
    struct mh_exchange *exchange = *state;
    learn_roles(exchange, 3);
    interrupt(exchange, WRITER);
    send(exchange, 4);
    interrupt(exchange, 2);
    receive(exchange, 3, 4);
    exchange_restart(exchange, 2);
    assert_true(exchange_is_pending(exchange, WRITER)); /* what it had not read is gone */
    interrupt(exchange, 2);
    assert_int_equal(in(exchange, 2, DATA, 1), 0);
    exchange_restart(exchange, WRITER);
    interrupt(exchange, WRITER);
    assert_int_equal(in(exchange, WRITER, DATA, 4), 1);
    interrupt(exchange, WRITER);
    assert_int_equal(send(exchange, 2), 2);
}

/* ---- machines on threads ---- */

#define ROUNDS 300u
#define MACHINES 5u

struct machine {
    struct mh_exchange *exchange;
    unsigned number;
    unsigned rounds; /* how many it takes part in */
    unsigned turns;  /* it had */
    pthread_t thread;
};

static void machine_take_turn(struct machine *machine)
{
    struct mh_exchange *exchange = machine->exchange;
    uint8_t data[4] = {(uint8_t)machine->turns, 0, 0, 0};
    const uint8_t count[4] = {1};
    char why[EXCHANGE_TEXT_MAX];
    if (machine->number == WRITER) {
        exchange_out(exchange, WRITER, DATA, count, 4, why);
        exchange_out(exchange, WRITER, DATA, data, 1, why);
        exchange_in(exchange, WRITER, DONE, data, 4);
    } else {
        exchange_in(exchange, machine->number, DATA, data, 4);
        exchange_in(exchange, machine->number, DATA, data, 1);
        exchange_out(exchange, machine->number, DONE, count, 4, why);
    }
}

static void *machine_run(void *ctx)
{
    struct machine *machine = ctx;
    uint8_t role[4];
    char why[EXCHANGE_TEXT_MAX];
    while (machine->turns < machine->rounds &&
           exchange_wait(machine->exchange, machine->number, NULL, 0, why) == EXCHANGE_INTERRUPT) {
        exchange_take_interrupt(machine->exchange, machine->number);
        if (machine->turns++ == 0)
            exchange_in(machine->exchange, machine->number, DATA, role, 1);
        else
            machine_take_turn(machine);
    }
    mh_exchange_leave(machine->exchange, machine->number);
    return NULL;
}

/* Readers end one after the other, and the writer when there are none. */
static void threads_take_turns_until_the_last_reader_ends(void **state)
{
    struct machine machines[MACHINES];
    (void)state;
    struct mh_exchange *exchange;
    assert_int_equal(mh_exchange_create(MACHINES, SIZE, &exchange, NULL), MH_OK);
    for (unsigned i = 0; i < MACHINES; i++) {
        machines[i] = (struct machine){
            .exchange = exchange, .number = i + 1, .rounds = i == 0 ? UINT32_MAX : ROUNDS / (MACHINES - i)};
        assert_int_equal(pthread_create(&machines[i].thread, NULL, machine_run, &machines[i]), 0);
    }
    for (unsigned i = 0; i < MACHINES; i++)
        pthread_join(machines[i].thread, NULL);
    for (unsigned i = 1; i < MACHINES; i++)
        assert_int_equal(machines[i].turns, machines[i].rounds);
    assert_in_range(machines[0].turns, ROUNDS, ROUNDS + 1);
    mh_exchange_destroy(exchange);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everybody_learns_a_role_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_turn_ends_when_all_have_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_learns_its_role_late_gets_the_data, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_exceeds_the_buffer_is_not_accepted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_turn_is_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(asking_early_ends_the_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_may_reach_beyond_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(out_of_turn_nothing_happens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_report_that_is_not_true_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_may_wait_with_a_turn_unfinished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_to_wait_ends_the_wait_of_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(data_is_read_after_its_writer_has_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_returns_late_has_lost_its_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_returns_in_time_keeps_its_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_returns_is_sent_data_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(input_for_a_debugger_ends_a_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_machine_that_is_restarted_learns_its_role_again, set_up, tear_down),
        cmocka_unit_test(threads_take_turns_until_the_last_reader_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
