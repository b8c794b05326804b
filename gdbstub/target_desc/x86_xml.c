/*
 * The target description as XML (GDB manual, "Target Description Format"). Its lines are short, because gdb copies them
 * into trace files and reads at most 1000 bytes per line there.
 */
#include "target_desc/x86_desc.h"

#define BITS 8u

/* A field of a flags type; one bit if `first` equals `last`. */
struct field {
    const char *name; /* NULL ends a list */
    uint8_t first, last;
};

struct flags {
    const char *id;
    uint8_t size;
    const struct field *fields;
};

static const struct field eflags_fields[] = {
    {"CF", 0, 0},   {"", 1, 1},     {"PF", 2, 2},    {"AF", 4, 4},    {"ZF", 6, 6},   {"SF", 7, 7},
    {"TF", 8, 8},   {"IF", 9, 9},   {"DF", 10, 10},  {"OF", 11, 11},  {"NT", 14, 14}, {"RF", 16, 16},
    {"VM", 17, 17}, {"AC", 18, 18}, {"VIF", 19, 19}, {"VIP", 20, 20}, {"ID", 21, 21}, {NULL, 0, 0},
};

static const struct field mxcsr_fields[] = {
    {"IE", 0, 0},   {"DE", 1, 1},   {"ZE", 2, 2},   {"OE", 3, 3},   {"UE", 4, 4},
    {"PE", 5, 5},   {"DAZ", 6, 6},  {"IM", 7, 7},   {"DM", 8, 8},   {"ZM", 9, 9},
    {"OM", 10, 10}, {"UM", 11, 11}, {"PM", 12, 12}, {"FZ", 15, 15}, {NULL, 0, 0},
};

static const struct field cr0_fields[] = {
    {"PE", 0, 0},   {"MP", 1, 1},   {"EM", 2, 2},   {"TS", 3, 3},   {"ET", 4, 4},   {"NE", 5, 5},
    {"WP", 16, 16}, {"AM", 18, 18}, {"NW", 29, 29}, {"CD", 30, 30}, {"PG", 31, 31}, {NULL, 0, 0},
};

static const struct field cr4_fields[] = {
    {"VME", 0, 0},          {"PVI", 1, 1},     {"TSD", 2, 2},       {"DE", 3, 3},     {"PSE", 4, 4},
    {"PAE", 5, 5},          {"MCE", 6, 6},     {"PGE", 7, 7},       {"PCE", 8, 8},    {"OSFXSR", 9, 9},
    {"OSXMMEXCPT", 10, 10}, {"UMIP", 11, 11},  {"LA57", 12, 12},    {"VMXE", 13, 13}, {"SMXE", 14, 14},
    {"FSGSBASE", 16, 16},   {"PCIDE", 17, 17}, {"OSXSAVE", 18, 18}, {"SMEP", 20, 20}, {"SMAP", 21, 21},
    {"PKE", 22, 22},        {"CET", 23, 23},   {"PKS", 24, 24},     {NULL, 0, 0},
};

static const struct field efer_fields[] = {
    {"SCE", 0, 0},     {"LME", 8, 8},     {"LMA", 10, 10}, {"NXE", 11, 11}, {"SVME", 12, 12},
    {"LMSLE", 13, 13}, {"FFXSR", 14, 14}, {"TCE", 15, 15}, {NULL, 0, 0},
};

/* Bytes 5 and 6 of a descriptor. */
static const struct field segment_fields[] = {
    {"TYPE", 0, 3}, {"S", 4, 4},    {"DPL", 5, 6}, {"P", 7, 7},  {"AVL", 12, 12},
    {"L", 13, 13},  {"DB", 14, 14}, {"G", 15, 15}, {NULL, 0, 0},
};

static const struct flags core_flags[] = {{"i386_eflags", 4, eflags_fields}, {NULL, 0, NULL}};
static const struct flags sse_flags[] = {{"i386_mxcsr", 4, mxcsr_fields}, {NULL, 0, NULL}};
static const struct flags system_flags[] = {
    {"x86_cr0", 4, cr0_fields},
    {"x86_cr4", 4, cr4_fields},
    {"x86_efer", 4, efer_fields},
    {"x86_segment", 4, segment_fields},
    {NULL, 0, NULL},
};

