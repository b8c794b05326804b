/* Every command that answers at once, against the fake machines. */
#include "fake_debugger.h"
#include "gdbstub/dispatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS "error-message+"
#define MULTI "multiprocess+;error-message+"

static int set_up(void **state)
{
    *state = fake_debugger_new(2);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    fake_debugger_free(*state);
    return 0;
}

struct exchange {
    const char *packet, *reply;
};

static void expect(struct fake_debugger *debugger, const char *features, const struct exchange *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fake_debugger_expect(debugger, features, list[i].packet, list[i].reply);
}

#define EXPECT(debugger, features, list) expect(debugger, features, list, sizeof(list) / sizeof((list)[0]))

/* --- memory --- */

static void memory_is_read(void **state)
{
    static const struct exchange list[] = {
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

    EXPECT(*state, TEXTS, list);
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

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_string_equal(fake_debugger_ask(*state, TEXTS, bad[i]), "E.malformed packet");
    assert_string_equal(fake_debugger_ask(*state, "", "m"), "E16");
}

static void memory_is_written(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct exchange list[] = {
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

    EXPECT(debugger, TEXTS, list);
    fake_debugger_binary_packet(debugger, all, sizeof(all) - 1);
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
    static const struct exchange list[] = {
        {"M100,9:313233343536373839", "OK"},
        {"qCRC:100,9", "C376e6e7"}, /* the check value of this CRC, "123456789", known from its catalogues */
        {"qCRC:100,0", "Cffffffff"},
        {"qCRC:1fff0,20", "E.no memory at virtual address 0x20000"},
        {"qSearch:memory:0;1000;123456789", "1,100"},
        {"qSearch:memory:0;109;123456789", "1,100"},
        {"qSearch:memory:0;108;123456789", "0"},
        {"qSearch:memory:101;1000;123456789", "0"},
        {"qSearch:memory:0;3;1234", "0"},
        {"qSearch:memory:200;ffffffffffffffff;123456789", "E.no memory at virtual address 0x20000"},
        {"qSearch:memory:20000;10;1", "E.no memory at virtual address 0x20000"},
    };

    EXPECT(debugger, TEXTS, list);
}

static void a_match_across_chunks_is_found(void **state)
{
    struct fake_debugger *debugger = *state;

    for (unsigned at = 0xfff0; at < 0x10010; at++) {
        char reply[32];

        memcpy(debugger->fake.machines[0].memory + at, "needle", 6);
        snprintf(reply, sizeof(reply), "1,%x", at);
        assert_string_equal(fake_debugger_ask(debugger, "", "qSearch:memory:0;20000;needle"), reply);
        memset(debugger->fake.machines[0].memory + at, 0x90, 6);
    }
}

static void physical_memory_is_another_space(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_debugger_packet(debugger, "qqemu.PhyMemMode");
    fake_debugger_packet(debugger, "m800000,1");
    fake_debugger_packet(debugger, "Qqemu.PhyMemMode:1");
    fake_debugger_packet(debugger, "m800000,1");
    fake_debugger_packet(debugger, "qqemu.PhyMemMode");
    fake_debugger_packet(debugger, "qXfer:memory-map:read::0,fff");
    fake_debugger_packet(debugger, "Qqemu.PhyMemMode:0");
    fake_debugger_packet(debugger, "m800000,1");
    fake_debugger_run(debugger);
    assert_string_equal(debugger->replies[0].text, "0");
    assert_string_equal(debugger->replies[1].text, "E0e");
    assert_string_equal(debugger->replies[2].text, "OK");
    assert_string_equal(debugger->replies[3].text, "90");
    assert_string_equal(debugger->replies[4].text, "1");
    assert_non_null(strstr(debugger->replies[5].text, "start=\"0x800000\" length=\"0x20000\""));
    assert_string_equal(debugger->replies[7].text, "E0e");
}

/* --- registers --- */

/* In a session that has read the description first. */
static const char *ask_described(struct fake_debugger *debugger, const char *packet)
{
    fake_debugger_packet(debugger, "qSupported:" TEXTS);
    fake_debugger_packet(debugger, "qXfer:features:read:target.xml:0,10");
    fake_debugger_packet(debugger, packet);
    fake_debugger_run(debugger);
    return fake_debugger_last(debugger, 0)->text;
}

static void registers_are_read(void **state)
{
    struct fake_debugger *debugger = *state;
    const char *all = ask_described(debugger, "g");
    struct gdb_x86_layout layout;
    static const struct exchange list[] = {
        {"p10", "0010000000000000"},
        {"p11", "02000000"},
        {"p12", "08000000"},
        {"p20", "7f030000"},
        {"pff", "E.no register has number 255"},
        {"pffffffffffffffff", "E.no register has number 18446744073709551615"},
        {"p", "E.malformed packet"},
        {"p1x", "E.malformed packet"},
        {"p10000000000000000", "E.malformed packet"},
    };

    gdb_x86_layout_init(&layout, debugger->fake.xcr0);
    assert_int_equal(strlen(all), 2 * layout.bytes);
    assert_memory_equal(all + 32 * 8,
                        "0010000000000000"
                        "02000000",
                        24);
    EXPECT(debugger, TEXTS, list);
}

static void registers_are_written(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);
    static const struct exchange list[] = {
        {"P10=8877665544332211", "OK"},
        {"P12=01000100", "E.cs has 16 bits"},
        {"P12=10000000", "OK"},
        {"P10=00", "E.malformed packet"},
        {"P10=00000000000000000", "E.malformed packet"},
        {"P10=000000000000000g", "E.malformed packet"},
        {"P10", "E.malformed packet"},
        {"P10:0000000000000000", "E.malformed packet"},
        {"P=00", "E.malformed packet"},
        {"Pffff=00", "E.no register has number 65535"},
    };

    EXPECT(debugger, TEXTS, list);
    assert_true(machine->regs.general.rip == 0x1122334455667788);
    assert_int_equal(machine->regs.system.seg[MH_CS].selector, 0x10);
}

static void refusals_of_registers_are_told(void **state)
{
    struct fake_debugger *debugger = *state;
    struct gdb_x86_layout layout;
    char packet[64];

    gdb_x86_layout_init(&layout, debugger->fake.xcr0);
    snprintf(packet, sizeof(packet), "P%x=00000000", (unsigned)gdb_x86_find(&layout, "cr0"));
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, packet), "E.cr0: protection stays on");
    assert_string_equal(fake_debugger_ask(debugger, "", packet), "E01");
    debugger->fake.refuse_regs = true;
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "g"), "E.rax is shy");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "p0"), "E.rax is shy");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "P0=0000000000000000"), "E.rax is shy");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "?"), "T05thread:1;");
}

