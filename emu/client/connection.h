// Connection: a tool's control connection to vmbusd; each request is answered before the call
// returns.
//
// Errors      `code` for programs; `explanation` is one line that says the cause and what to do.
// Waiting     At most kPatience for any answer: a daemon that is stuck gives ETIMEDOUT, never a
//             hang.
#ifndef VMBUS_EMU_CLIENT_CONNECTION_H_
#define VMBUS_EMU_CLIENT_CONNECTION_H_

#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "emu/client/bus_path.h"
#include "emu/client/error.h"
#include "emu/owned_fd.h"
#include "emu/protocol/protobuf/control.pb.h"

namespace vmbus::client {

class Connection {
 public:
  static constexpr std::chrono::milliseconds kPatience{10'000};

  const control::Welcome& welcome() const { return welcome_; }
  // For a process to inherit: the bus counts a user for as long as it is open somewhere.
  int descriptor() const { return socket_.get(); }

  // A reply that says an error is an Error here. `send_fd` travels with the request and stays the
  // caller's; `attachment` receives what the reply carries.
  tl::expected<control::Reply, Error> request(const control::Request& request, int send_fd = -1,
                                              emu::OwnedFd* attachment = nullptr);

  // For requests whose answer is a report: reads it from the memfd that the reply carries.
  tl::expected<void, Error> request_report(const control::Request& request,
                                           google::protobuf::MessageLite* report);

 private:
  friend tl::expected<Connection, Error> connect(const BusPath& bus, std::string_view program,
                                                 std::chrono::milliseconds patience);

  Connection(emu::OwnedFd socket, std::string path)
      : socket_(std::move(socket)), path_(std::move(path)) {}
  tl::expected<void, Error> greet(std::string_view program);
  tl::expected<control::Reply, Error> receive(emu::OwnedFd* attachment);
  Error broken(int error) const;

  emu::OwnedFd socket_;
  std::string path_;
  control::Welcome welcome_;
};

// Connects and exchanges Hello and Welcome; `program` is for people. ENOENT or ECONNREFUSED: no
// daemon runs there.
tl::expected<Connection, Error> connect(const BusPath& bus, std::string_view program,
                                        std::chrono::milliseconds patience = Connection::kPatience);

// Whether `error` of connect() means that nobody listens, so that a daemon may be started.
inline bool nobody_listens(const Error& error) {
  return error.code == ENOENT || error.code == ECONNREFUSED;
}
// Nor could anybody: something else is there.
inline bool is_no_socket(const Error& error) { return error.code == ENOTSOCK; }

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_CONNECTION_H_
