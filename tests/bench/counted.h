// What is counted rather than timed. `compare` looks at these processes from outside.
//
//   held   connections, each idle after some bytes each way: memory, descriptors, idle CPU time
//   pair   a send and a recv of one message, both ends in one process, again and again: under
//          callgrind, instructions; under its tool none, system calls. The difference between N and 2 N of
//          them leaves out what happens once.
#ifndef VMBUS_TESTS_BENCH_COUNTED_H_
#define VMBUS_TESTS_BENCH_COUNTED_H_

#include "tests/bench/figures.h"

namespace vmbus::bench {

// Accepts `connections` and sends back what arrives on each, then waits in recv on the last one until
// it ends: an idle program of one kind.
void keep_accepted(const Plan& plan, int listening_fd, int connections);

// Opens one connection, then, after a line on standard input, the others; waits in epoll_wait on all of
// them, an idle program of the other kind, for the next line each time, and ends at its end. Prints
//   {"open": N, "pids": [DIALLER, LISTENER]}
// once N connections have had their bytes.
void keep_dialled(const Plan& plan, const Address& address, int connections);

void run_pairs(const Plan& plan, int iterations);

}  // namespace vmbus::bench

#endif  // VMBUS_TESTS_BENCH_COUNTED_H_
