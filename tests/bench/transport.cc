#include "tests/bench/transport.h"

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "tests/support/unhooked.h"

namespace vmbus::bench {
namespace {

constexpr int kBacklog = 128;
constexpr unsigned kDefaultGuestCid = 3;

// Headers older than Linux 5.6 do not name it.
constexpr unsigned kCidOfLoopback = 1;

bool is_tcp(Transport transport) {
  return transport == Transport::kTcp || transport == Transport::kSocketWrapper;
}

bool is_vsock(Transport transport) { return transport != Transport::kUnix && !is_tcp(transport); }

int family_of(Transport transport) {
  if (transport == Transport::kUnix) return AF_UNIX;
  return is_tcp(transport) ? AF_INET : AF_VSOCK;
}

// Without socket_wrapper the program would measure the kernel's TCP, and nobody would see it.
void require_wrapper(int fd) {
  int family = 0;
  socklen_t length = sizeof family;
  require(unhooked(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, pointer_argument(&family),
                   pointer_argument(&length)),
          "SO_DOMAIN");
  if (family == AF_UNIX) return;
  errno = EPROTONOSUPPORT;
  fail("libsocket_wrapper.so is not preloaded, or has no SOCKET_WRAPPER_DIR");
}

template <class Sockaddr>
Address packed(const Sockaddr& address, std::size_t length = sizeof(Sockaddr)) {
  Address result;
  std::memcpy(&result.storage, &address, sizeof address);
  result.length = static_cast<socklen_t>(length);
  return result;
}

Address vsock_address(unsigned cid, unsigned port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return packed(address);
}

// Port or name: whatever is free.
Address any_address(Transport transport) {
  if (transport == Transport::kUnix) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    return packed(address, sizeof address.sun_family);  // the kernel chooses an abstract name
  }
  if (is_tcp(transport)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return packed(address);
  }
  // Who binds CID 2 is the host; who binds no CID in particular is the guest.
  return vsock_address(transport == Transport::kGuestToHost ? VMADDR_CID_HOST : VMADDR_CID_ANY,
                       VMADDR_PORT_ANY);
}

unsigned cid_to_dial(Transport transport) {
  if (transport == Transport::kGuestToHost) return VMADDR_CID_HOST;
  if (transport == Transport::kLoopback) return kCidOfLoopback;
  const char* cid = std::getenv("VMBUS_CID");
  return cid == nullptr ? kDefaultGuestCid : static_cast<unsigned>(std::strtoul(cid, nullptr, 10));
}

int new_socket(Transport transport) {
  const int fd = static_cast<int>(
      require(::socket(family_of(transport), SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  if (transport == Transport::kSocketWrapper) require_wrapper(fd);
  return fd;
}

// As every program does that sends small messages.
void send_at_once(Transport transport, int fd) {
  const int on = 1;
  if (!is_tcp(transport)) return;
  require(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
}

const sockaddr* as_sockaddr(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address.storage);
}

}  // namespace

void fail(const std::string& what) {
  std::fprintf(stderr, "socket_bench: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

long require(long result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

void require_guard(Transport transport) {
  if (!is_vsock(transport)) return;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line == "Seccomp:\t2") return;
  }
  errno = EPERM;
  fail("AF_VSOCK is measured under `novsock vmbus run` only, never on a real device");
}

int listen_at_any_address(Transport transport) {
  const int fd = new_socket(transport);
  const Address address = any_address(transport);
  require(::bind(fd, as_sockaddr(address), address.length), "bind");
  require(::listen(fd, kBacklog), "listen");
  return fd;
}

Address address_of(Transport transport, int fd) {
  Address address;
  address.length = sizeof address.storage;
  require(::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length),
          "getsockname");
  if (!is_vsock(transport)) return address;
  sockaddr_vm bound;
  std::memcpy(&bound, &address.storage, sizeof bound);
  return vsock_address(cid_to_dial(transport), bound.svm_port);
}

int dial(Transport transport, const Address& address) {
  const int fd = new_socket(transport);
  require(::connect(fd, as_sockaddr(address), address.length), "connect");
  send_at_once(transport, fd);
  return fd;
}

int accept_from(Transport transport, int listening_fd) {
  const int fd =
      static_cast<int>(require(::accept4(listening_fd, nullptr, nullptr, SOCK_CLOEXEC), "accept"));
  send_at_once(transport, fd);
  return fd;
}

void leave_no_trace(Transport transport, int fd) {
  const linger reset{.l_onoff = 1, .l_linger = 0};
  if (transport != Transport::kTcp) return;
  require(::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), "SO_LINGER");
}

}  // namespace vmbus::bench