static void without_a_description_only_what_all_know_is_sent(void **state)
{
    const size_t known = 164 + 80 + 32 + 256 + 4;
    char packet[8192];

    assert_int_equal(strlen(fake_debugger_ask(*state, TEXTS, "g")), 2 * known);
    snprintf(packet, sizeof(packet), "G%s", fake_debugger_ask(*state, TEXTS, "g"));
    assert_string_equal(fake_debugger_ask(*state, TEXTS, packet), "OK");
    assert_string_equal(ask_described(*state, packet), "E.malformed packet");
}

static void all_registers_are_written_at_once(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);
    char packet[8192];

    snprintf(packet, sizeof(packet), "G%s", ask_described(debugger, "g"));
    assert_string_equal(ask_described(debugger, packet), "OK");
    assert_int_equal(machine->written_groups, 0); /* nothing differs */
    memcpy(packet + 1, "2a00000000000000", 16);
    assert_string_equal(ask_described(debugger, packet), "OK");
    assert_int_equal(machine->written_groups, MH_REGS_GENERAL);
    assert_int_equal(machine->regs.general.gpr[MH_RAX], 0x2a);
    packet[strlen(packet) - 1] = '\0';
    assert_string_equal(ask_described(debugger, packet), "E.malformed packet");
    assert_string_equal(ask_described(debugger, "G"), "E.malformed packet");
    packet[5] = 'z';
    assert_string_equal(ask_described(debugger, packet), "E.malformed packet");
}

