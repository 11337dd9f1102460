// ControlConnection: the daemon's end of one control connection: records in, replies out, never
// blocking.
//
// Who         ControlServer, which decides what a request means. This file knows bytes and
//             descriptors.
// Backlog     A reply that the client has no room for waits here, and the server reads no further
//             request of that client meanwhile: an idle client can hold up one reply and one
//             descriptor, and only its own.
// Trust       Of what a record brings, the bytes must parse and at most one descriptor is taken
//             in.
#ifndef VMBUS_EMU_CONTROL_CONNECTION_H_
#define VMBUS_EMU_CONTROL_CONNECTION_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "emu/event_loop.h"
#include "emu/owned_fd.h"
#include "emu/protocol/protobuf/control.pb.h"

namespace vmbus::emu {

struct ClientId {
  std::uint64_t value = 0;  // never used twice

  friend auto operator<=>(const ClientId&, const ClientId&) = default;
};

struct Client {
  ClientId id;
  pid_t pid = 0;        // 0: in a pid namespace that cannot be seen from here
  std::string program;  // for people; empty before Hello
};

struct HandlerReply {
  control::Reply message;
  OwnedFd attachment;
};

struct ReceivedRequest {
  control::Request request;
  OwnedFd descriptor;
  int error = 0;                      // not 0: answer with this errno, do not act
  std::string_view explanation = {};  // of the error
};

class ControlConnection {
 public:
  ControlConnection(OwnedFd socket, Client client)
      : socket_(std::move(socket)), client_(std::move(client)) {}

  int fd() const { return socket_.get(); }
  const Client& client() const { return client_; }
  void set_program(std::string_view program);  // makes it fit for a terminal

  // One request. Error EAGAIN: none is there; anything else: the client is gone.
  tl::expected<ReceivedRequest, int> receive(std::span<char> buffer);

  // Sends, or keeps it until flush(). REQUIRES: !reply_waits(). Error: the client is gone.
  tl::expected<void, int> send(HandlerReply reply);
  bool reply_waits() const { return waiting_.has_value(); }
  tl::expected<void, int> flush();

  // The server's notes.
  WatchId watch;
  bool greeted = false;  // Hello was answered
  std::uint32_t bad_requests = 0;

 private:
  struct Outgoing {
    std::string bytes;  // of the message
    HandlerReply reply;
  };

  OwnedFd socket_;
  Client client_;
  std::optional<Outgoing> waiting_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_CONNECTION_H_
