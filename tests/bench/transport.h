// The sockets that are compared: two of the kernel's, those of another shim, and ours on three routes.
//
// The program that uses them is the same for all; only address families and addresses differ. Every
// function ends the process with a message when a call fails: a benchmark has no second plan.
#ifndef VMBUS_TESTS_BENCH_TRANSPORT_H_
#define VMBUS_TESTS_BENCH_TRANSPORT_H_

#include <sys/socket.h>

#include <string>

namespace vmbus::bench {

enum class Transport {
  kUnix,           // AF_UNIX stream, abstract name: the measure of all others
  kTcp,            // TCP over the loopback device
  kSocketWrapper,  // TCP as cwrap's socket_wrapper, preloaded, makes it out of AF_UNIX
  kGuestToHost,    // AF_VSOCK: a guest's program dials CID 2
  kHostToGuest,    // AF_VSOCK: a program of the host dials the guest's CID
  kLoopback,       // AF_VSOCK: inside one guest, by CID 1
};

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// Ends the process, naming `what` and errno.
[[noreturn]] void fail(const std::string& what);

// `result`, unless it is negative: then fail(what).
long require(long result, const char* what);

// Ends the process unless the system-call filter of tests/support/novsock.c, which keeps AF_VSOCK
// away from the kernel, is around it. Other families need none.
void require_guard(Transport transport);

// A listening socket at an address of the kernel's or the bus's choice.
int listen_at_any_address(Transport transport);

// Where to dial the listening socket `fd`.
Address address_of(Transport transport, int fd);

int dial(Transport transport, const Address& address);
int accept_from(Transport transport, int listening_fd);

// Before close(), on the side that dialled: TCP must forget the connection at once, or ten thousands
// of them in TIME_WAIT use up the ports.
void leave_no_trace(Transport transport, int fd);

}  // namespace vmbus::bench

#endif  // VMBUS_TESTS_BENCH_TRANSPORT_H_