/* --- break- and watchpoints --- */

static void breakpoints_are_set_and_cleared(void **state)
{
    struct fake_debugger *debugger = *state;

    for (char kind = '0'; kind <= '4'; kind++) {
        char packet[] = "Z0,1234,1";

        packet[1] = kind;
        fake_debugger_packet(debugger, packet);
        fake_debugger_packet(debugger, packet);
    }
    fake_debugger_run(debugger);
    for (unsigned i = 0; i < 10; i++)
        assert_string_equal(debugger->replies[i].text, "OK");
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 5);
    assert_int_equal(fake_target_breaks(&debugger->fake, 2), 0);
    for (char kind = '0'; kind <= '4'; kind++) {
        char packet[] = "z0,1234,1";

        packet[1] = kind;
        assert_string_equal(fake_debugger_ask(debugger, TEXTS, packet), "OK");
        assert_string_equal(fake_debugger_ask(debugger, TEXTS, packet), "OK");
    }
    assert_int_equal(fake_target_breaks(&debugger->fake, 1), 0);
}

static void refused_breakpoints_say_why(void **state)
{
    struct fake_debugger *debugger = *state;
    static const struct exchange list[] = {
        {"Z1,1,1", "OK"},
        {"Z1,2,1", "OK"},
        {"Z1,3,1", "OK"},
        {"Z1,4,1", "OK"},
        {"Z1,5,1", "E.cannot insert: all four hardware slots are in use"},
        {"Z5,0,1", ""},
        {"z5,0,1", ""},
        {"Z2,0,0", "E.malformed packet"},
        {"Z0,0", "E.malformed packet"},
        {"Z2,0,1;X1,00", "E.malformed packet"},
        {"z0,0,1;X1,00", "E.malformed packet"},
        {"Z", "E.malformed packet"},
        {"Z0", "E.malformed packet"},
        {"Z,0,1", "E.malformed packet"},
    };

    EXPECT(debugger, TEXTS, list);
    assert_string_equal(fake_debugger_ask(debugger, "", "Z1,5,1"), "E01");
}

/* --- queries --- */

static void features_are_negotiated(void **state)
{
    struct fake_debugger *debugger = *state;
    const char *plain = fake_debugger_ask(debugger, "", "qSupported");

    assert_non_null(strstr(plain, "PacketSize=20000"));
    assert_null(strstr(plain, "multiprocess"));
    assert_null(strstr(plain, "error-message"));
    assert_non_null(
        strstr(fake_debugger_ask(debugger, "", "qSupported:multiprocess+;xmlRegisters=i386"), "multiprocess+"));
    assert_non_null(strstr(fake_debugger_ask(debugger, "", "qSupported:error-message+"), "error-message+"));
    assert_null(strstr(fake_debugger_ask(debugger, "", "qSupported:multiprocess-;multiprocess"), "multiprocess"));
}

static void unknown_packets_get_the_empty_reply(void **state)
{
    static const char *const unknown[] = {"vMustReplyEmpty",
                                          "vUnknown",
                                          "qTStatus",
                                          "QNonStop:1",
                                          "b",
                                          "r",
                                          "qSymbol::",
                                          "qHostInfo",
                                          "jLLDB",
                                          "vFile:size:00",
                                          "qXfer:auxv:read::0,10",
                                          "QAgent:1",
                                          "qOffsets",
                                          "A1,0,00",
                                          "Hx0",
                                          "\x7f",
                                          "R00"};

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_string_equal(fake_debugger_ask(*state, MULTI, unknown[i]), "");
        assert_int_equal(((struct fake_debugger *)*state)->reply_count, 2);
    }
}

static void switches_are_checked(void **state)
{
    static const struct exchange list[] = {
        {"QThreadEvents:1", "OK"},
        {"QThreadEvents:0", "OK"},
        {"QThreadEvents:2", "E.malformed packet"},
        {"QPassSignals:e;10", "OK"},
        {"QPassSignals:", "OK"},
        {"QPassSignals:100", "E.malformed packet"},
        {"QPassSignals:e,10", "E.malformed packet"},
        {"QProgramSignals:0;1;ff", "OK"},
        {"QProgramSignals:x", "E.malformed packet"},
        {"vCtrlC", "OK"},
        {"!", "OK"},
    };

    EXPECT(*state, TEXTS, list);
}

