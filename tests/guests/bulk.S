/* Prints 192 KB, more than any pipe holds, byte by byte: byte i is the low byte of i + (i >> 8), so that a lost or doubled one shows. */
#include "guest.h"
    guest_start
    xor %ecx, %ecx
1:  mov %cl, %al
    add %ch, %al
    out %al, $SERIAL
    inc %ecx
    cmp $0x30000, %ecx
    jne 1b
    end_well
