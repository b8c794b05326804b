/* Random calls at the file port, with a model that knows what must come of them; and bytes without any sense. */
#include "devices/file.h"

#include "abuse.h"
#include "file_play.h"
#include "guest_files.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define GAMES 100u
#define STEPS 1000u
#define RAM (2 * MB)
#define PLAY_AT 0x10000u

/* One machine's port, and the game played with it, in its RAM. */
struct fixture {
    struct abuse abuse;
    struct guest_files *files;
    struct file_port *port;
    struct input_log inbound;
    struct guest_ram memory;
    struct file_play *play;
    uint8_t *room;
};

static uint64_t below(void *ctx, uint64_t limit)
{
    struct fixture *f = ctx;
    return abuse_below(&f->abuse, limit);
}

static void out(void *ctx, uint8_t byte)
{
    struct fixture *f = ctx;
    file_port_out(f->port, byte);
}

static uint8_t in(void *ctx)
{
    struct fixture *f = ctx;
    uint8_t byte = 0x77;
    file_port_in(f->port, &f->inbound, &byte);
    return byte;
}

static void call(void *ctx, uint32_t address)
{
    struct fixture *f = ctx;
    file_port_call(f->port, &f->memory, &f->inbound, mh_gpa_of(address));
}

static const struct play_ops ops = {.below = below, .out = out, .in = in, .call = call};

static void begin_game(struct fixture *f)
{
    unsigned open_max = 1 + (unsigned)abuse_below(&f->abuse, MODEL_OPEN_MAX);
    f->files = guest_files_make();
    f->files->config[0].limits.open_files = open_max;
    f->port = calloc(1, sizeof *f->port);
    f->room = calloc(MODEL_NAMES, GUEST_BYTES);
    assert_true(f->port != NULL && f->room != NULL);
    file_port_init(f->port, &f->files->config[0], &f->files->stop);
    assert_int_equal(ram_create(&f->memory, RAM, NULL), MH_OK);
    f->play = (struct file_play *)(void *)(f->memory.host + PLAY_AT);
    file_model_init(&f->play->model, GUEST_BYTES, open_max, NOTES, f->room);
    f->play->ops = &ops;
    f->play->ctx = f;
    f->play->ram = (uintptr_t)f->memory.host;
    f->play->ram_size = RAM;
    f->play->reach = GUEST_BYTES;
}

static void end_game(struct fixture *f)
{
    file_port_destroy(f->port);
    ram_free(&f->memory);
    guest_files_remove(f->files);
    free(f->port);
    free(f->room);
}

static void files_on_the_host_are_as_in_the_model(const struct fixture *f)
{
    static char content[GUEST_BYTES + 1];
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        const struct model_file *file = &f->play->model.file[i];
        char name[64];
        snprintf(name, sizeof name, "vm-files/1-one/%s", file_model_name(i));
        assert_int_equal(temp_read(&f->files->dir, name, content, sizeof content),
                         file->is_own ? (long)file->size : -1);
        if (file->is_own)
            assert_memory_equal(content, file->bytes, file->size);
    }
}

static void every_call_does_as_the_model_says(void **state)
{
    struct fixture f = {.port = NULL};
    (void)state;
    abuse_begin(&f.abuse);
    unsigned fds = count_open_fds();
    for (unsigned game = 0; game < GAMES * f.abuse.factor; game++) {
        begin_game(&f);
        for (unsigned step = 0; step < STEPS; step++) {
            if (!file_play_step(f.play))
                fail_msg("game %u, call %u: op %u fd %d flags 0x%x length %" PRIu64 " offset %" PRId64
                         ": the model says %" PRId64 ", the port %" PRId64,
                         game, step, f.play->call.op, f.play->call.fd, f.play->call.flags, f.play->call.length,
                         f.play->call.offset, f.play->wanted, f.play->got);
        }
        files_on_the_host_are_as_in_the_model(&f);
        end_game(&f);
    }
    assert_int_equal(count_open_fds(), fds);
    abuse_done((unsigned long)GAMES * STEPS * f.abuse.factor, "file calls");
}

/* Mostly small numbers, for many of them are ops. */
static uint8_t senseless_byte(struct abuse *abuse)
{
    return (uint8_t)abuse_below(abuse, abuse_below(abuse, 4) == 0 ? 256 : 8);
}

static void senseless_bytes_do_no_harm(void **state)
{
    struct fixture f = {.port = NULL};
    (void)state;
    abuse_begin(&f.abuse);
    unsigned long steps = GAMES * STEPS * f.abuse.factor;
    begin_game(&f);
    for (unsigned long step = 0; step < steps; step++) {
        if (abuse_below(&f.abuse, 50) == 0)
            in(&f);
        else
            out(&f, senseless_byte(&f.abuse));
        if (abuse_below(&f.abuse, 20) == 0)
            call(&f, (uint32_t)abuse_below(&f.abuse, RAM + 1000));
    }
    end_game(&f);
    abuse_done(steps, "senseless bytes at the file port");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_does_as_the_model_says),
        cmocka_unit_test(senseless_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