static void threads_are_machines(void **state)
{
    static const struct exchange multi[] = {
        {"qC", "QCp1.1"},
        {"qfThreadInfo", "mp1.1,p2.2"},
        {"qsThreadInfo", "l"},
        {"qThreadExtraInfo,p2.2", "613c62"},
        {"qThreadExtraInfo,p3.3", "E.no such thread"},
        {"Tp1.1", "OK"},
        {"Tp1.2", "E.no such thread"},
        {"Tp9.9", "E.no such thread"},
        {"T", "E.malformed packet"},
        {"Tx", "E.malformed packet"},
        {"Tp1", "OK"}, /* all threads of the process: the one */
        {"Hgp2.2", "OK"},
        {"Hgp2.-1", "OK"},
        {"Hgp0.0", "OK"},
        {"Hc-1", "OK"},
        {"Hcp-1.-1", "OK"},
        {"Hg3", "E.no such thread"},
        {"Hgp2.1", "E.no such thread"},
        {"Hg", "E.malformed packet"},
        {"H", ""},
        {"Hgp1.1x", "E.malformed packet"},
        {"Hg100000000", "E.malformed packet"},
        {"qAttached", "0"},
        {"qAttached:2", "0"},
        {"qAttached:3", "E.there is no VM 3"},
        {"qAttached:x", "E.malformed packet"},
        {"qXfer:threads:read::0,fff",
         "l<threads><thread id=\"p1.1\" name=\"hello\"/><thread id=\"p2.2\" name=\"a&#60;b\"/></threads>"},
    };
    static const struct exchange single[] = {
        {"qC", "QC1"}, {"qfThreadInfo", "m1,2"}, {"T2", "OK"}, {"T3", "E03"}, {"qXfer:threads:read::0,9", "m<threads>"},
    };

    EXPECT(*state, MULTI, multi);
    EXPECT(*state, "", single);
}

static void the_selected_machine_answers(void **state)
{
    struct fake_debugger *debugger = *state;

    fake_machine(&debugger->fake, 2)->memory[0x4000] = 0x42;
    fake_debugger_packet(debugger, "m4000,1");
    fake_debugger_packet(debugger, "Hg2");
    fake_debugger_packet(debugger, "m4000,1");
    fake_debugger_packet(debugger, "Z0,1,1");
    fake_debugger_packet(debugger, "P0=0100000000000000");
    fake_debugger_run(debugger);
    assert_string_equal(debugger->replies[0].text, "90");
    assert_string_equal(debugger->replies[2].text, "42");
    assert_int_equal(fake_target_breaks(&debugger->fake, 2), 1);
    assert_int_equal(fake_machine(&debugger->fake, 2)->regs.general.gpr[MH_RAX], 1);
    assert_int_equal(fake_machine(&debugger->fake, 1)->regs.general.gpr[MH_RAX], 0);
}

static void documents_come_in_parts(void **state)
{
    struct fake_debugger *debugger = *state;
    char whole[0x10000] = "", packet[64];
    const char *part;

    do {
        snprintf(packet, sizeof(packet), "qXfer:features:read:target.xml:%zx,ff", strlen(whole));
        part = fake_debugger_ask(debugger, "", packet);
        assert_true(part[0] == 'm' || part[0] == 'l');
        strcat(whole, part + 1);
    } while (part[0] == 'm');
    assert_string_equal(whole, fake_debugger_ask(debugger, "", "qXfer:features:read:target.xml:0,fffff") + 1);
    assert_non_null(strstr(whole, "</target>"));
}

