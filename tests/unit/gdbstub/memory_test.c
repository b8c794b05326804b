/* Reading, writing, comparing and searching memory, against the fake machines. */
#include "fake_debugger.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS "error-message+"

static void memory_is_read(void **state)
{
    static const struct fake_exchange list[] = {
        {"m1000,4", "90909090"},
        {"m1ffe,2", "90f4"},
        {"m1ffff,1", "90"},
        {"m1fffe,10", "9090"}, /* only what is there */
        {"m20000,1", "E.no memory at virtual address 0x20000"},
        {"mffffffffffffffff,2", "E.no memory at virtual address 0xffffffffffffffff"},
        {"x1ffe,2", "b\x90\xf4"},
        {"x1fffe,10", "b\x90\x90"},
        {"x1000,0", "b"},
        {"x20000,1", "E.no memory at virtual address 0x20000"},
    };

    fake_debugger_expect_each(*state, TEXTS, list, COUNT(list));
}

static void malformed_memory_packets_are_errors(void **state)
{
    static const char *const bad[] = {
        "m",
        "m1000",
        "m1000,",
        "m,4",
        "m1000,4x",
        "m1000,0",
        "mg,4",
        "m10000000000000000,4",
        "x",
        "x1000",
        "x1000,",
        "x1000,4,",
        "M",
        "M1000",
        "M1000,2",
        "M1000,2:",
        "M1000,2:00",
        "M1000,2:000",
        "M1000,2:0000ff",
        "M1000,2:00g0",
        "M1000,10000000000000000:00",
        "M1000,ffffffffffffffff:00",
        "M1000,8000000000000000:",
        "X1000,2:a",
        "X1000,2:abc",
        "X1000",
        "X1000,1",
        "qCRC:",
        "qCRC:0",
        "qCRC:0,x",
        "qCRC:0,1x",
        "qSearch:memory:",
        "qSearch:memory:0",
        "qSearch:memory:0;10",
        "qSearch:memory:0;10;",
        "Qqemu.PhyMemMode:",
        "Qqemu.PhyMemMode:2",
        "Qqemu.PhyMemMode:01",
    };

    for (size_t i = 0; i < COUNT(bad); i++)
        assert_string_equal(fake_debugger_ask(*state, TEXTS, bad[i]), "E.malformed packet");
    assert_string_equal(fake_debugger_ask(*state, "", "m"), "E16");
}

static void memory_is_written(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct fake_exchange list[] = {
        {"M2000,3:0102ff", "OK"},
        {"m2000,3", "0102ff"},
        {"M2000,0:", "OK"},
        {"X2003,2:ab", "OK"},
        {"X0,0:", "OK"},
        {"m2003,2", "6162"},
        {"M1fffe,3:010203", "E.no memory at virtual address 0x20000"},
        {"M20000,1:00", "E.no memory at virtual address 0x20000"},
        {"Mffffffffffffffff,2:0000", "E.no memory at virtual address 0xffffffffffffffff"},
    };
    static const char all[] = "X3000,5:#$}*a";

    fake_debugger_expect_each(debugger, TEXTS, list, COUNT(list));
    fake_debugger_binary_packet(debugger, all, sizeof all - 1);
    fake_debugger_run(debugger);
    assert_string_equal(fake_debugger_last(debugger, 0)->text, "OK");
    assert_memory_equal(debugger->fake.machines[0].memory + 0x3000, "#$}*a", 5);
}

static void whole_packets_of_memory_pass(void **state)
{
    struct fake_debugger *debugger = *state;
    const size_t length = 0x1fff0;
    char *packet = malloc(length + 32);
    size_t head = (size_t)snprintf(packet, 32, "X0,%zx:", length - 32);

    for (size_t i = 0; i < length; i++)
        packet[head + i] = (char)('a' + i % 7);
    fake_debugger_binary_packet(debugger, packet, head + length - 32);
    fake_debugger_packet(debugger, "x0,1ffd0");
    fake_debugger_packet(debugger, "m0,10000");
    fake_debugger_run(debugger);
    assert_int_equal(debugger->reply_count, 3);
    assert_string_equal(debugger->replies[0].text, "OK");
    assert_int_equal(debugger->replies[1].length, length - 31);
    assert_memory_equal(debugger->replies[1].text + 1, packet + head, length - 32);
    assert_int_equal(debugger->replies[2].length, 0x20000);
    free(packet);
}

static void reads_of_any_size_are_bounded(void **state)
{
    struct fake_debugger *debugger = *state;

    assert_int_equal(strlen(fake_debugger_ask(debugger, TEXTS, "m0,ffffffffffffffff")), 0x20000);
    fake_debugger_ask(debugger, TEXTS, "x0,ffffffffffffffff");
    assert_int_equal(fake_debugger_last(debugger, 0)->length, 0x20000);
}

