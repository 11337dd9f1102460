// ControlServer: answers control.proto for shims and tools, one Client a connection.
//
// It does what is the same for every request: who may connect (our own user), Hello first, one
// descriptor exactly where a request needs it, one answer to each request, turns of bounded
// length. What a request means is the ControlHandler's.
//
// Answers     Each request is answered at once and in order; Adopt has no answer, because it travels on
//             a connection that another process reads too, nor has Rung. A bad request gets EPROTO and
//             the connection stays; a connection whose first record is no valid Hello, or that
//             sends kMaxBadRequests bad ones, is closed. (So two ends of control connections that a
//             liar ties together do not answer each other for ever.)
// Descriptors Whatever arrives unasked is closed before anything else happens.
// Full table  Some descriptors are held back for this work (fd_reserve.h).
// Threads     The loop thread. REQUIRES: the loop does not turn once this is destroyed.
#ifndef VMBUS_EMU_CONTROL_SERVER_H_
#define VMBUS_EMU_CONTROL_SERVER_H_

#include <unistd.h>

#include <array>
#include <cstddef>
#include <map>
#include <memory>

#include "emu/control_connection.h"
#include "emu/counters.h"
#include "emu/event_loop.h"
#include "emu/fd_reserve.h"
#include "emu/protocol/carrier.h"
#include "emu/protocol/protobuf/control.pb.h"

namespace vmbus::emu {

class ControlHandler {
 public:
  virtual ~ControlHandler() = default;
  // The answer to a valid Hello: Welcome, with the endpoint table attached.
  virtual HandlerReply welcome(const Client& client) = 0;
  // Any other request but Adopt. `carrier` is the descriptor that came with it, for those that need
  // one.
  virtual HandlerReply handle(const Client& client, const control::Request& request,
                              OwnedFd carrier) = 0;
  // A client has set bells of a memory (emu/protocol/lane.h).
  virtual void on_rung() = 0;
  // A client that was welcomed has closed its connection.
  virtual void on_client_gone(const Client& client) = 0;
};

class ControlServer {
 public:
  static constexpr std::uint32_t kMaxBadRequests = 64;

  // `listener` stays the caller's. `owner`: whose programs may connect.
  ControlServer(EventLoop& loop, int listener, ControlHandler& handler, Counters& counters,
                uid_t owner = ::geteuid());
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Connections, also those that have not said Hello: each of them uses the bus.
  std::size_t connections() const { return connections_.size(); }
  // Is that the number of a client that is there?
  bool has_client(std::uint64_t id) const { return connections_.contains(ClientId{id}); }
  FdReserve& reserve() { return reserve_; }

 private:
  void accept_waiting();
  // Whether to try again at once. REQUIRES: accept() just failed with `error`.
  bool recover_from_accept_failure(int error);
  void admit(OwnedFd socket);
  void add(OwnedFd socket, pid_t pid);
  bool adopt(OwnedFd socket);  // false: it is no control connection
  void on_ready(ClientId id);
  void serve(ControlConnection& connection);
  // False: the connection is to be closed.
  bool answer(ControlConnection& connection, ReceivedRequest received);
  HandlerReply dispatch(ControlConnection& connection, ReceivedRequest received);
  HandlerReply greet(ControlConnection& connection, const control::Hello& hello);
  HandlerReply refuse(ControlConnection& connection, int error, std::string_view explanation);
  void close(ControlConnection& connection);
  ControlConnection* find(ClientId id);

  EventLoop& loop_;
  int listener_;
  ControlHandler& handler_;
  Counters& counters_;
  uid_t owner_;
  FdReserve reserve_;
  WatchId listener_watch_;
  TimerId accept_retry_;
  std::uint64_t last_client_ = 0;
  std::map<ClientId, std::unique_ptr<ControlConnection>> connections_;
  std::array<char, proto::kMaxControlBytes> buffer_{};
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_SERVER_H_