static void documents_are_asked_for_correctly(void **state)
{
    static const struct exchange list[] = {
        {"qXfer:features:read:other.xml:0,10", "E.no such document"},
        {"qXfer:features:read:target.xml:0", "E.malformed packet"},
        {"qXfer:features:read:target.xml", "E.malformed packet"},
        {"qXfer:features:read:target.xml:0,10,", "E.malformed packet"},
        {"qXfer:features:read:target.xml:fffffffffffffff,10", "E.no such part of the document"},
        {"qXfer:threads:read::ffffff,1", "E.no such part of the document"},
        {"qXfer:exec-file:read::0,fff", "l/guests/hello.elf"},
        {"qXfer:exec-file:read:2:0,fff", "l/guests/hello.elf"},
        {"qXfer:exec-file:read:9:0,fff", "E.no such document"},
        {"qXfer:exec-file:read:x:0,fff", "E.no such document"},
        {"qXfer:exec-file:read:1:f,1", "ml"},
        {"qXfer:exec-file:read:1:10,1", "lf"},
        {"qXfer:exec-file:read:1:11,1", "l"},
        {"qXfer:exec-file:read:1:10,0", "m"},
    };

    EXPECT(*state, TEXTS, list);
    ((struct fake_debugger *)*state)->fake.flat = true;
    assert_string_equal(fake_debugger_ask(*state, TEXTS, "qXfer:exec-file:read:1:0,fff"), "E.no such document");
}

static void the_memory_map_never_hides_what_a_guest_maps(void **state)
{
    const char *map = fake_debugger_ask(*state, "", "qXfer:memory-map:read::0,fff");

    assert_non_null(strstr(map, "start=\"0x0\" length=\"0x800000000000\""));
    assert_non_null(strstr(map, "start=\"0xffff800000000000\" length=\"0x800000000000\""));
}

/* --- files --- */

static void files_are_read(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char text[] = "what the guest wrote: $ # } *\n";
    const struct fake_reply *read;

    fake_debugger_packet(debugger, "vFile:setfs:1");
    fake_debugger_packet(debugger, "vFile:open:6e6f7465732e747874,0,0"); /* notes.txt */
    fake_debugger_packet(debugger, "vFile:fstat:0");
    fake_debugger_packet(debugger, "vFile:pread:0,1000,0");
    fake_debugger_packet(debugger, "vFile:pread:0,4,5");
    fake_debugger_packet(debugger, "vFile:pread:0,4,fff");
    fake_debugger_packet(debugger, "vFile:close:0");
    fake_debugger_packet(debugger, "vFile:close:0");
    fake_debugger_packet(debugger, "vFile:pread:0,4,0");
    fake_debugger_run(debugger);
    assert_string_equal(debugger->replies[0].text, "F0");
    assert_string_equal(debugger->replies[1].text, "F0");
    assert_memory_equal(debugger->replies[2].text, "F40;", 4);
    assert_int_equal(debugger->replies[2].length, 4 + 64);
    assert_memory_equal(debugger->replies[2].text + 4 + 8, "\0\0\x81\x24", 4); /* a regular file, 0444 */
    assert_int_equal(debugger->replies[2].text[4 + 35], sizeof(text) - 1);
    read = &debugger->replies[3];
    assert_memory_equal(read->text, "F1e;", 4);
    assert_memory_equal(read->text + 4, text, sizeof(text) - 1);
    assert_string_equal(debugger->replies[4].text, "F4;the ");
    assert_string_equal(debugger->replies[5].text, "F0;");
    assert_string_equal(debugger->replies[6].text, "F0");
    assert_string_equal(debugger->replies[7].text, "F-1,9");
    assert_string_equal(debugger->replies[8].text, "F-1,9");
}

static void nothing_else_of_the_host_can_be_had(void **state)
{
    static const struct exchange list[] = {
        {"vFile:open:2f6574632f706173737764,0,0", "F-1,d"},
        {"vFile:open:6e6f6e65,0,0", "F-1,2"},
        {"vFile:open:6e6f7465732e747874,1,0", "F-1,1e"},
        {"vFile:open:6e6f7465732e747874,200,1b6", "F-1,1e"},
        {"vFile:open:,0,0", "F-1,16"},
        {"vFile:open:6e0061,0,0", "F-1,16"},
        {"vFile:open:6e6,0,0", "F-1,16"},
        {"vFile:open:6e", "F-1,16"},
        {"vFile:open:6e,0", "F-1,16"},
        {"vFile:open:6e,0,0,0", "F-1,16"},
        {"vFile:unlink:6e6f7465732e747874", "F-1,1e"},
        {"vFile:pwrite:0,0,abc", "F-1,1e"},
        {"vFile:readlink:2f", "F-1,16"},
        {"vFile:fstat:0", "F-1,9"},
        {"vFile:fstat:ffffffffff", "F-1,9"},
        {"vFile:close:", "F-1,9"},
        {"vFile:pread:8,1,0", "F-1,9"},
        {"vFile:setfs:x", "F-1,16"},
    };

    EXPECT(*state, TEXTS, list);
}

