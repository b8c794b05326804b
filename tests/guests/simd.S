/*
 * Computes with x87, SSE and, where there is AVX, AVX, in ring 0: what some KVMs cannot execute there. Prints the results
 * as numbers. What follows is ordinary code again.
 */
#include "guest.h"

    guest_start
    fninit
    fldpi
    fldl number
    fmulp
    fistpq result
    say "x87"
    say_hex result
label x87_end
    mov $7, %eax
    cvtsi2sd %eax, %xmm1
    sqrtsd %xmm1, %xmm2
    mulsd number, %xmm2
    cvttsd2si %xmm2, %rax
    say "\nsse"
    say_hex %rax
    movdqu vector, %xmm3
    paddq %xmm3, %xmm3
    movq %xmm3, %rax
    say_hex %rax
label sse_end
    mov $1, %eax
    cpuid
    and $0x18000000, %ecx
    cmp $0x18000000, %ecx
    jne 1f
    xor %ecx, %ecx
    xgetbv
    or $7, %eax
    xsetbv
    vmovdqu vector, %ymm4
    vaddpd %ymm4, %ymm4, %ymm5
    vextractf128 $1, %ymm5, %xmm6
    vmovq %xmm6, %rax
    vzeroupper
    say "\navx"
    say_hex %rax
1:
label avx_end
    mov $100000, %ecx
2:  dec %ecx
    jnz 2b
    say "\nend\n"
    end_well

    .data
    .balign 32
number: .double 1000.0
result: .quad 0
    .balign 32
vector: .quad 3, 5
    .double 1.5, 2.5
