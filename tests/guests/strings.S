/* Reads 64 bytes with one rep insb and prints them with one rep outsb. */
#include "guest.h"
    guest_start
    mov $0x10000, %edi
    mov $64, %ecx
    mov $SERIAL, %edx
    rep insb
    say "read:"
    mov $0x10000, %esi
    mov $64, %ecx
    mov $SERIAL, %edx
    rep outsb
    end_well
