/* What /init of the tiny machine of --anywhere consists of. It is no part of mini_hypervisor itself. */
#ifndef MH_TOOL_ANYWHERE_INSIDE_H
#define MH_TOOL_ANYWHERE_INSIDE_H

#include "anywhere_relay.h"
#include "anywhere_start.h"

#include <sys/types.h>

/* The start file, taken apart; its strings stay where they are. */
struct start {
    mode_t umask;
    char ends[4]; /* enum start_end */
    uint8_t end_key;
    unsigned listener_count;
    const char *directory, *program;
    char **arguments, **environment;
};

/* Descriptors below are the program's; ours that it is to get lie above until then, behind the channel. */
#define INSIDE_CHANNEL_FD (START_GDB_FD + (int)START_LISTENERS_MAX)

/* Everything of the machine. */
struct inside {
    struct start start;
    struct relay *relay;
    int listeners[START_LISTENERS_MAX];
    int program_fds[3]; /* what the program gets as stdin, stdout and stderr; -1: nothing */
    int terminal;       /* the master side of the terminal on stdin; -1 when it is none */
    bool is_taken;      /* the program takes keys one by one */
    int input_pipe;     /* the read end of the pipe on stdin; -1 when it is none */
    pid_t pid;          /* of the program */
    bool has_ended;
    int status; /* as wait() tells it; once it has ended */
};

/* Tell the launcher what failed, with errno when that is not 0, and end the machine. */
_Noreturn void inside_fail(const char *what, int error);

/* Take the start file apart. It ends with a zero byte. */
void inside_read_start(char *text, size_t size, struct start *start);

/* Make what the program prints to and reads from, and the streams that lead there. */
void inside_open_ends(struct inside *inside);

/* Make the descriptors that debuggers come to; inside_connect() is one coming. False when there is no such listener. */
void inside_open_listeners(struct inside *inside);
bool inside_connect(struct inside *inside, unsigned stream, uint64_t listener);

/* Something has happened to the terminal's settings: tell the launcher. */
void inside_look_at_terminal(struct inside *inside);

/* How many bytes of stdin the program has read. */
uint64_t inside_input_read(const struct inside *inside);

#endif
