// The spare: the socket that came with an answer, before the program asked for one (control.proto, Reply.spare).
//
// It is held, not left in the connection: while any AF_UNIX socket is on its way in a message, the kernel looks for
// cycles of such messages at each close of one, in a thread of its own.
//
// Place       One number, high, beside the control connection's, close-on-exec; a duplicate of that connection is there
//             while no spare is, so that a program which counts its descriptors sees none come and go. None where
//             RLIMIT_NOFILE is low.
// Ends        The spare, when the program asks for anything else first. The place, when the program closes the number or
//             puts something over it, and with the connection.
// Fork        the child closes its copy (after a raw clone(), with its first request, or exec).
// Threads     All but has_spare_place() and give_up_spare_place() need the lock (fork.h).
#ifndef VMBUS_SHIM_SPARE_SOCKET_H_
#define VMBUS_SHIM_SPARE_SOCKET_H_

#include <cstdint>

namespace vmbus::shim {

struct SpareSocket {
  int fd = -1;
  std::uint32_t entry = 0;
  std::uint32_t generation = 0;
  unsigned long long cookie = 0;
};

// Has it one with such a number? Lock-free.
bool has_spare_place(unsigned first, unsigned last);
// The control connection is new. REQUIRES: control_is_intact().
void make_spare_place();
void end_spare_place();
// The program is about to close what has these numbers, or to put something else there. REQUIRES: owns_memory().
void give_up_spare_place(unsigned first, unsigned last);

bool has_spare();
// Takes `received` over, -1 too: the kernel found no room for it.
void keep_spare(const SpareSocket& received);
// Gives it a number like that of any other socket. 0, EMFILE, or EAGAIN: there is none.
int take_spare(SpareSocket* taken);
// Has it been taken, and the daemon not been told?
bool was_spare_taken();
void note_spare_told();
void drop_spare();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_SPARE_SOCKET_H_
