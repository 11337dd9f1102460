// socket() and socketpair(): cases 13 to 27.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

// What socket() gives; the descriptor is closed again.
Outcome creates(int family, int type, int protocol) {
  const Outcome result = outcome(::socket(family, type, protocol));
  const Socket made(static_cast<int>(result.value));
  return result.ok() ? gives(0) : result;
}

// The same in another process. A descriptor stays open there until its end.
Outcome creates_in(Peer& peer, int family, int type, int protocol) {
  const Outcome result = peer.ask({Call::kSocket, {family, type, protocol}, 0}).outcome;
  return result.ok() ? gives(0) : result;
}

// The setup's own family.
int own_family() { return static_cast<int>(stream().option(SOL_SOCKET, SO_DOMAIN).value); }

// Room for `count` descriptors more than usual.
class DescriptorRoom {
 public:
  explicit DescriptorRoom(rlim_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit wider = before_;
    wider.rlim_cur = std::min(wider.rlim_max, std::max(wider.rlim_cur, count + 256));
    ::setrlimit(RLIMIT_NOFILE, &wider);
  }
  ~DescriptorRoom() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorRoom(const DescriptorRoom&) = delete;
  DescriptorRoom& operator=(const DescriptorRoom&) = delete;

 private:
  rlimit before_{};
};

// How many sockets the daemon knows: `vmbus ps --json` shows an entry for each.
int sockets_of_bus() {
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  FILE* output = ::popen((folder / "vmbus").string().append(" ps --json").c_str(), "r");
  if (output == nullptr) return -1;
  std::string text;
  char part[4096];
  while (const std::size_t got = std::fread(part, 1, sizeof part, output)) text.append(part, got);
  if (::pclose(output) != 0) return -1;
  int count = 0;
  for (std::size_t at = 0; (at = text.find("\"entry\"", at)) != std::string::npos; ++at) ++count;
  return count;
}

// The descriptors' numbers, in the order they were made. All are closed again.
std::vector<int> numbers_of_many_sockets(int count) {
  std::vector<Socket> sockets;
  std::vector<int> numbers;
  for (int i = 0; i < count; ++i) {
    sockets.push_back(stream());
    numbers.push_back(sockets.back().fd());
  }
  return numbers;
}

}  // namespace

VMBUS_CASE(Creation, 13, kLinux, "socket(AF_VSOCK, SOCK_STREAM, 0) makes a socket") {
  EXPECT_EQ(creates(AF_VSOCK, SOCK_STREAM, 0), gives(0));
}

VMBUS_CASE(Creation, 14, kLinux, "protocol 40 is as good as 0, and SO_PROTOCOL says 0") {
  const Socket socket(::socket(AF_VSOCK, SOCK_STREAM, AF_VSOCK));
  ASSERT_GE(socket.fd(), 0);
  EXPECT_EQ(socket.option(SOL_SOCKET, SO_PROTOCOL), gives(0));
}

VMBUS_CASE(Creation, 15, kLinux | kPlain, "another protocol is EPROTONOSUPPORT") {
  for (const int protocol : {5, 39, 41})
    EXPECT_EQ(creates(own_family(), SOCK_STREAM, protocol), fails(EPROTONOSUPPORT)) << protocol;
  if (in(kLinux)) {
    EXPECT_EQ(creates(AF_VSOCK, SOCK_STREAM, 1), fails(EPROTONOSUPPORT));
  }
}

VMBUS_CASE(Creation, 16, kLinux | kLinux5_4, "SOCK_SEQPACKET can be made, since Linux 5.14") {
  if (in(kLinux5_4)) {
    EXPECT_EQ(creates(AF_VSOCK, SOCK_SEQPACKET, 0), fails(ESOCKTNOSUPPORT));
    return;
  }
  const Socket socket(::socket(AF_VSOCK, SOCK_SEQPACKET, 0));
  ASSERT_GE(socket.fd(), 0);
  EXPECT_EQ(socket.option(SOL_SOCKET, SO_TYPE), gives(SOCK_SEQPACKET));
}

VMBUS_CASE(Creation, 17, kLinux, "SOCK_DGRAM is ENODEV: no transport has datagrams") {
  EXPECT_EQ(creates(AF_VSOCK, SOCK_DGRAM, 0), fails(ENODEV));
}

VMBUS_CASE(Creation, 18, kLinux, "SOCK_RAW and SOCK_RDM are ESOCKTNOSUPPORT") {
  EXPECT_EQ(creates(AF_VSOCK, SOCK_RAW, 0), fails(ESOCKTNOSUPPORT));
  EXPECT_EQ(creates(AF_VSOCK, SOCK_RDM, 0), fails(ESOCKTNOSUPPORT));
}

