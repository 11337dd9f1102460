// Server: the composition root: the one place that knows every part of the daemon, and what a
// request of control.proto means to them.
//
// Users       Control connections, carriers that are open somewhere, and guests made by hand (on a
//             private bus these do not count: it ends with the command that it was made for). A
//             daemon that was started for a program leaves with the last of them; one started by
//             hand stays until `vmbus stop` or a signal.
// Threads     One, the loop's.
#ifndef VMBUS_EMU_SERVER_H_
#define VMBUS_EMU_SERVER_H_

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "emu/background.h"
#include "emu/bus_directory.h"
#include "emu/control_server.h"
#include "emu/counters.h"
#include "emu/event_loop.h"
#include "emu/hvsocket/socket_requests.h"
#include "emu/hvsocket/sockets.h"
#include "emu/message_log.h"
#include "emu/options.h"
#include "emu/spare_sockets.h"
#include "emu/undertaker.h"

namespace vmbus::emu {

class Server final : public ControlHandler {
 public:
  // Makes the bus and its guests; nobody can connect before serve(). Error: one line for people.
  static tl::expected<std::unique_ptr<Server>, std::string> create(const DaemonOptions& options,
                                                                   EventLoop& loop);
  ~Server() override = default;

  // Answers at the directory's listener from now on. REQUIRES: the directory outlives the server.
  void serve(BusDirectory& directory);
  void stop();
  // Feeds are handed out from now on. REQUIRES: it outlives the server.
  void set_undertaker(Undertaker& undertaker) { sockets_.set_undertaker(undertaker); }

  HandlerReply welcome(const Client& client) override;
  HandlerReply handle(const Client& client, const control::Request& request,
                      OwnedFd carrier) override;
  void on_rung() override;
  void on_client_gone(const Client& client) override;

 private:
  Server(const DaemonOptions& options, EventLoop& loop, EndpointRegistry registry);

  // The end A that a request brought, and its cookie; or none, and 0.
  struct Carrier {
    OwnedFd a;
    std::uint64_t cookie;
  };
  HandlerReply act(const Client& client, const control::Request& request, Carrier carrier);
  HandlerReply create_socket(const Client& client, const control::CreateSocket& call,
                             bool is_spare);
  void add_spare(const Client& client, HandlerReply& reply);
  int map_memory(const Socket& socket, HandlerReply& reply);
  int feed(Socket& socket, HandlerReply& reply);
  HandlerReply on_socket(Socket& socket, int a, const control::Request& request);
  HandlerReply status() const;
  HandlerReply messages(const control::GetMessages& call) const;
  HandlerReply add_guest(const control::VmAdd& call);
  HandlerReply list_guests() const;
  HandlerReply remove_guest(const control::VmRemove& call);
  void withdraw_guest(Guest& guest);
  HandlerReply act_on_guest(const control::VmAct& call);
  HandlerReply pause(Guest& guest);
  HandlerReply list_services();
  HandlerReply add_service(const control::ServiceAdd& call);
  HandlerReply remove_service(const control::ServiceRemove& call);
  bool kept_by_guests() const;
  void leave_if_idle();

  DaemonOptions options_;
  EventLoop& loop_;
  std::chrono::steady_clock::time_point started_;
  Counters counters_;
  MessageLog messages_;
  Sockets sockets_;
  SocketRequests requests_;
  SpareSockets spares_;
  BusDirectory* directory_ = nullptr;
  std::unique_ptr<ControlServer> control_;
  bool memory_is_mapped_ = false;  // a program may work rings itself
};

// The daemon from its options to its end. Returns the exit status.
int run_daemon(const DaemonOptions& options, ReadyNotifier notifier);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_SERVER_H_
