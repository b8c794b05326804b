/*
 * The form of a recording's file, which docs/recording.md describes, and what is in memory of one that was read.
 *
 * A file is a head and sections, one after the other, each with its length and a CRC-32 of all of it. What was written
 * before a recorder was killed is good up to the last whole section. Numbers are little-endian.
 */
#ifndef MH_CORE_REPLAY_RECORDING_H
#define MH_CORE_REPLAY_RECORDING_H

#include "mh/recording.h"
#include "replay/port_log.h"
#include "x86/cpuid.h"

#define RECORDING_MAGIC "mhrecord"
#define RECORDING_VERSION 1u
#define RECORDING_NAME_MAX 64u
#define RECORDING_TEXT_MAX 512u
#define RECORDING_UNKNOWN UINT64_MAX /* a count of instructions that the processor does not know */

struct __attribute__((packed)) recording_head {
    char magic[8];
    uint32_t version;
    uint32_t zero;
};

/* Four characters, as they are in the file. */
#define RECORDING_TYPE(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

enum recording_type {
    RECORDING_MACHINE = RECORDING_TYPE('M', 'A', 'C', 'H'),
    RECORDING_CPUID = RECORDING_TYPE('C', 'P', 'U', 'I'),
    RECORDING_IMAGE = RECORDING_TYPE('I', 'M', 'A', 'G'),
    RECORDING_LOG = RECORDING_TYPE('L', 'O', 'G', ' '),
    RECORDING_RESTART = RECORDING_TYPE('R', 'S', 'T', 'R'),
    RECORDING_END = RECORDING_TYPE('E', 'N', 'D', ' '),
};

/* In front of each section. The checksum is of the head with 0 in its place, and the contents. */
struct __attribute__((packed)) recording_section {
    uint32_t type;
    uint32_t checksum;
    uint64_t length; /* of the contents that follow */
};

struct __attribute__((packed)) recording_machine {
    uint64_t ram_size;
    uint32_t page_size;
    uint32_t number;
    char processor[8];             /* what it was recorded on: "kvm", "soft", "auto" */
    char version[24];              /* of the program */
    char name[RECORDING_NAME_MAX]; /* of the machine; all texts end with a NUL */
};

struct __attribute__((packed)) recording_cpuid {
    uint64_t xcr0;
    uint32_t count; /* of the leaves that follow */
    uint32_t zero;
};

struct __attribute__((packed)) recording_leaf {
    uint32_t leaf, subleaf, has_subleaves, eax, ebx, ecx, edx;
};

/* What RAM holds at the start; the rest of it is zero. */
struct __attribute__((packed)) recording_image {
    uint64_t entry;
    uint32_t count; /* of the parts that follow: a struct recording_part and its bytes each */
    uint32_t zero;
};

struct __attribute__((packed)) recording_part {
    uint64_t address, length;
};

/* How far a run had come; answers follow (port_log.h). */
struct __attribute__((packed)) recording_log {
    uint64_t accesses;
    uint64_t instructions; /* at least; or RECORDING_UNKNOWN */
    uint64_t printed;      /* bytes on the serial port, and their CRC-32 */
    uint32_t checksum;
    uint32_t zero;
};

struct __attribute__((packed)) recording_end {
    struct recording_log at; /* here, `instructions` is exact */
    uint32_t kind;           /* enum mh_stop_kind; of INTERRUPTED, HOST_ERROR and IO_ERROR the cause was outside */
    uint32_t vector;         /* of EXCEPTION */
    uint64_t rip;
    uint32_t has_state; /* the checksums are known */
    uint32_t registers; /* CRC-32 of rax to r15 in the order of the encoding, rip and rflags */
    uint32_t memory;    /* CRC-32 of RAM */
    uint32_t zero;
    char text[RECORDING_TEXT_MAX]; /* what happened, in words */
};

struct mh_recording {
    struct recording_machine machine;
    struct x86_cpuid cpuid;
    struct mh_image *image;
    struct port_log log;
    struct recording_log reached; /* what the last section says */
    struct recording_log *marks;  /* of all sections of the log, in order */
    size_t mark_count;
    struct recording_end end;
    bool has_end;
    bool is_damaged;        /* what follows the last section is no section */
    struct guest_ram shape; /* no memory, but the size of the machine's RAM: what answers are checked against */
};

/* The end of a machine that is stopped, as far as it can be told. */
void recording_fill_end(struct mh_vm *vm, const struct mh_stop *stop, struct recording_end *end);
uint32_t recording_hash_registers(const struct mh_x86_general *general);
/* The machine's count of instructions, RECORDING_UNKNOWN when it has none. */
uint64_t recording_instructions(struct mh_vm *vm);

#endif
