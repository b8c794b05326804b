/*
 * Phase 3 of the course: an exchange of data by interrupts. One image is both writer and readers: each machine learns
 * at its first interrupt which it is.
 *
 *     mini_hypervisor --memory 4 --page 2 --exchange --guest guest.img guest.img guest.img
 */
#include "course.h"
#include "interrupts.h"

#define VECTOR 32
#define DATA_PORT 0x510
#define DONE_PORT 0x520

enum role {
    ROLE_READER,
    ROLE_WRITER,
    ROLE_UNKNOWN,
};

static const char *const messages[] = {"The quick brown fox", "jumps over", "the lazy dog."};

#define MESSAGES (sizeof(messages) / sizeof(messages[0]))

static struct idt_gate idt[VECTOR + 1];
static volatile enum role role = ROLE_UNKNOWN;
static volatile unsigned sent;

static void learn_role(void)
{
    role = (enum role)inb(DATA_PORT);
    printf("I am %s\n", role == ROLE_WRITER ? "the writer" : "a reader");
}

/* Send the next message. What does not fit the hypervisor's buffer is not accepted. */
static void send(void)
{
    const char *text = messages[sent];
    size_t length = strlen(text);

    outl(DATA_PORT, (uint32_t)length);
    for (size_t i = 0; i < length; i++)
        outb(DATA_PORT, (uint8_t)text[i]);
    printf("sent %u of %u bytes\n", inl(DONE_PORT), (unsigned)length);
    sent++;
}

/* A reader that reports fewer bytes than there are is stopped. */
static void receive(void)
{
    uint32_t length = inl(DATA_PORT);

    printf("received %u bytes: ", length);
    for (uint32_t i = 0; i < length; i++)
        putchar(inb(DATA_PORT));
    putchar('\n');
    outl(DONE_PORT, length);
}

__attribute__((interrupt)) static void handle_interrupt(struct interrupt_frame *frame)
{
    (void)frame;
    if (role == ROLE_UNKNOWN)
        learn_role();
    else if (role == ROLE_WRITER)
        send();
    else
        receive();
}

int main(void)
{
    idt_set(idt, VECTOR, handle_interrupt);
    idt_load(idt, VECTOR + 1);
    while (sent < MESSAGES) /* a reader leaves it at a hlt: its machine ends when the writer has ended */
        wait_for_interrupt();
    return 0;
}
