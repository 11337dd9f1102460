// SocketRequests: what programs ask of their sockets: socket, bind, listen, connect, shutdown and
// options.
//
// Each returns 0 or the errno value that the program's call gives, tests in the kernel's order. `a`
// is the copy of the application's end that the request brought.
//
// Threads     The loop thread. Never blocks: connect() answers EINPROGRESS and ends through
//             Sockets.
#ifndef VMBUS_EMU_HVSOCKET_SOCKET_REQUESTS_H_
#define VMBUS_EMU_HVSOCKET_SOCKET_REQUESTS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "emu/hvsocket/sockets.h"

namespace vmbus::emu {

struct CreateCall {
  std::uint32_t family = 0;
  std::uint32_t type = 0;
  std::uint32_t protocol = 0;
  std::string partition{};
  std::string profile{};  // empty: default
  std::string quirks{};   // settings of single rows
  std::uint32_t pid = 0;
  std::string program{};
  bool is_spare = false;
};

class SocketRequests {
 public:
  explicit SocketRequests(Sockets& sockets) : sockets_(sockets) {}

  tl::expected<Sockets::Born, int> create(const CreateCall& call);
  int bind(Socket& socket, std::span<const std::byte> address, bool privileged);
  int listen(Socket& socket, int a, int backlog);
  int connect(Socket& socket, int a, std::span<const std::byte> address, bool nonblocking);
  int cancel_connect(Socket& socket);
  int shutdown(Socket& socket, int a, int how);
  int set_option(Socket& socket, int level, int option, std::span<const std::byte> value);
  // What A holds below the socket's low-water mark, so that A shows no IN.
  void take_back(Socket& socket, int a);
  int take_error(Socket& socket);
  // Ends a guest's pause, and goes on with the connects that it held. REQUIRES: guest.paused.
  void resume(Guest& guest);

 private:
  // kDevice: virtio leaves a CID it does not know to its device, which refuses.
  enum class Reach : std::uint8_t { kOtherSide, kLoopback, kDevice, kNowhere };

  int bind_vsock(Socket& socket, proto::Address address, bool privileged);
  int bind_hyperv(Socket& socket, const proto::Address& address);
  int choose_home_for_bind(Socket& socket, proto::Cid cid);
  int choose_home_for_connect(Socket& socket, const proto::Address& target);
  bool is_local_cid(const Socket& socket, proto::Cid cid) const;
  bool take_name(Socket& socket, proto::Address address);
  bool host_name_taken(const proto::Address& address);
  int name_dialer(Socket& socket);
  int wait_for_outcome(Socket& socket, int a);
  int collect_reset(Socket& socket, int a);
  int start(Socket& socket, const proto::Address& target);
  static Reach reach_of(const Socket& socket, const proto::Address& target);
  static int unreachable(const Socket& socket, const proto::Address& target);
  static int parse_address(const Socket& socket, std::span<const std::byte> raw,
                           proto::Address& address);
  static std::optional<proto::Port> automatic_port(const Socket& socket, proto::Cid cid);
  int start_from_guest(Socket& socket, const proto::Address& target);
  void dial_from_guest(Socket& socket, Guest& guest);
  int start_from_host(Socket& socket, const proto::Address& target);
  void dial_loopback(Socket& socket, Socket* listener);
  void leave_plug(Socket& socket, int a);
  Socket* stand_in_for_host(const Socket& socket, const proto::Guid& service);

  SharedProfile find_profile(const CreateCall& call);  // null: there is no such profile, or setting

  Sockets& sockets_;
  SharedProfile last_profile_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_SOCKET_REQUESTS_H_
