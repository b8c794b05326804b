/*
 * Debuggers that mean no good, and a whole server before them: a script says what they do, one line each time the
 * server looks at its descriptors or uses one. No threads, no ports, no time: the same script is the same run, and a
 * server that waits in vain is one whose script is over. For programs linked with --wrap=poll,recv,send,accept4.
 *
 * The first byte of a script chooses the machines: bits 0 and 1 how many but one, 2 held at their end, 3 running
 * without a debugger, 4 and 5 what a lost debugger means (enum mh_gdb_lost), 6 small socket buffers. Then lines:
 *
 *   0 1 2 3   the following are done by this client, which connects if it is not connected
 *   $TEXT     send a packet
 *   =BYTES    send bytes as they are, without the end of the line
 *   ^         send an interrupt
 *   *TEXT     send this packet again and again, taking all replies, until the end of it all
 *   <         take everything the server has sent
 *   /         take at most 64 bytes of it
 *   h         close the sending direction
 *   x         close the connection
 *   e         from now on the host has no descriptor for a connection, or has some again
 *
 * Any other line is a look during which nothing happens.
 */
#ifndef MH_TEST_HOSTILE_CLIENT_H
#define MH_TEST_HOSTILE_CLIENT_H

#include <stddef.h>

/*
 * Serve the clients of a script with the fake target, then have the server end. Aborts with a line on stderr when the
 * server does something it must not: sends what is no frame or has a wrong checksum, runs long after it was told to
 * end, accepts in vain again and again, fails, leaves a machine running or a descriptor open.
 */
void hostile_client_run(const void *script, size_t length);

#endif