static void files_are_few_and_closed_at_the_end(void **state)
{
    struct fake_debugger *debugger = *state;

    for (unsigned i = 0; i <= GDB_FILES_MAX; i++)
        fake_debugger_packet(debugger, "vFile:open:6e6f7465732e747874,0,0");
    fake_debugger_packet(debugger, "vFile:pread:0,1,ffffffffffffffff");
    fake_debugger_run(debugger);
    assert_string_equal(fake_debugger_last(debugger, 1)->text, "F-1,18");
    assert_string_equal(fake_debugger_last(debugger, 0)->text, "F-1,16");
    for (unsigned i = 0; i < GDB_FILES_MAX; i++)
        assert_int_equal(debugger->session.files[i], -1);
}

/* --- monitor --- */

/* Send a monitor command; the last reply. */
static const char *monitor(struct fake_debugger *debugger, const char *features, const char *command)
{
    char packet[256] = "qRcmd,";

    gdb_hex_encode(packet + 6, (const uint8_t *)command, strlen(command));
    return fake_debugger_ask(debugger, features, packet);
}

/* The console text of the last command, from its `back`-th last reply. */
static const char *console(struct fake_debugger *debugger, unsigned back, char *text, size_t size)
{
    const struct fake_reply *reply = fake_debugger_last(debugger, back);

    assert_int_equal(reply->text[0], 'O');
    assert_true(reply->length / 2 < size);
    assert_true(gdb_hex_decode((uint8_t *)text, reply->text + 1, reply->length - 1));
    text[(reply->length - 1) / 2] = '\0';
    return text;
}

static void monitor_answers_on_the_console(void **state)
{
    struct fake_debugger *debugger = *state;
    char text[4096];

    assert_string_equal(monitor(debugger, "", "help"), "OK");
    assert_non_null(strstr(console(debugger, 1, text, sizeof(text)), "phys on|off"));
    assert_string_equal(monitor(debugger, "", ""), "OK");
    assert_string_equal(monitor(debugger, "", "  map "), "OK");
    assert_string_equal(console(debugger, 1, text, sizeof(text)), "mapped: everything\n");
    assert_string_equal(monitor(debugger, TEXTS, "phys on"), "OK");
    assert_string_equal(console(debugger, 1, text, sizeof(text)), "memory commands name guest-physical addresses\n");
    assert_string_equal(monitor(debugger, TEXTS, "phys"), "OK");
    assert_string_equal(monitor(debugger, TEXTS, "phys maybe"), "E.phys: say on or off");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "qRcmd,"), "OK");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "qRcmd,6"), "E.malformed packet");
    assert_string_equal(fake_debugger_ask(debugger, TEXTS, "qRcmd,zz"), "E.malformed packet");
}

static void unknown_monitor_commands_are_errors_with_help(void **state)
{
    struct fake_debugger *debugger = *state;
    char text[4096];

    assert_string_equal(monitor(debugger, TEXTS, "reset now"), "OK");
    assert_string_equal(monitor(debugger, TEXTS, "help reset"), "OK");
    assert_string_equal(monitor(debugger, TEXTS, "resetx"),
                        "E.no such command: resetx (\"monitor help\" tells what there is)");
    assert_string_equal(monitor(debugger, "", "nonsense"), "E01");
    assert_non_null(strstr(console(debugger, 1, text, sizeof(text)), "no such command: nonsense"));
}

