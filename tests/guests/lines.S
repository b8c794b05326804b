/*
 * Prints 200 lines of 32 equal letters each, and an unfinished one. Tests write other letters over the '@' behind
 * "LETTER=" to distinguish several of these guests.
 */
#include "guest.h"
    guest_start
    jmp 1f
    .ascii "LETTER="
letter: .byte '@'
1:  mov $200, %ebx
2:  mov letter, %al
    mov $32, %ecx
3:  out %al, $SERIAL
    dec %ecx
    jnz 3b
    put_char '\n'
    dec %ebx
    jnz 2b
    mov letter, %al
    out %al, $SERIAL
    say " unfinished"
    end_well