VMBUS_CASE(Creation, 19, kLinux | kFreeBsd | kWindows | kPlain,
           "SOCK_NONBLOCK and SOCK_CLOEXEC do what they say, each alone") {
  for (const bool nonblocking : {false, true}) {
    for (const bool close_on_exec : {false, true}) {
      const Socket socket =
          stream((nonblocking ? SOCK_NONBLOCK : 0) | (close_on_exec ? SOCK_CLOEXEC : 0));
      ASSERT_GE(socket.fd(), 0);
      EXPECT_EQ((::fcntl(socket.fd(), F_GETFL) & O_NONBLOCK) != 0, nonblocking);
      EXPECT_EQ(::fcntl(socket.fd(), F_GETFD), close_on_exec ? FD_CLOEXEC : 0);
    }
  }
}

VMBUS_CASE(Creation, 20, kLinux | kWindows | kPlain, "there are no pairs: EOPNOTSUPP") {
  int ends[2] = {-1, -1};
  const Outcome result =
      outcome(::socketpair(own_family(), SOCK_STREAM, in(kWindows) ? 1 : 0, ends));
  const Socket first(ends[0]);
  const Socket second(ends[1]);
  EXPECT_EQ(result, in(kUnix) ? gives(0) : fails(EOPNOTSUPP));
}

VMBUS_CASE(Creation, 21, kLinux, "without a bus the family is unknown: EAFNOSUPPORT") {
  Peer hidden("guest", {"VMBUS_SOCKET=/dev/null/bus"});
  EXPECT_EQ(creates_in(hidden, AF_VSOCK, SOCK_STREAM, 0), fails(EAFNOSUPPORT));
  EXPECT_EQ(creates_in(hidden, AF_VSOCK, SOCK_SEQPACKET, 0), fails(EAFNOSUPPORT));
  EXPECT_EQ(creates_in(hidden, AF_UNIX, SOCK_STREAM, 0), gives(0)) << "others are not concerned";
}

VMBUS_CASE(Creation, 22, kLinux | kPlain,
           "families 34 and 43 are the kernel's where they are not ours") {
  Peer without_shim("", {"LD_PRELOAD="});
  if (creates_in(without_shim, kFreeBsdFamily, SOCK_STREAM, 1).ok()) {
    GTEST_SKIP() << "this kernel has AF_SMC, which is 43";
  }
  EXPECT_EQ(creates_in(without_shim, kFreeBsdFamily, SOCK_STREAM, 1), fails(EAFNOSUPPORT));
  EXPECT_EQ(creates_in(without_shim, AF_HYPERV, SOCK_STREAM, 1), fails(EAFNOSUPPORT));
  // No guest of this bus is a FreeBSD.
  EXPECT_EQ(creates(kFreeBsdFamily, SOCK_STREAM, 1), fails(EAFNOSUPPORT));
  EXPECT_EQ(creates(AF_HYPERV, SOCK_DGRAM, 1), fails(EAFNOSUPPORT));
}

VMBUS_CASE(Creation, 23, kWindows,
           "socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW) makes a socket") {
  EXPECT_EQ(creates(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW), gives(0));
}

VMBUS_CASE(Creation, 24, kWindows, "AF_HYPERV with protocol 0 is EPROTOTYPE") {
  EXPECT_EQ(creates(AF_HYPERV, SOCK_STREAM, 0), fails(EPROTOTYPE));
}

VMBUS_CASE(Creation, 25, kFreeBsd, "FreeBSD's AF_HYPERV takes the protocols 0 and 1") {
  EXPECT_EQ(creates(kFreeBsdFamily, SOCK_STREAM, 0), gives(0));
  EXPECT_EQ(creates(kFreeBsdFamily, SOCK_STREAM, 1), gives(0));
}

VMBUS_CASE(Creation, 26, kFreeBsd, "FreeBSD's AF_HYPERV with protocol 5 is EPROTONOSUPPORT") {
  EXPECT_EQ(creates(kFreeBsdFamily, SOCK_STREAM, 5), fails(EPROTONOSUPPORT));
}

VMBUS_CASE(Creation, 27, kLinux | kFreeBsd | kWindows | kPlain,
           "1024 sockets that are closed leave nothing behind") {
  constexpr int kCount = 1024;
  const DescriptorRoom room(kCount);
  const int known_before = in(kPlain) ? 0 : sockets_of_bus();
  const std::vector<int> first = numbers_of_many_sockets(kCount);
  ASSERT_GE(*std::ranges::min_element(first), 0);
  EXPECT_EQ(numbers_of_many_sockets(kCount), first) << "every number can be had again";
  if (in(kPlain)) return;
  ASSERT_GE(known_before, 0);
  EXPECT_TRUE(eventually([&] { return sockets_of_bus() <= known_before; }));
}

}  // namespace vmbus::cases
