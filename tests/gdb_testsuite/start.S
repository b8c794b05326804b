/* The first instructions of a test program: as guests/sdk/crt0.S, but what main returns goes to exit(). */
    .section .start, "ax", @progbits
    .cfi_sections .debug_frame

    .globl _start
    .type _start, @function
_start:
    .cfi_startproc
    .cfi_undefined rip
    xorl %ebp, %ebp
    andq $-16, %rsp
    xorl %edi, %edi      /* argc */
    leaq no_arguments, %rsi
    xorl %edx, %edx      /* envp */
    call main
    movl %eax, %edi
    call exit
    .cfi_endproc
    .size _start, . - _start

    .section .rodata
no_arguments:
    .quad 0

/*
 * setjmp and longjmp: rbx, rbp, r12 to r15, rsp and rip fit into the first 64 bytes of glibc's jmp_buf. glibc's headers
 * make setjmp a call of _setjmp.
 */
    .text
    .globl _setjmp, setjmp, longjmp
_setjmp:
setjmp:
    movq %rbx, (%rdi)
    movq %rbp, 8(%rdi)
    movq %r12, 16(%rdi)
    movq %r13, 24(%rdi)
    movq %r14, 32(%rdi)
    movq %r15, 40(%rdi)
    leaq 8(%rsp), %rdx
    movq %rdx, 48(%rdi)
    movq (%rsp), %rdx
    movq %rdx, 56(%rdi)
    xorl %eax, %eax
    ret

longjmp:
    movl %esi, %eax
    testl %eax, %eax
    jnz 1f
    incl %eax
1:  movq (%rdi), %rbx
    movq 8(%rdi), %rbp
    movq 16(%rdi), %r12
    movq 24(%rdi), %r13
    movq 32(%rdi), %r14
    movq 40(%rdi), %r15
    movq 48(%rdi), %rsp
    jmp *56(%rdi)

    .section .note.GNU-stack, "", @progbits
