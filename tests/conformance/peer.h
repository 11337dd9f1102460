// Peer: another process, in another partition, that makes the calls a case asks it for.
//
// It is this program started again (`socket_cases --peer FD`) with the environment of that partition,
// and talks over an AF_UNIX pair: a Command goes out, an Answer comes back. Between post() and
// collect() it may wait in a call while the case goes on.
#ifndef VMBUS_TESTS_CONFORMANCE_PEER_H_
#define VMBUS_TESTS_CONFORMANCE_PEER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/socket.h"

namespace vmbus::cases {

enum class Call : std::uint32_t {
  kSocket,     // family, type, protocol
  kBind,       // fd; data: the name
  kListen,     // fd, backlog
  kAccept,     // fd
  kConnect,    // fd; data: the name
  kSend,       // fd, flags; data
  kReceive,    // fd, flags, size; answers the data
  kShutdown,   // fd, how
  kClose,      // fd
  kGetName,    // fd; answers the name
  kGetPeer,    // fd; answers the name
  kSetOption,  // fd, level, option; data: the value
  kGetOption,  // fd, level, option; answers up to 64 bytes
  kPoll,       // fd, limit in ms, events; the value is revents
  kSetFlags,   // fd, flags of F_SETFL
};

struct Command {
  Call call{};
  int arguments[3] = {};
  std::uint32_t size = 0;  // of the data that follows
};

struct Answer {
  Outcome outcome;
  std::string data;
};

class RemoteSocket;

class Peer {
 public:
  // `partition`: VMBUS_PARTITION of the process. `variables`: "NAME=VALUE", over this one's own.
  explicit Peer(const std::string& partition, std::vector<std::string> variables = {});
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // The process, to be killed or stopped.
  pid_t pid() const { return pid_; }

  void post(Command command, std::string_view data = {});
  // REQUIRES: one post() without its collect(). A peer that is gone answers -1 EPIPE.
  Answer collect();
  Answer ask(Command command, std::string_view data = {}) {
    post(command, data);
    return collect();
  }

  // A socket there, -1 in it if the call failed.
  RemoteSocket socket(int family, int type = SOCK_STREAM, int protocol = 0);

 private:
  pid_t pid_ = -1;
  Socket channel_;
};

// A descriptor of a Peer. REQUIRES: the Peer outlives it.
class [[nodiscard]] RemoteSocket {
 public:
  RemoteSocket() = default;
  RemoteSocket(Peer& peer, int fd) : peer_(&peer), fd_(fd) {}
  ~RemoteSocket() { close(); }
  RemoteSocket(RemoteSocket&& other) noexcept
      : peer_(other.peer_), fd_(std::exchange(other.fd_, -1)) {}
  RemoteSocket& operator=(RemoteSocket&& other) noexcept {
    close();
    peer_ = other.peer_;
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }

  int fd() const { return fd_; }
  Outcome close();
  Outcome bind(const Address& name) const { return call(Call::kBind, 0, 0, bytes(name)).outcome; }
  Outcome listen(int backlog = 16) const { return call(Call::kListen, backlog).outcome; }
  Outcome connect(const Address& to) const { return call(Call::kConnect, 0, 0, bytes(to)).outcome; }
  // Waits for a connection; -1 in the socket if the call failed.
  RemoteSocket accepted() const {
    return {*peer_, static_cast<int>(call(Call::kAccept).outcome.value)};
  }
  Outcome shutdown(int how) const { return call(Call::kShutdown, how).outcome; }
  Outcome send(std::string_view data, int flags = MSG_NOSIGNAL) const {
    return call(Call::kSend, flags, 0, data).outcome;
  }
  Received receive(std::size_t size, int flags = 0) const;
  // Until `size` bytes or the end of the stream.
  std::string receive_all(std::size_t size) const { return receive(size, MSG_WAITALL).data; }
  std::pair<Outcome, Address> name() const { return name_by(Call::kGetName); }
  std::pair<Outcome, Address> peer_name() const { return name_by(Call::kGetPeer); }
  template <typename T>
  Outcome set_option(int level, int option, const T& value) const {
    const std::string_view data(reinterpret_cast<const char*>(&value), sizeof value);
    return call(Call::kSetOption, level, option, data).outcome;
  }
  Outcome option(int level, int number) const;
  Outcome so_error() const { return option(SOL_SOCKET, SO_ERROR); }
  short poll(std::chrono::milliseconds limit = {}, short events = kAllEvents) const {
    return static_cast<short>(
        call(Call::kPoll, static_cast<int>(limit.count()), events).outcome.value);
  }
  Outcome set_nonblocking(bool on = true) const {
    return call(Call::kSetFlags, on ? O_NONBLOCK : 0).outcome;
  }

  // A call that may wait: start it, go on, collect() its Answer.
  void start_accept() const { start(Call::kAccept); }
  void start_connect(const Address& to) const { start(Call::kConnect, 0, 0, bytes(to)); }
  void start_send(std::string_view data, int flags = MSG_NOSIGNAL) const {
    start(Call::kSend, flags, 0, data);
  }
  void start_receive(std::size_t size, int flags = 0) const {
    start(Call::kReceive, flags, static_cast<int>(size));
  }
  Answer collect() const { return peer_->collect(); }

 private:
  static std::string_view bytes(const Address& name) {
    return {reinterpret_cast<const char*>(&name.storage), name.size};
  }
  Command command(Call what, int first, int second) const {
    return {what, {fd_, first, second}, 0};
  }
  void start(Call what, int first = 0, int second = 0, std::string_view data = {}) const {
    peer_->post(command(what, first, second), data);
  }
  Answer call(Call what, int first = 0, int second = 0, std::string_view data = {}) const {
    return peer_->ask(command(what, first, second), data);
  }
  std::pair<Outcome, Address> name_by(Call what) const;

  Peer* peer_ = nullptr;
  int fd_ = -1;
};

// The other process's main(): serves commands until the end of the stream. Its exit status.
int serve_as_peer(int channel);

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_PEER_H_
