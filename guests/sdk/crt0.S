/*
 * The first instructions of a guest. guest.ld puts this section at address 0, where flat images are entered; ELF images
 * name _start as their entry.
 *
 * The machine is in 64-bit mode already, RAM is zero (so .bss needs no clearing) and rsp points into RAM. All that is
 * left is to call main and to end the guest with hlt when it returns; what main returns is ignored.
 */
    .section .start, "ax", @progbits
    .cfi_sections .debug_frame /* debuggers read it, the image does not carry it */

    .globl _start
    .type _start, @function
_start:
    .cfi_startproc
    .cfi_undefined rip   /* there is no caller: a backtrace ends here */
    xorl %ebp, %ebp
    andl $-16, %esp      /* the ABI requires rsp to be a multiple of 16 at a call; RAM ends below 4 GB */
    call main
    cli                  /* with interrupts on, hlt would wait for one */
1:  hlt                  /* ends the guest */
    jmp 1b
    .cfi_endproc
    .size _start, . - _start

#ifdef GDB_SCRIPT
    /* gdb loads this script with the program; it is no part of the image (gdb's manual: dotdebug_gdb_scripts section) */
    .section .debug_gdb_scripts, "MS", @progbits, 1
    .byte 1              /* a file with Python */
    .asciz GDB_SCRIPT
#endif

    .section .note.GNU-stack, "", @progbits