static void an_ended_machine_says_so(void **state)
{
    struct fake_debugger *debugger = *state;
    static const char *const commands[] = {"map", "restore start"};
    char text[4096];

    fake_debugger_expect(debugger, "", "vCont;c", "W00");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        assert_string_equal(monitor(debugger, "", commands[i]), "E01");
        assert_non_null(
            strstr(console(debugger, 1, text, sizeof(text)), "has ended; run or monitor reset starts it again\n"));
        assert_non_null(
            strstr(monitor(debugger, TEXTS, commands[i]), "has ended; run or monitor reset starts it again"));
    }
}

static void long_output_comes_in_several_packets(void **state)
{
    struct fake_debugger *debugger = *state;
    size_t total = 0;

    assert_string_equal(monitor(debugger, "", "flood"), "OK");
    for (unsigned i = 1; i + 1 < debugger->reply_count; i++) {
        assert_true(debugger->replies[i].length <= GDB_PACKET_SIZE);
        total += (debugger->replies[i].length - 1) / 2;
    }
    assert_int_equal(total, 5000 * strlen("mapped: everything\n"));
}

static void reset_starts_over(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);

    machine->regs.general.rip = 0x1800;
    assert_string_equal(monitor(debugger, TEXTS, "reset"), "OK");
    assert_int_equal(machine->restarts, 1);
    assert_true(machine->regs.general.rip == FAKE_START);
    debugger->fake.refuse_restart = true;
    assert_string_equal(monitor(debugger, TEXTS, "reset"), "E.the image is gone");
}

static void restore_puts_back_and_gdb_is_told_what_to_forget(void **state)
{
    struct fake_debugger *debugger = *state;
    struct fake_machine *machine = fake_machine(&debugger->fake, 1);

    machine->regs.general.rip = 0x1800;
    assert_string_equal(monitor(debugger, TEXTS, "restore nothing"), "E.there is no snapshot 'nothing'");
    assert_true(machine->regs.general.rip == 0x1800);
    assert_string_equal(monitor(debugger, TEXTS, "restore start"), "OK");
    assert_true(machine->regs.general.rip == FAKE_START);
}

static void a_machine_half_put_back_has_ended(void **state)
{
    struct fake_debugger *debugger = *state;

    assert_string_equal(monitor(debugger, TEXTS, "restore broken"), "E.half of it is missing");
    assert_int_equal(debugger->machines.list[0].state, GDB_MACHINE_ENDED);
}

/* --- all of them --- */

/* Whatever is cut off a packet, there is exactly one reply, well formed. */
static void every_prefix_of_every_packet_is_answered(void **state)
{
    static const char *const packets[] = {
        "qSupported:multiprocess+;swbreak+;hwbreak+;error-message+",
        "Hgp1.1",
        "Hcp-1.-1",
        "m1000,4",
        "x1000,4",
        "M1000,2:0102",
        "X1000,2:ab",
        "P10=0010000000000000",
        "p10",
        "Z2,1234,4",
        "z2,1234,4",
        "qCRC:0,10",
        "qSearch:memory:0;10;ab",
        "qXfer:features:read:target.xml:0,10",
        "qXfer:threads:read::0,10",
        "qXfer:memory-map:read::0,10",
        "qXfer:exec-file:read:1:0,10",
        "vFile:setfs:0",
        "vFile:open:6e,0,0",
        "vFile:pread:0,10,0",
        "vFile:fstat:0",
        "vFile:close:0",
        "qRcmd,68656c70",
        "QPassSignals:e;10",
        "QProgramSignals:0;1",
        "QThreadEvents:1",
        "qThreadExtraInfo,p1.1",
        "Qqemu.PhyMemMode:1",
        "qAttached:1",
        "Tp1.1",
        "vAttach;1",
        "vRun;",
        "vCont?",
        "vMustReplyEmpty",
        "qfThreadInfo",
        "qsThreadInfo",
        "QTinit",
        "QTDP:1:1010:E:2:3:X3,220127-",
        "QTDP:-1:1010:R3M-1,5000,8-",
        "QTDPsrc:1:1010:at:0:1:61",
        "QTDV:1:5:0:61",
        "QTro:5000,5010:6000,6010",
        "QTEnable:1:1010",
        "QTDisable:1:1010",
        "QTNotes:user:61;notes:62;tstop:63;",
        "QTBuffer:size:1000",
        "QTBuffer:circular:1",
        "QTDisconnected:1",
        "QTStart",
        "QTStop",
        "QTFrame:outside:1000:1011",
        "QTFrame:ffffffff",
        "qTStatus",
        "qTP:1:1010",
        "qTV:1",
        "qTfP",
        "qTsP",
        "qTfV",
        "qTsV",
        "qTBuffer:0,10",
        "qXfer:traceframe-info:read::0,10",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        for (size_t length = 0; length <= strlen(packets[i]); length++) {
            struct fake_debugger *debugger = fake_debugger_new(1);
            char prefix[128];

            snprintf(prefix, sizeof(prefix), "%.*s", (int)length, packets[i]);
            fake_debugger_packet(debugger, prefix);
            fake_debugger_packet(debugger, "qC");
            fake_debugger_run(debugger);
            assert_true(debugger->reply_count >= 2);
            assert_memory_equal(fake_debugger_last(debugger, 0)->text, "QC", 2);
            for (unsigned reply = 0; reply < debugger->reply_count; reply++)
                assert_true(debugger->replies[reply].checksum_ok);
            fake_debugger_free(debugger);
        }
    }
}