static void memory_is_compared_and_searched(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct fake_exchange list[] = {
        {"M100,9:313233343536373839", "OK"},
        {"qCRC:100,9", "C376e6e7"}, /* the check value of this CRC, "123456789", known from its catalogues */
        {"qCRC:100,0", "Cffffffff"},
        {"qCRC:1fff0,20", "E.no memory at virtual address 0x20000"},
        {"qSearch:memory:0;1000;123456789", "1,100"},
        {"qSearch:memory:0;109;123456789", "1,100"},
        {"qSearch:memory:0;108;123456789", "0"},
        {"qSearch:memory:101;1000;123456789", "0"},
        {"qSearch:memory:0;3;1234", "0"},
        {"qSearch:memory:200;ffffffffffffffff;123456789", "0"}, /* up to a hole without an end */
        {"qSearch:memory:20000;10;1", "E.no memory at virtual address 0x20000"},
    };

    fake_debugger_expect_each(debugger, TEXTS, list, COUNT(list));
}

static void a_match_across_chunks_is_found(void **state)
{
    struct fake_debugger *debugger = *state;

    for (unsigned at = 0xfff0; at < 0x10010; at++) {
        char reply[32];

        memcpy(debugger->fake.machines[0].memory + at, "needle", 6);
        snprintf(reply, sizeof reply, "1,%x", at);
        assert_string_equal(fake_debugger_ask(debugger, "", "qSearch:memory:0;20000;needle"), reply);
        memset(debugger->fake.machines[0].memory + at, 0x90, 6);
    }
}

static void physical_memory_is_another_space(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct fake_exchange list[] = {
        {"qqemu.PhyMemMode", "0"},    {"m800000,1", "E0e"},      {"Qqemu.PhyMemMode:1", "OK"},
        {"m800000,1", "90"},          {"qqemu.PhyMemMode", "1"}, {"qXfer:memory-map:read::0,fff", NULL},
        {"Qqemu.PhyMemMode:0", "OK"}, {"m800000,1", "E0e"},
    };

    fake_debugger_expect_session(debugger, list, COUNT(list));
    assert_non_null(strstr(debugger->replies[5].text, "start=\"0x800000\" length=\"0x20000\""));
}

/* As lldb walks: from region to region until one ends at the highest address. */
static void every_address_is_in_a_region(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct fake_exchange list[] = {
        {"qMemoryRegionInfo:0", "start:0;size:1000;permissions:r;"},
        {"qMemoryRegionInfo:1000", "start:1000;size:1000;permissions:rx;"},
        {"qMemoryRegionInfo:1fff", "start:1000;size:1000;permissions:rx;"},
        {"qMemoryRegionInfo:2000", "start:2000;size:1e000;permissions:rw;"},
        {"qMemoryRegionInfo:20000", "start:20000;size:fffffffffffdffff;"},
        {"qMemoryRegionInfo:ffffffffffffffff", "start:20000;size:fffffffffffdffff;"},
        {"qMemoryRegionInfo:", "E.malformed packet"},
        {"qMemoryRegionInfo:1,2", "E.malformed packet"},
        {"qMemoryRegionInfo", ""},
    };

    fake_debugger_expect_each(debugger, TEXTS, list, COUNT(list));
}

static void physical_regions_come_from_the_memory_map(void **state)
{
    static const struct fake_exchange list[] = {
        {"Qqemu.PhyMemMode:1", "OK"},
        {"qMemoryRegionInfo:1000", "start:0;size:20000;permissions:rwx;"},
        {"qMemoryRegionInfo:20000", "start:20000;size:7e0000;"},
        {"qMemoryRegionInfo:800000", "start:800000;size:20000;permissions:rwx;"},
        {"qMemoryRegionInfo:820000", "start:820000;size:ffffffffff7dffff;"},
    };

    fake_debugger_expect_session(*state, list, COUNT(list));
}

static void a_target_without_regions_has_no_such_packet(void **state)
{
    struct fake_debugger *debugger = *state;
    struct mh_debug_target_ops ops = *debugger->fake.target.ops;

    ops.memory_region = NULL;
    debugger->fake.target.ops = &ops;
    fake_debugger_expect(debugger, TEXTS, "qMemoryRegionInfo:0", "");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_debugger_of_two, fake_debugger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_is_read),
        TEST(malformed_memory_packets_are_errors),
        TEST(memory_is_written),
        TEST(whole_packets_of_memory_pass),
        TEST(reads_of_any_size_are_bounded),
        TEST(memory_is_compared_and_searched),
        TEST(a_match_across_chunks_is_found),
        TEST(physical_memory_is_another_space),
        TEST(every_address_is_in_a_region),
        TEST(physical_regions_come_from_the_memory_map),
        TEST(a_target_without_regions_has_no_such_packet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
