/*
 * Places to stop at and memory to watch. From _start: a hundred places, place_0 to place_99, which are passed `rounds`
 * times, each counting in `count`; then `done`, and the end. What follows is reached by a debugger that sets rip.
 */
#include "guest.h"

    .macro place number
    .globl place_\number
place_\number:
    incq count
    .endm

    guest_start
    nop
again:
    .altmacro
    .set n, 0
    .rept 100
    place %n
    .set n, n + 1
    .endr
    .noaltmacro
    decq rounds
    jnz again
label done
    say "done\n"
    end_well

    /* a loader: copies `piece` to 0x50000 and runs it, rounds times */
label load
    mov $piece, %esi
    mov $0x50000, %edi
    mov $piece_end - piece, %ecx
    rep movsb
label loaded
    mov $0x50000, %eax
    call *%rax
    decq rounds
    jnz load
label load_done
    hlt
piece:
    incq count
    addq $2, count2
    ret
piece_end:

    /* writes over code of its own: the two bytes at `patched` become inc %eax */
label overwrite
    xor %eax, %eax
    movw $0xc0ff, patched /* inc %eax */
label overwritten
    nop
label patched
    .byte 0x90, 0x90
label overwrite_done
    hlt

    /* reads its own code, and prints the sum of it: a breakpoint must not be in it */
label sum
    mov $place_0, %esi
    mov $done, %ecx
    sub %esi, %ecx
    xor %ebx, %ebx
1:  movzbl (%rsi), %eax
    add %eax, %ebx
    inc %esi
    dec %ecx
    jnz 1b
label sum_done
    hlt

    /* maps 1 GB to 1 GB + 2 MB to the first 2 MB, and calls `twice` through both */
label alias
    movq $0x83, 0x100000
    mov %cr3, %rax
    mov (%rax), %rax
    and $~0xfff, %rax
    movq $0x100003, 8(%rax)
label aliased
    call twice
    mov $twice + 0x40000000, %eax
    call *%rax
label alias_done
    hlt
label twice
    incq count
    ret

    /* writes and reads of watched memory */
label writes
    movq $1, cells
label write_1
    movq $1, cells /* the same value */
label write_2
    movb $2, cells + 1
label write_3
    movq $7, cells + 64
label write_4
    mov cells, %rax
label read_1
    mov cells + 64, %rbx
label read_2
    movq $8, cells
label write_5
    hlt

label pushes
    mov $stack_top, %esp
    push $5
label pushed
    call pushes_function
label pushes_end
    hlt
label pushes_function
    ret

label copies
    mov $text, %esi
    mov $cells, %edi
    mov $16, %ecx
    rep movsb
label copied
    hlt

label crossing
    movabs $0x1122334455667788, %rax
label cross
    mov %rax, 0x5fffc
label crossed
    movb $1, 0x60003
label crossed_high
    hlt

label spread
    mov $0x70000, %edi
    mov $0x3000, %ecx
1:  movb $1, (%rdi)
    inc %edi
    dec %ecx
    jnz 1b
label spread_end
    hlt

    /* never ends */
label spin
    incq spins
    jmp spin

    .data
    .balign 64
    .globl count, count2, rounds, cells, spins, stack_top
cells: .fill 32, 8, 0
count: .quad 0
count2: .quad 0
rounds: .quad 3
spins: .quad 0
text: .ascii "0123456789abcdef"
    .fill 64, 8, 0
stack_top: .quad 0
