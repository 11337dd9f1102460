// bind(): cases 28 to 42 and 48 to 56. Privileged ports are bind_privilege_cases.cc, the other
// systems' rules bind_foreign_cases.cc.
#include <sys/wait.h>

#include <vector>

#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

Outcome binds(const Address& name) { return stream().bind(name); }

// A port that the system chooses.
std::uint32_t automatic_port(const Socket& socket) {
  EXPECT_EQ(socket.bind(vm_address(kAny, kAny)), gives(0));
  return port_of(socket.name().second);
}

// Automatic ports follow each other in 1024..0xFFFFFFFE.
std::uint32_t port_after(std::uint32_t port) { return port == 0xFFFFFFFE ? 1024 : port + 1; }

Address with_flags(std::uint8_t flags) {
  sockaddr_vm name = vm_name(kAny, next_port());
  name.svm_flags = flags;
  return Address::of(name);
}

// A child that does nothing but hold copies of our descriptors, until it is told to go.
class Holder {
 public:
  Holder() {
    if (::pipe2(pipe_, O_CLOEXEC) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::close(pipe_[1]);
    char byte = 0;
    while (::read(pipe_[0], &byte, 1) < 0 && errno == EINTR) continue;
    ::_exit(0);
  }
  ~Holder() {
    go();
    ::close(pipe_[0]);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  // Returns when it is gone.
  void go() {
    if (pid_ <= 0) return;
    ::close(pipe_[1]);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }

 private:
  int pipe_[2] = {-1, -1};
  pid_t pid_ = -1;
};

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

}  // namespace

VMBUS_CASE(Bind, 28, kLinux | kLoopback, "bind(CID_ANY, port) names the socket just so") {
  const Socket socket = stream();
  const std::uint32_t port = next_port();
  ASSERT_EQ(socket.bind(vm_address(kAny, port)), gives(0));
  const auto [result, name] = socket.name();
  EXPECT_EQ(result, gives(0));
  EXPECT_EQ(name.size, sizeof(sockaddr_vm));
  EXPECT_EQ(name.as<sockaddr_vm>().svm_cid, kAny);
  EXPECT_EQ(name.as<sockaddr_vm>().svm_port, port);
}

VMBUS_CASE(Bind, 29, kLinux | kLoopback, "PORT_ANY becomes a port from 1024 on") {
  const std::uint32_t port = automatic_port(stream());
  EXPECT_GE(port, 1024U);
  EXPECT_LE(port, 0xFFFFFFFEU);
}

VMBUS_CASE(Bind, 30, kLinux | kLoopback, "automatic ports follow each other") {
  const Socket first = stream();
  const Socket second = stream();
  const std::uint32_t port = automatic_port(first);
  EXPECT_EQ(automatic_port(second), port_after(port));
}

VMBUS_CASE(Bind, 31, kLinux | kWindows | kPlain, "a bound socket cannot be bound again") {
  const Socket socket = stream();
  ASSERT_EQ(socket.bind(fresh_name()), gives(0));
  EXPECT_EQ(socket.bind(socket.name().second), fails(EINVAL));
  EXPECT_EQ(socket.bind(fresh_name()), fails(EINVAL));
}

VMBUS_CASE(Bind, 32, kLinux | kTcp, "a length that is too short for a name is EINVAL") {
  const Socket socket = stream();
  const Address name = fresh_name();
  for (const socklen_t size : {15U, 8U, 0U})
    EXPECT_EQ(socket.bind(name.with_size(size)), fails(EINVAL)) << size;
  EXPECT_EQ(socket.bind(name), gives(0)) << "the socket is as it was";
}

VMBUS_CASE(Bind, 33, kLinux | kTcp, "up to 128 bytes the rest of a long name is ignored") {
  EXPECT_EQ(binds(fresh_name().with_size(28)), gives(0));
  EXPECT_EQ(binds(fresh_name().with_size(128)), gives(0));
  EXPECT_EQ(binds(fresh_name().with_size(129)), fails(EINVAL));
}

VMBUS_CASE(Bind, 34, kLinux, "another family in the name is EINVAL, AF_UNSPEC too") {
  for (const int family : {AF_INET, AF_UNSPEC}) {
    sockaddr_vm name = vm_name(kAny, next_port());
    name.svm_family = static_cast<sa_family_t>(family);
    EXPECT_EQ(binds(Address::of(name)), fails(EINVAL)) << family;
  }
}

VMBUS_CASE(Bind, 35, kLinux, "an unknown flag in the name is EINVAL") {
  EXPECT_EQ(binds(with_flags(2)), fails(EINVAL));
  EXPECT_EQ(binds(with_flags(3)), fails(EINVAL));
}

VMBUS_CASE(Bind, 36, kLinux | kLinux5_4,
           "VMADDR_FLAG_TO_HOST may stand in a name to bind, since Linux 5.11") {
  EXPECT_EQ(binds(with_flags(VMADDR_FLAG_TO_HOST)), in(kLinux5_4) ? fails(EINVAL) : gives(0));
}

VMBUS_CASE(Bind, 37, kLinux, "reserved bytes are ignored, and read as zero") {
  sockaddr_vm name = vm_name(kAny, next_port());
  name.svm_reserved1 = 0xBEEF;
  std::memset(name.svm_zero, 0x5A, sizeof name.svm_zero);
  const Socket socket = stream();
  ASSERT_EQ(socket.bind(Address::of(name)), gives(0));
  const auto shown = socket.name().second.as<sockaddr_vm>();
  const auto expected = vm_name(kAny, name.svm_port);
  EXPECT_EQ(std::memcmp(&shown, &expected, sizeof shown), 0);
}

VMBUS_CASE(Bind, 38, kEverywhere, "no name at all is EFAULT") {
  const Socket socket = stream();
  EXPECT_EQ(outcome(::bind(socket.fd(), nullptr, fresh_name().size)), fails(EFAULT));
  EXPECT_EQ(socket.bind(fresh_name()), gives(0)) << "the socket is as it was";
}

VMBUS_CASE(Bind, 39, kEverywhere, "what is no socket is ENOTSOCK, what is closed EBADF") {
  const Socket file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(file.bind(fresh_name()), fails(ENOTSOCK));
  Socket closed = stream();
  const int number = closed.fd();
  ASSERT_EQ(closed.close(), gives(0));
  EXPECT_EQ(outcome(::bind(number, fresh_name().get(), fresh_name().size)), fails(EBADF));
}

VMBUS_CASE(Bind, 40, kLinux | kLoopback, "a CID of somebody else is EADDRNOTAVAIL") {
  EXPECT_EQ(binds(vm_address(VMADDR_CID_HYPERVISOR, next_port())), fails(EADDRNOTAVAIL));
  EXPECT_EQ(binds(vm_address(kHostCid, next_port())), fails(EADDRNOTAVAIL));
  EXPECT_EQ(binds(vm_address(kGuestCid + 1, next_port())), fails(EADDRNOTAVAIL));
  // A guest of Hyper-V does not know its own.
  const bool knows_its_cid = in(kDefault | kVirtio);
  EXPECT_EQ(binds(vm_address(kGuestCid, next_port())),
            knows_its_cid ? gives(0) : fails(EADDRNOTAVAIL));
}

VMBUS_CASE(Bind, 41, kStrict, "without vsock_loopback CID 1 is EADDRNOTAVAIL") {
  EXPECT_EQ(binds(vm_address(VMADDR_CID_LOCAL, next_port())), fails(EADDRNOTAVAIL));
}

VMBUS_CASE(Bind, 42, kLoopback | kDefault | kVirtio, "with vsock_loopback CID 1 can be bound") {
  const Socket socket = stream();
  const Address name = vm_address(VMADDR_CID_LOCAL, next_port());
  ASSERT_EQ(socket.bind(name), gives(0));
  const Address shown = socket.name().second;
  EXPECT_EQ(shown.as<sockaddr_vm>().svm_cid, std::uint32_t{VMADDR_CID_LOCAL});
  EXPECT_EQ(port_of(shown), port_of(name));
}

// ---- names that are taken

VMBUS_CASE(Bind, 48, kEverywhere, "a name that is taken is EADDRINUSE") {
  const Socket first = stream();
  ASSERT_EQ(first.bind(fresh_name()), gives(0));
  EXPECT_EQ(binds(first.name().second), fails(EADDRINUSE));
}

VMBUS_CASE(Bind, 49, kLoopback | kDefault | kVirtio, "CID_ANY and CID 1 exclude each other") {
  const std::uint32_t port = next_port();
  const Address any = vm_address(kAny, port);
  const Address local = vm_address(VMADDR_CID_LOCAL, port);
  for (const auto& [taken, wanted] : {std::pair(any, local), std::pair(local, any)}) {
    const Socket first = stream();
    ASSERT_EQ(first.bind(taken), gives(0));
    EXPECT_EQ(binds(wanted), fails(EADDRINUSE));
  }
}

VMBUS_CASE(Bind, 50, kLinux, "streams and SOCK_SEQPACKET share their ports") {
  const Address name = fresh_name();
  const Socket first = stream();
  ASSERT_EQ(first.bind(name), gives(0));
  const Socket second(::socket(AF_VSOCK, SOCK_SEQPACKET, 0));
  EXPECT_EQ(second.bind(name), fails(EADDRINUSE));
}

VMBUS_CASE(Bind, 51, kLinux | kPlain, "SO_REUSEADDR does not share a name") {
  const Socket first = stream();
  const Socket second = stream();
  ASSERT_EQ(first.set_option(SOL_SOCKET, SO_REUSEADDR, 1), gives(0));
  ASSERT_EQ(second.set_option(SOL_SOCKET, SO_REUSEADDR, 1), gives(0));
  ASSERT_EQ(first.bind(fresh_name()), gives(0));
  EXPECT_EQ(second.bind(first.name().second), in(kTcp) ? gives(0) : fails(EADDRINUSE));
}

VMBUS_CASE(Bind, 52, kLinux | kLoopback, "ports above 0x7FFFFFFF are like any other") {
  for (const std::uint32_t port : {0xFFFFFFFEU, 0x80000000U}) {
    const Socket socket = stream();
    EXPECT_EQ(socket.bind(vm_address(kAny, port)), gives(0));
    EXPECT_EQ(port_of(socket.name().second), port);
  }
}

VMBUS_CASE(Bind, 53, kEverywhere, "a name is taken until the last copy is closed") {
  Socket first = stream();
  ASSERT_EQ(first.bind(fresh_name()), gives(0));
  const Address name = first.name().second;
  Socket copy(::dup(first.fd()));
  ASSERT_EQ(first.close(), gives(0));
  EXPECT_EQ(binds(name), fails(EADDRINUSE));
  ASSERT_EQ(copy.close(), gives(0));
  EXPECT_EQ(binds(name), gives(0));
}

VMBUS_CASE(Bind, 54, kEverywhere, "a forked child keeps a name until it exits") {
  Socket first = stream();
  ASSERT_EQ(first.bind(fresh_name()), gives(0));
  const Address name = first.name().second;
  Holder child;
  ASSERT_EQ(first.close(), gives(0));
  EXPECT_EQ(binds(name), fails(EADDRINUSE));
  child.go();
  EXPECT_EQ(binds(name), gives(0));
}

VMBUS_CASE(Bind, 55, kLinux | kLoopback | kWindows | kUnix,
           "a server may come back while its connections live") {
  Listener old = listener();
  const RemoteSocket client = remote_stream();
  ASSERT_EQ(client.connect(reachable(old.name)), gives(0));
  const Socket connection = old.socket.accepted();
  ASSERT_EQ(old.socket.close(), gives(0));
  const Socket again = stream();
  EXPECT_EQ(again.bind(old.name), gives(0));
  EXPECT_EQ(again.listen(), gives(0));
  EXPECT_EQ(client.send("still here"), gives(10));
  EXPECT_EQ(connection.receive(10, MSG_WAITALL).data, "still here");
}

VMBUS_CASE(Bind, 56, kLinux | kLoopback, "24 taken ports end the search for an automatic one") {
  std::uint32_t port = automatic_port(stream());
  std::vector<Socket> holders(24);
  for (Socket& holder : holders) {
    holder = stream();
    port = port_after(port);
    ASSERT_EQ(holder.bind(vm_address(kAny, port)), gives(0));
  }
  const Socket socket = stream();
  if (!in(kDefault)) {
    EXPECT_EQ(socket.bind(vm_address(kAny, kAny)), fails(EADDRNOTAVAIL));
  }
  // The next search goes on from there; profile `default` never stops.
  EXPECT_EQ(automatic_port(socket), port_after(port));
}

}  // namespace vmbus::cases
