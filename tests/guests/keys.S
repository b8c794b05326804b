/*
 * Shows a prompt without a newline, reads a key, prints its code, and so on. The input's end and the keys q, x and s end
 * it: well, with a crash, and not at all.
 */
#include "guest.h"
    guest_start
1:  say "key? "
    get_char
    movzbl %al, %ebx
    say "got"
    say_hex %rbx
    say "\n"
    cmp $0xff, %bl
    je 9f
    cmp $'q', %bl
    je 9f
    cmp $'x', %bl
    je 8f
    cmp $'s', %bl
    jne 1b
    say "spinning"
2:  jmp 2b
8:  ud2
9:  say "end\n"
    end_well