/* The ways to view 128 bits. */
static const char vec128_types[] = "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\n"
                                   "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\n"
                                   "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>\n"
                                   "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\n"
                                   "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>\n"
                                   "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\n"
                                   "<union id=\"vec128\">\n"
                                   "<field name=\"v4_float\" type=\"v4f\"/>\n"
                                   "<field name=\"v2_double\" type=\"v2d\"/>\n"
                                   "<field name=\"v16_int8\" type=\"v16i8\"/>\n"
                                   "<field name=\"v8_int16\" type=\"v8i16\"/>\n"
                                   "<field name=\"v4_int32\" type=\"v4i32\"/>\n"
                                   "<field name=\"v2_int64\" type=\"v2i64\"/>\n"
                                   "<field name=\"uint128\" type=\"uint128\"/>\n"
                                   "</union>\n";

static const char v2ui128_type[] = "<vector id=\"v2ui128\" type=\"uint128\" count=\"2\"/>\n";

static const struct {
    const char *name;
    const struct flags *flags;
    const char *types[2];
} features[GDB_X86_FEATURE_COUNT] = {
    [GDB_X86_CORE] = {"org.gnu.gdb.i386.core", core_flags, {NULL, NULL}},
    [GDB_X86_SSE] = {"org.gnu.gdb.i386.sse", sse_flags, {vec128_types, NULL}},
    [GDB_X86_SEGMENTS] = {"org.gnu.gdb.i386.segments", NULL, {NULL, NULL}},
    [GDB_X86_AVX] = {"org.gnu.gdb.i386.avx", NULL, {NULL, NULL}},
    [GDB_X86_AVX512] = {"org.gnu.gdb.i386.avx512", NULL, {vec128_types, v2ui128_type}},
    [GDB_X86_SYSTEM] = {"mini-hypervisor.x86.system", system_flags, {NULL, NULL}},
    [GDB_X86_LINUX] = {"org.gnu.gdb.i386.linux", NULL, {NULL, NULL}},
    [GDB_X86_MSR] = {"mini-hypervisor.x86.msr", NULL, {NULL, NULL}},
};

static void xml_add_field(const struct field *field, struct gdb_reply *to)
{
    gdb_reply_printf(to, "<field name=\"%s\" start=\"%u\" end=\"%u\"", field->name, field->first, field->last);
    gdb_reply_text(to, field->first == field->last ? "/>\n" : " type=\"uint32\"/>\n");
}

static void xml_add_flags(const struct flags *flags, struct gdb_reply *to)
{
    for (; flags != NULL && flags->id != NULL; flags++) {
        gdb_reply_printf(to, "<flags id=\"%s\" size=\"%u\">\n", flags->id, flags->size);
        for (const struct field *field = flags->fields; field->name != NULL; field++)
            xml_add_field(field, to);
        gdb_reply_text(to, "</flags>\n");
    }
}

static void xml_open_feature(unsigned feature, struct gdb_reply *to)
{
    gdb_reply_printf(to, "<feature name=\"%s\">\n", features[feature].name);
    for (unsigned i = 0; i < 2 && features[feature].types[i] != NULL; i++)
        gdb_reply_text(to, features[feature].types[i]);
    xml_add_flags(features[feature].flags, to);
}

static void xml_add_reg(const struct gdb_x86_reg *reg, unsigned number, struct gdb_reply *to)
{
    gdb_reply_printf(to, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"", reg->name, reg->size * BITS,
                     reg->type, number);
    if (reg->group != NULL)
        gdb_reply_printf(to, " group=\"%s\"", reg->group);
    /* calling a function from gdb must not write all system state back afterwards */
    if (reg->feature == GDB_X86_SYSTEM || reg->feature == GDB_X86_MSR)
        gdb_reply_text(to, " save-restore=\"no\"");
    gdb_reply_text(to, "/>\n");
}

void gdb_x86_describe(const struct gdb_x86_layout *layout, struct gdb_reply *to)
{
    unsigned feature = GDB_X86_FEATURE_COUNT;

    gdb_reply_text(to, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
                       "<architecture>i386:x86-64</architecture><osabi>none</osabi>\n");
    for (unsigned i = 0; i < layout->count; i++) {
        const struct gdb_x86_reg *reg = layout->reg[i];

        if (reg->feature != feature) {
            gdb_reply_text(to, feature == GDB_X86_FEATURE_COUNT ? "" : "</feature>\n");
            feature = reg->feature;
            xml_open_feature(feature, to);
        }
        xml_add_reg(reg, i, to);
    }
    gdb_reply_text(to, "</feature></target>\n");
}
