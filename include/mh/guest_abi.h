/*
 * What a guest and the hypervisor agree on: ports, the memory map and the file calls.
 * Guests include this header too, so it needs nothing but <stdint.h>, and assembly may take the constants from it.
 * docs/guest-interface.md explains it.
 */
#ifndef MH_GUEST_ABI_H
#define MH_GUEST_ABI_H

#ifndef __ASSEMBLER__
#include <stdint.h>
#endif

/*
 * Guest-physical memory, identity-mapped at the start. RAM is 2, 4 or 8 MB, all of it the guest's.
 *
 *   0                  flat images are loaded and entered here
 *   RAM - 4 KB         stack reserve: no image may reach into it
 *   RAM - 8            rsp at the start; holds the return address of the entry point
 *   RAM                not mapped: a page fault
 *   0x1000000 (16 MB)  system area: page tables, GDT, TSS, IDT and the stacks the TSS names (IST 1, RSP0)
 *   + 0xa000           not mapped
 *
 * Address 0 is ordinary RAM: a null pointer does not fault.
 */
#define MH_STACK_RESERVE 0x1000
#define MH_SYSTEM_AREA 0x1000000
#define MH_SYSTEM_AREA_SIZE 0xa000

/* Selectors of the GDT a guest starts with. */
#define MH_SEL_KERNEL_CODE 0x08
#define MH_SEL_KERNEL_DATA 0x10
#define MH_SEL_USER_DATA 0x1b /* GDT entry 3, requested privilege level 3 */
#define MH_SEL_USER_CODE 0x23 /* GDT entry 4, requested privilege level 3 */
#define MH_SEL_TSS 0x28

/* Serial port: OUT prints one byte, IN waits for one; 0xff at the end of the input. */
#define MH_PORT_SERIAL 0xe9
#define MH_SERIAL_EOF 0xff

/*
 * Exchange (--exchange): an interrupt of this vector says that it is the machine's turn. Its role, the count and the
 * bytes go through the first port; how many bytes were accepted, or read, through the second.
 */
#define MH_VECTOR_EXCHANGE 32
#define MH_PORT_EXCHANGE 0x510
#define MH_PORT_EXCHANGE_DONE 0x520

/*
 * File port. Bytes are a request written and an answer read one byte at a time; a 32-bit OUT of the guest-physical
 * address of a struct mh_file_call is a whole call in one exit.
 */
#define MH_PORT_FILE 0x278

#ifndef __ASSEMBLER__
/* Calls; `result` is what is returned when nothing fails. */
enum mh_file_op {
    MH_FILE_OPEN = 1,  /* name, flags -> a descriptor */
    MH_FILE_CLOSE = 2, /* descriptor -> 0 */
    MH_FILE_READ = 3,  /* descriptor, length -> bytes read, 0 at the end of the file */
    MH_FILE_WRITE = 4, /* descriptor, length, data -> bytes written */
    MH_FILE_SEEK = 5,  /* descriptor, whence, offset -> the new position */
    MH_FILE_SIZE = 6,  /* descriptor -> the size of the file in bytes */
};
#endif

/* Flags of MH_FILE_OPEN: MH_O_READ, MH_O_WRITE or both; MH_O_TRUNCATE and MH_O_APPEND need MH_O_WRITE. */
#define MH_O_READ 0x01
#define MH_O_WRITE 0x02
#define MH_O_CREATE 0x04   /* make the file when it does not exist; MH_O_WRITE alone does so too */
#define MH_O_TRUNCATE 0x08 /* start with an empty file */
#define MH_O_APPEND 0x10   /* every write goes to the end */
#define MH_O_ALL 0x1f

/* Whence of MH_FILE_SEEK, as in C. */
#define MH_SEEK_SET 0
#define MH_SEEK_CUR 1
#define MH_SEEK_END 2

/* Limits of the interface. */
#define MH_FILE_NAME_MAX 255 /* bytes of a name */
/* Bytes one READ or WRITE moves on the byte-at-a-time path; longer ones come out short. */
#define MH_FILE_STREAM_MAX 0x1000

#ifndef __ASSEMBLER__
/* Errors come back as negative results; the numbers are Linux's. */
enum mh_file_error {
    MH_ENOENT = 2,        /* no such file, or an empty name */
    MH_EIO = 5,           /* the host failed to read or write */
    MH_EBADF = 9,         /* not an open descriptor, or not open for this */
    MH_EACCES = 13,       /* the name is none a guest may use, or no regular file has it */
    MH_EFAULT = 14,       /* the buffer or the call itself lies outside RAM */
    MH_EINVAL = 22,       /* flags, whence or position make no sense */
    MH_EMFILE = 24,       /* too many open files */
    MH_EFBIG = 27,        /* the file would grow past what a VM may write */
    MH_ENOSPC = 28,       /* the host's disk is full */
    MH_ENAMETOOLONG = 36, /* the name is longer than MH_FILE_NAME_MAX */
    MH_ENOSYS = 38,       /* no such call */
    MH_EPROTO = 71,       /* an answer was read before the request was whole */
    MH_EDQUOT = 122,      /* the VM has written as much, or made as many files, as it may */
};

/* A call in memory, for the one-exit path. Little-endian, no alignment asked for. When op is none of the above or
 * `zero` is not 0 nothing is done, and `result` stays as it is: put -MH_EFAULT there before. */
struct mh_file_call {
    uint32_t op;     /* enum mh_file_op */
    int32_t fd;      /* all but OPEN */
    uint32_t flags;  /* OPEN: MH_O_*; SEEK: MH_SEEK_* */
    uint32_t zero;   /* must be 0 */
    uint64_t buffer; /* guest-physical: the name (OPEN), the data (READ, WRITE) */
    uint64_t length; /* bytes at `buffer` */
    int64_t offset;  /* SEEK */
    int64_t result;  /* written by the hypervisor: what the call returns, or minus an enum mh_file_error */
};
#endif

/*
 * The byte-at-a-time path. All numbers little-endian; every answer begins with the result, 8 bytes, signed.
 *
 *   OPEN   op:1 flags:4 length:2 name:length    -> result:8
 *   CLOSE  op:1 fd:4                            -> result:8
 *   READ   op:1 fd:4 length:4                   -> result:8 data:result
 *   WRITE  op:1 fd:4 length:4 data:length       -> result:8
 *   SEEK   op:1 fd:4 whence:4 offset:8          -> result:8
 *   SIZE   op:1 fd:4                            -> result:8
 *
 * The call is made when its last byte is written. Reading before that drops the request and answers -MH_EPROTO;
 * writing before an answer is read to its end drops the rest of the answer; past the answer, reads give 0xff.
 */

#endif