/* An empty error text would be no text at all, and a long one must not break the frame. */
/* Replies to packets: without what refusals say on the console. */
static unsigned answers(const struct fake_debugger *debugger)
{
    unsigned count = 0;

    for (unsigned i = 0; i < debugger->reply_count; i++)
        count += debugger->replies[i].text[0] != 'O' || strcmp(debugger->replies[i].text, "OK") == 0;
    return count;
}

static void packets_with_all_bytes_do_no_harm(void **state)
{
    struct fake_debugger *debugger = *state;
    size_t count;
    const struct gdb_command *table = gdb_command_table(&count);

    for (size_t i = 0; i < count; i++) {
        char packet[512];
        size_t length = (size_t)snprintf(packet, sizeof(packet), "%s", table[i].name);

        if (table[i].run == gdb_command_find(gdb_text_of("k"), &(struct gdb_text){0})->run)
            continue;
        if (table[i].separator)
            packet[length++] = table[i].separator;
        for (unsigned byte = 0; byte < 256; byte++)
            packet[length++] = (char)byte;
        fake_debugger_binary_packet(debugger, packet, length);
    }
    fake_debugger_packet(debugger, "qC");
    fake_debugger_run(debugger);
    assert_int_equal(answers(debugger), count);
    assert_string_equal(fake_debugger_last(debugger, 0)->text, "QC1");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

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
        TEST(registers_are_read),
        TEST(registers_are_written),
        TEST(refusals_of_registers_are_told),
        TEST(without_a_description_only_what_all_know_is_sent),
        TEST(all_registers_are_written_at_once),
        TEST(breakpoints_are_set_and_cleared),
        TEST(refused_breakpoints_say_why),
        TEST(features_are_negotiated),
        TEST(unknown_packets_get_the_empty_reply),
        TEST(switches_are_checked),
        TEST(threads_are_machines),
        TEST(the_selected_machine_answers),
        TEST(documents_come_in_parts),
        TEST(documents_are_asked_for_correctly),
        TEST(the_memory_map_never_hides_what_a_guest_maps),
        TEST(files_are_read),
        TEST(nothing_else_of_the_host_can_be_had),
        TEST(files_are_few_and_closed_at_the_end),
        TEST(monitor_answers_on_the_console),
        TEST(unknown_monitor_commands_are_errors_with_help),
        TEST(an_ended_machine_says_so),
        TEST(long_output_comes_in_several_packets),
        TEST(reset_starts_over),
        TEST(restore_puts_back_and_gdb_is_told_what_to_forget),
        TEST(a_machine_half_put_back_has_ended),
        cmocka_unit_test(every_prefix_of_every_packet_is_answered),
        TEST(packets_with_all_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
