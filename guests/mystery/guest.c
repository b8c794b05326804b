/*
 * Somebody overwrites the balance, and nobody admits it. docs/time-travel.md finds out who in three commands:
 *
 *     mini_hypervisor --guest guest.elf --gdb --gdb-hold
 */
#include "console.h"

struct account {
    char note[8];
    int balance;
};

struct account account;

/* Keep the first characters of a text. The mistake is in the bound. */
static void __attribute__((noinline)) write_note(char *note, const char *text)
{
    for (unsigned i = 0; i <= sizeof account.note && text[i] != '\0'; i++)
        note[i] = text[i];
}

static void __attribute__((noinline)) do_business(void)
{
    static const char *const notes[] = {"opened", "checked", "account X", "closed"};
    for (unsigned i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        write_note(account.note, notes[i]);
        printf("note: %s\n", notes[i]);
    }
}

int main(void)
{
    account.balance = 100;
    do_business();
    printf("balance: %d, which should be 100\n", account.balance);
    return 0;
}
