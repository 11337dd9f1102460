#include "emu/control_server.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "emu/client/unix_socket.h"
#include "emu/log.h"

namespace vmbus::emu {
namespace {

using control::Request;

// One client's, or the listener's, share of a turn of the loop.
constexpr int kRequestsPerTurn = 16;
constexpr int kAcceptsPerTurn = 16;
// Of the reserve, what new connections may not use up: receiving a carrier and making a report need
// one each.
constexpr std::size_t kKeptForRequests = 4;
constexpr std::chrono::milliseconds kAcceptRetry{100};

constexpr std::uint32_t kReading = EPOLLIN | EPOLLRDHUP;
constexpr std::uint32_t kWriting = EPOLLOUT | EPOLLRDHUP;  // a reply waits; requests do meanwhile

bool needs_descriptor(Request::BodyCase body) {
  switch (body) {
    case Request::kAdopt:
    case Request::kBind:
    case Request::kListen:
    case Request::kConnect:
    case Request::kCancelConnect:
    case Request::kShutdown:
    case Request::kSetOption:
    case Request::kTakeError:
    case Request::kIdentify:
    case Request::kMapMemory:
    case Request::kLinger:
    case Request::kFeed:
      return true;
    case Request::BODY_NOT_SET:
    case Request::kHello:
    case Request::kRung:
    case Request::kCreateSocket:
    case Request::kGetStatus:
    case Request::kGetSockets:
    case Request::kGetMessages:
    case Request::kVmAdd:
    case Request::kVmList:
    case Request::kVmRemove:
    case Request::kVmAct:
    case Request::kServiceList:
    case Request::kServiceAdd:
    case Request::kServiceRemove:
    case Request::kStop:
      return false;
  }
  return false;
}

int socket_option(int socket, int option) {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

bool is_connection(int fd) {
  return socket_option(fd, SO_DOMAIN) == AF_UNIX && socket_option(fd, SO_TYPE) == SOCK_SEQPACKET &&
         socket_option(fd, SO_ACCEPTCONN) == 0;
}

HandlerReply error_reply(int error, std::string_view explanation) {
  HandlerReply reply;
  reply.message.set_error(error);
  reply.message.set_explanation(std::string(explanation));
  return reply;
}

}  // namespace

ControlServer::ControlServer(EventLoop& loop, int listener, ControlHandler& handler,
                             Counters& counters, uid_t owner)
    : loop_(loop),
      listener_(listener),
      handler_(handler),
      counters_(counters),
      owner_(owner),
      reserve_(reserve_size(descriptor_limit())),
      listener_watch_(
          loop_.watch(listener_, EPOLLIN, [this](std::uint32_t) { accept_waiting(); })) {}

ControlServer::~ControlServer() {
  loop_.cancel(accept_retry_);
  loop_.unwatch(listener_watch_);
  for (const auto& [id, connection] : connections_) loop_.unwatch(connection->watch);
}

// ---- connections coming ----

void ControlServer::accept_waiting() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    OwnedFd socket(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    if (socket) {
      admit(std::move(socket));
    } else if (!recover_from_accept_failure(errno)) {
      return;
    }
  }
  loop_.post([this] { accept_waiting(); });
}

bool ControlServer::recover_from_accept_failure(int error) {
  if (error == EAGAIN) return false;
  if (error == EINTR || error == ECONNABORTED) return true;
  const bool table_full = error == EMFILE;
  if (table_full && reserve_.held() > kKeptForRequests && reserve_.give_up_one()) return true;
  // The listener's edge is used up, so nothing but this timer would ever look again.
  log_warn("cannot accept control connections: {}", errno_text(error));
  loop_.cancel(accept_retry_);
  accept_retry_ = loop_.after(kAcceptRetry, [this] { accept_waiting(); });
  return false;
}

void ControlServer::admit(OwnedFd socket) {
  const auto peer = client::peer_identity(socket.get());
  if (!peer) return;
  if (peer->uid != owner_) {
    counters_.add(Counter::kStrangersRefused);
    log_warn("refused a control connection of uid {} (pid {})", peer->uid, peer->pid);
    return;
  }
  add(std::move(socket), peer->pid);
}

// A forked child's connection. Whoever holds an admitted connection may pass it on, so the maker's
// uid does not matter: it may have changed its user since.
bool ControlServer::adopt(OwnedFd socket) {
  const auto maker = client::peer_identity(socket.get());
  if (!maker || !is_connection(socket.get())) return false;
  add(std::move(socket), maker->pid);
  return true;
}

void ControlServer::add(OwnedFd socket, pid_t pid) {
  const ClientId id{++last_client_};
  auto connection = std::make_unique<ControlConnection>(std::move(socket), Client{id, pid, {}});
  connection->watch =
      loop_.watch(connection->fd(), kReading, [this, id](std::uint32_t) { on_ready(id); });
  connections_.emplace(id, std::move(connection));
}

// ---- requests ----

ControlConnection* ControlServer::find(ClientId id) {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

void ControlServer::on_ready(ClientId id) {
  ControlConnection* connection = find(id);
  if (connection == nullptr) return;
  if (connection->reply_waits()) {
    if (!connection->flush()) return close(*connection);
    if (connection->reply_waits()) return;
    loop_.rewatch(connection->watch, kReading);
  }
  serve(*connection);
}

void ControlServer::serve(ControlConnection& connection) {
  const ClientId id = connection.client().id;
  const FdReserve::Loan for_a_carrier(reserve_);
  for (int i = 0; i < kRequestsPerTurn; ++i) {
    auto received = connection.receive(buffer_);
    if (!received) {
      if (received.error() != EAGAIN) close(connection);
      return;
    }
    if (!answer(connection, std::move(*received))) return close(connection);
    if (connection.reply_waits()) return loop_.rewatch(connection.watch, kWriting);
  }
  loop_.post([this, id] { on_ready(id); });
}

bool ControlServer::answer(ControlConnection& connection, ReceivedRequest received) {
  counters_.add(Counter::kRequests);
  if (received.error == 0 && received.request.has_rung() && connection.greeted) {
    handler_.on_rung();
    return true;
  }
  if (received.request.has_adopt() && connection.greeted) {
    if (received.error != 0 || !adopt(std::move(received.descriptor))) {
      counters_.add(Counter::kBadRequests);
      ++connection.bad_requests;
    }
    return connection.bad_requests < kMaxBadRequests;
  }
  const bool sent = connection.send(dispatch(connection, std::move(received))).has_value();
  // Not greeted by now: the first request was no valid Hello.
  return sent && connection.greeted && connection.bad_requests < kMaxBadRequests;
}

HandlerReply ControlServer::dispatch(ControlConnection& connection, ReceivedRequest received) {
  const Request& request = received.request;
  if (received.error != 0) return refuse(connection, received.error, received.explanation);
  if (!needs_descriptor(request.body_case())) {
    received.descriptor.reset();
  } else if (!received.descriptor) {
    return refuse(connection, EPROTO, "this request needs the socket's descriptor");
  }
  if (request.has_hello() != !connection.greeted)
    return refuse(connection, EPROTO, "Hello must be the first request, and only that");
  if (request.has_hello()) return greet(connection, request.hello());
  if (request.body_case() == Request::BODY_NOT_SET)
    return refuse(connection, EPROTO, "a request that this vmbusd does not know; is it older?");
  return handler_.handle(connection.client(), request, std::move(received.descriptor));
}

HandlerReply ControlServer::greet(ControlConnection& connection, const control::Hello& hello) {
  if (hello.protocol() != proto::kControlProtocol) {
    return refuse(
        connection, EPROTO,
        fmt::format(
            "vmbusd speaks control protocol {}, its client {}; stop the daemon with the version "
            "that started it, then try again",
            proto::kControlProtocol, hello.protocol()));
  }
  connection.greeted = true;
  connection.set_program(hello.program());
  return handler_.welcome(connection.client());
}

HandlerReply ControlServer::refuse(ControlConnection& connection, int error,
                                   std::string_view explanation) {
  counters_.add(Counter::kBadRequests);
  ++connection.bad_requests;
  log_debug("client {} (pid {}): {}", connection.client().id.value, connection.client().pid,
            explanation);
  return error_reply(error, explanation);
}

// ---- connections going ----

void ControlServer::close(ControlConnection& connection) {
  loop_.unwatch(connection.watch);
  // Out of the map, so that the handler sees it gone, but alive until it was told.
  const auto gone = connections_.extract(connection.client().id);
  if (connection.greeted) handler_.on_client_gone(connection.client());
}

}  // namespace vmbus::emu
