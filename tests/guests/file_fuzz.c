/*
 * Plays with the file port against the model: reads a seed of 8 bytes from the serial port, makes 60 calls, and prints
 * what the files should hold then: "NAME SIZE HASH" of each of its own. A call that went wrong is printed instead.
 */
#include "../support/file_play.h"

#include "../../guests/sdk/console.h"
#include "../../guests/sdk/x86.h"

#define CALLS 60u
#define REACH 5000u
#define LIMIT (1024u * 1024) /* what the test gives with --max-written */
#define RAM_SIZE (8u * LIMIT)
#define ROOM ((uint8_t *)0x100000)

static uint64_t below(void *ctx, uint64_t limit)
{
    uint64_t *state = ctx;
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX; the high bits are good */
    return (*state >> 33) % limit;
}

static void out(void *ctx, uint8_t byte)
{
    (void)ctx;
    outb(MH_PORT_FILE, byte);
}

static uint8_t in(void *ctx)
{
    (void)ctx;
    return inb(MH_PORT_FILE);
}

static void call(void *ctx, uint32_t address)
{
    (void)ctx;
    outl(MH_PORT_FILE, address);
}

static const struct play_ops ops = {.below = below, .out = out, .in = in, .call = call};

static uint64_t read_seed(void)
{
    uint64_t seed = 0;
    for (unsigned i = 0; i < 8; i++)
        seed |= (uint64_t)inb(MH_PORT_SERIAL) << 8 * i;
    return seed;
}

/* FNV-1a, 32 bits. */
static uint32_t hash(const struct model_file *file)
{
    uint32_t value = 0x811c9dc5u;
    for (uint64_t i = 0; i < file->size; i++)
        value = (value ^ file->bytes[i]) * 0x01000193u;
    return value;
}

int main(void)
{
    static struct file_play play;
    uint64_t state = read_seed();
    file_model_init(&play.model, LIMIT, MODEL_OPEN_MAX, "these notes belong to everybody", ROOM);
    play.ops = &ops;
    play.ctx = &state;
    play.ram_size = RAM_SIZE;
    play.reach = REACH;
    for (unsigned step = 0; step < CALLS; step++) {
        if (!file_play_step(&play)) {
            printf("call %u: op %u fd %d flags %x length %lu offset %ld: the model says %ld, the port %ld\n", step,
                   play.call.op, play.call.fd, play.call.flags, play.call.length, play.call.offset, play.wanted,
                   play.got);
            return 1;
        }
    }
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        const struct model_file *file = &play.model.file[i];
        if (file->is_own)
            printf("%s %lu %u\n", file_model_name(i), file->size, hash(file));
    }
    return 0;
}
