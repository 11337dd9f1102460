#include "tests/fuzz/hostile/control.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "emu/protocol/carrier.h"
#include "tests/fuzz/hostile/sockets.h"

namespace vmbus::hostile {
namespace {

// A field with a length before its bytes. Its number stands in Request of control.proto.
constexpr unsigned char field(unsigned number) {
  return static_cast<unsigned char>(number << 3 | 2);
}
// Hello: protocol = 1 is a number, program = 2 a byte.
constexpr std::array<unsigned char, 7> kHello{field(1), 5, 1u << 3, proto::kControlProtocol,
                                              field(2), 1, 'x'};
constexpr std::array<unsigned char, 2> kMapMemory{field(12), 0};
constexpr std::array<unsigned char, 2> kRung{field(13), 0};

int connect_to_bus() {
  const char* path = std::getenv("VMBUS_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) {
    fail(kExitNoSocket, "VMBUS_SOCKET names no bus");
  }
  std::strcpy(address.sun_path, path);
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail(kExitNoSocket, "nobody answers on the bus");
  }
  return fd;
}

const proto::Endpoint* map_table(int fd) {
  void* mapped = ::mmap(nullptr, proto::kEndpointTableBytes, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) fail(kExitNoSocket, "the table of endpoints cannot be mapped");
  ::close(fd);
  const auto* base = static_cast<const std::byte*>(mapped);
  return reinterpret_cast<const proto::Endpoint*>(base + proto::kEndpointTableHeaderBytes);
}

}  // namespace

Control::Control() : socket_(connect_to_bus()), table_(nullptr) {
  send(kHello, -1);
  table_ = map_table(receive());
}

void Control::send(std::span<const unsigned char> request, int carrier) const {
  iovec part{const_cast<unsigned char*>(request.data()), request.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (carrier >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_LEN(sizeof carrier);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    *header = {CMSG_LEN(sizeof carrier), SOL_SOCKET, SCM_RIGHTS};
    std::memcpy(CMSG_DATA(header), &carrier, sizeof carrier);
  }
  if (::sendmsg(socket_, &message, MSG_NOSIGNAL) < 0) {
    fail(kExitNoSocket, "the bus takes no requests any more");
  }
}

int Control::receive() const {
  std::array<char, 1024> bytes{};
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket_, &message, MSG_CMSG_CLOEXEC) <= 0) {
    fail(kExitNoSocket, "the bus answers no requests any more");
  }
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

int Control::request_memory(int carrier) const {
  send(kMapMemory, carrier);
  return receive();
}

int Control::ring(int times) const {
  int done = 0;
  while (done<times&& ::send(socket_, kRung.data(), kRung.size(), MSG_DONTWAIT | MSG_NOSIGNAL)> 0) {
    ++done;
  }
  return done;
}

}  // namespace vmbus::hostile
