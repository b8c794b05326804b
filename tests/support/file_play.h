/*
 * Random calls at the file port, good ones and bad ones, byte by byte and by address, each held against the model. It
 * needs no library, as the model.
 */
#ifndef MH_TEST_FILE_PLAY_H
#define MH_TEST_FILE_PLAY_H

#include "file_model.h"

#define PLAY_BUFFER 10000u

/* The port, and where chance comes from. */
struct play_ops {
    uint64_t (*below)(void *ctx, uint64_t limit); /* a random number below `limit`, which is not 0 */
    void (*out)(void *ctx, uint8_t byte);
    uint8_t (*in)(void *ctx);
    void (*call)(void *ctx, uint32_t address); /* a 32-bit OUT */
};

/* One game. It lies in the guest's memory, since calls are made from it. */
struct file_play {
    struct file_model model;
    const struct play_ops *ops;
    void *ctx;
    uintptr_t ram;     /* where the guest's address 0 is for us */
    uint64_t ram_size; /* bytes */
    uint64_t reach;    /* how far into files positions go, but for a few wild ones */
    struct model_call call;
    struct mh_file_call in_memory;
    int64_t wanted, got; /* results of the last call; the same also when it was its data that was wrong */
    uint8_t buffer[PLAY_BUFFER];
};

/* Make one call. Returns false when port and model disagree. */
bool file_play_step(struct file_play *play);

#endif
