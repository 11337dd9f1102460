#include "emu/server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "emu/fd_reserve.h"
#include "emu/log.h"
#include "emu/replies.h"
#include "emu/reports.h"
#include "emu/version.h"

namespace vmbus::emu {
namespace {

using Body = control::Request::BodyCase;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

void set_created(HandlerReply& reply, const Sockets& sockets, const Socket& socket) {
  control::CreatedSocket* created = reply.message.mutable_created_socket();
  created->set_entry(socket.entry);
  created->set_generation(sockets.registry().generation(socket.entry));
  created->set_cookie(socket.cookie);
}

// What a client is called as the owner of gates; 0: its number is too high for that.
std::uint32_t gate_owner(const Client& client) {
  return client.id.value < proto::kGateDaemon ? static_cast<std::uint32_t>(client.id.value) : 0;
}

std::uint64_t steady_ns(std::chrono::steady_clock::time_point time) {
  const auto since = time.time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

}  // namespace

tl::expected<std::unique_ptr<Server>, std::string> Server::create(const DaemonOptions& options,
                                                                  EventLoop& loop) {
  std::uint64_t bus_id = 0;
  [[maybe_unused]] const ssize_t length = ::getrandom(&bus_id, sizeof bus_id, 0);
  auto registry = EndpointRegistry::create(bus_id);
  if (!registry) {
    return tl::unexpected("the endpoint table could not be made: " + errno_text(registry.error()));
  }
  std::unique_ptr<Server> server(new Server(options, loop, std::move(*registry)));
  GuestSpec first;
  first.name = kDefaultGuestName;
  for (const GuestSpec& spec : options.guests) {
    if (spec.name == kDefaultGuestName) first = spec;
  }
  GuestList& guests = server->sockets_.guests();
  if (auto added = guests.add(first); !added) return tl::unexpected(added.error());
  for (const GuestSpec& spec : options.guests) {
    if (spec.name == kDefaultGuestName) continue;
    auto added = guests.add(spec);
    if (!added) return tl::unexpected(added.error());
    (*added)->permanent = !options.leave_when_idle;
  }
  if (options.ring_rest_ms) {
    server->sockets_.set_ring_rest(std::chrono::milliseconds(*options.ring_rest_ms));
  }
  if (options.services) {
    ServiceRegistry& services = server->sockets_.host().services();
    services.establish();
    for (const client::ListedService& service : *options.services) {
      services.add(service.id, service.name);
    }
  }
  server->sockets_.registry().set_default_cid(guests.default_guest().config().cid);
  return server;
}

Server::Server(const DaemonOptions& options, EventLoop& loop, EndpointRegistry registry)
    : options_(options),
      loop_(loop),
      started_(std::chrono::steady_clock::now()),
      sockets_(loop, std::move(registry), counters_, messages_),
      requests_(sockets_) {
  loop_.set_settle([this] {
    if (sockets_.settle()) loop_.post([] {});  // another turn, after a look at the descriptors
  });
  sockets_.set_on_idle([this] { leave_if_idle(); });
  sockets_.set_is_client(
      [this](std::uint32_t client) { return control_ != nullptr && control_->has_client(client); });
}

void Server::serve(BusDirectory& directory) {
  directory_ = &directory;
  control_ = std::make_unique<ControlServer>(loop_, directory.listener(), *this, counters_);
}

void Server::stop() {
  if (directory_ != nullptr) directory_->leave();
  loop_.stop();
}

void Server::on_rung() { sockets_.answer_bells(); }

void Server::on_client_gone(const Client& client) {
  log_debug("client {} ({}) has left", client.pid, client.program);
  spares_.forget(client.id);
  if (memory_is_mapped_) sockets_.client_gone();
  leave_if_idle();
}

void Server::leave_if_idle() {
  if (!options_.leave_when_idle || control_ == nullptr) return;
  loop_.post([this] {
    const bool used = kept_by_guests() || control_->connections() != 0 || sockets_.any_in_use();
    if (used) return;
    const FdReserve::Loan for_the_lock(control_->reserve());
    if (directory_->leave_if_unused()) loop_.stop();
  });
}

bool Server::kept_by_guests() const {
  return std::ranges::any_of(sockets_.guests().all(),
                             [](const auto& guest) { return guest->permanent; });
}

// ---- requests -----------------------------------------------------------------------------------

HandlerReply Server::welcome(const Client& client) {
  log_debug("client {} ({}) has come", client.pid, client.program);
  const GuestList& guests = sockets_.guests();
  const PartitionConfig& guest = guests.default_guest().config();
  HandlerReply reply;
  control::Welcome* welcome = reply.message.mutable_welcome();
  welcome->set_bus_id(sockets_.registry().bus_id());
  welcome->set_daemon_pid(static_cast<std::uint32_t>(::getpid()));
  welcome->set_default_vm_id(proto::to_text(guest.vm_id).c_str());
  welcome->set_default_cid(guest.cid);
  welcome->set_freebsd_guest(guests.find_flavour(Flavour::kFreeBsd) != nullptr);
  welcome->set_version(kVersion);
  welcome->set_client(gate_owner(client));
  reply.attachment = OwnedFd(::fcntl(sockets_.registry().fd(), F_DUPFD_CLOEXEC, 0));
  return reply.attachment ? std::move(reply) : error_reply(ENFILE);
}

HandlerReply Server::handle(const Client& client, const control::Request& request,
                            OwnedFd carrier) {
  const std::uint64_t cookie = carrier ? socket_cookie(carrier.get()) : 0;
  // Whoever asks about a socket has it: the one it was made for may have passed it on.
  for (const std::uint64_t known : {spares_.note(client.id, request), cookie}) {
    if (Socket* taken = sockets_.find(known)) sockets_.take_spare(*taken);
  }
  const Sockets::Answering answering(sockets_);
  HandlerReply reply = act(client, request, {std::move(carrier), cookie});
  if (reply.message.error() == 0 && !reply.attachment) add_spare(client, reply);
  return reply;
}

HandlerReply Server::act(const Client& client, const control::Request& request, Carrier carrier) {
  switch (request.body_case()) {
    case Body::kHello:
    case Body::kAdopt:
    case Body::kRung:
    case Body::BODY_NOT_SET:
      return error_reply(EPROTO, "the control server answers these itself");
    case Body::kCreateSocket:
      return create_socket(client, request.create_socket(), false);
    case Body::kBind:
    case Body::kListen:
    case Body::kConnect:
    case Body::kCancelConnect:
    case Body::kShutdown:
    case Body::kSetOption:
    case Body::kTakeError:
    case Body::kIdentify:
    case Body::kMapMemory:
    case Body::kLinger:
    case Body::kFeed: {
      Socket* socket = sockets_.find(carrier.cookie);
      if (socket == nullptr) return error_reply(ENOENT, "no socket of this bus");
      return on_socket(*socket, carrier.a.get(), request);
    }
    case Body::kGetStatus:
      return status();
    case Body::kGetSockets:
      return report_reply(report_sockets(sockets_));
    case Body::kGetMessages:
      return messages(request.get_messages());
    case Body::kVmAdd:
      return add_guest(request.vm_add());
    case Body::kVmList:
      return list_guests();
    case Body::kVmRemove:
      return remove_guest(request.vm_remove());
    case Body::kVmAct:
      return act_on_guest(request.vm_act());
    case Body::kServiceList:
      return list_services();
    case Body::kServiceAdd:
      return add_service(request.service_add());
    case Body::kServiceRemove:
      return remove_service(request.service_remove());
    case Body::kStop:
      loop_.post([this] { stop(); });
      return {};
  }
  return error_reply(EPROTO, "unknown request: is the program newer than its daemon?");
}

void Server::add_spare(const Client& client, HandlerReply& reply) {
  const control::CreateSocket* call = spares_.wanted(client.id);
  if (call == nullptr) return;
  HandlerReply spare = create_socket(client, *call, true);
  if (spare.message.error() != 0) return;
  *reply.message.mutable_spare() = spare.message.created_socket();
  reply.attachment = std::move(spare.attachment);
}

HandlerReply Server::create_socket(const Client& client, const control::CreateSocket& call,
                                   bool is_spare) {
  auto born = requests_.create({.family = call.family(),
                                .type = call.type(),
                                .protocol = call.protocol(),
                                .partition = call.partition().empty() ? "auto" : call.partition(),
                                .profile = call.profile(),
                                .quirks = call.quirks(),
                                .pid = static_cast<std::uint32_t>(client.pid),
                                .program = client.program,
                                .is_spare = is_spare});
  if (!born) return error_reply(born.error());
  born->socket->works_rings = call.works_rings();
  if (is_spare) spares_.made(client.id, born->socket->cookie);
  HandlerReply reply;
  set_created(reply, sockets_, *born->socket);
  reply.attachment = std::move(born->a);
  return reply;
}

int Server::map_memory(const Socket& socket, HandlerReply& reply) {
  if (socket.lane == nullptr) return ENOENT;
  const int fd = socket.lane->memory().descriptor();
  reply.attachment = OwnedFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  memory_is_mapped_ = true;
  return reply.attachment ? 0 : ENFILE;
}

int Server::feed(Socket& socket, HandlerReply& reply) {
  auto feed = sockets_.feed(socket);
  if (!feed) return feed.error();
  reply.message.mutable_fed()->set_generation(feed->generation);
  reply.attachment = std::move(feed->b);
  return 0;
}

HandlerReply Server::on_socket(Socket& socket, int a, const control::Request& request) {
  HandlerReply reply;
  int error = 0;
  if (request.has_bind()) {
    error = requests_.bind(socket, bytes_of(request.bind().address()), request.bind().privileged());
  } else if (request.has_listen()) {
    error = requests_.listen(socket, a, request.listen().backlog());
  } else if (request.has_connect()) {
    error = requests_.connect(socket, a, bytes_of(request.connect().address()),
                              request.connect().nonblocking());
  } else if (request.has_cancel_connect()) {
    error = requests_.cancel_connect(socket);
  } else if (request.has_shutdown()) {
    error = requests_.shutdown(socket, a, request.shutdown().how());
  } else if (request.has_set_option()) {
    const control::SetOption& call = request.set_option();
    const bool wants_room =
        call.level() == proto::kCarrierLevel && call.option() == proto::kRoomWanted;
    if (wants_room) sockets_.wait_for_room(socket, a);
    error = requests_.set_option(socket, call.level(), call.option(), bytes_of(call.value()));
    if (error == 0) requests_.take_back(socket, a);
  } else if (request.has_take_error()) {
    reply.message.mutable_took_error()->set_so_error(requests_.take_error(socket));
  } else if (request.has_map_memory()) {
    error = map_memory(socket, reply);
  } else if (request.has_linger()) {
    reply.attachment = sockets_.linger(socket);
  } else if (request.has_feed()) {
    error = feed(socket, reply);
  } else {
    set_created(reply, sockets_, socket);
  }
  reply.message.set_error(error);
  return reply;
}

// ---- tools --------------------------------------------------------------------------------------

HandlerReply Server::status() const {
  control::StatusReport report;
  report.set_version(kVersion);
  report.set_pid(static_cast<std::uint32_t>(::getpid()));
  report.set_socket_path(options_.bus.socket);
  const auto uptime = std::chrono::steady_clock::now() - started_;
  report.set_uptime_ms(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(uptime).count()));
  report.set_loop_backend(std::string(loop_.name()));
  report.set_loop_reason(loop_.reason());
  report.set_clients(static_cast<std::uint32_t>(control_->connections()));
  report.set_sockets(static_cast<std::uint32_t>(std::ranges::count_if(
      sockets_.all(), [](const auto& row) { return !row.second->is_spare; })));
  report.set_kept_by_guests(options_.leave_when_idle && kept_by_guests());
  report.set_stays(!options_.leave_when_idle || report.kept_by_guests());
  report_guests(sockets_, report.mutable_guests());
  report_counters(counters_, &report);
  report.set_descriptors(count_descriptors());
  report.set_descriptor_limit(static_cast<std::uint32_t>(descriptor_limit()));
  return report_reply(report);
}

// What a removed guest left in the log can still be asked for.
HandlerReply Server::messages(const control::GetMessages& call) const {
  if (!call.guest().empty() && sockets_.guests().find(call.guest()) == nullptr &&
      !messages_.has_any_of(call.guest()))
    return no_such_guest(call.guest());
  return report_reply(report_messages(messages_, call.guest(), call.relid(), steady_ns(started_)));
}

// ---- the process --------------------------------------------------------------------------------

int run_daemon(const DaemonOptions& options, ReadyNotifier notifier) {
  Undertaker undertaker = Undertaker::start();  // before there is anything that it should not have
  auto loop = EventLoop::create(options.loop);
  if (!loop) {
    log_error("{}", loop.error());
    return 1;
  }
  auto server = Server::create(options, **loop);
  if (!server) {
    log_error("{}", server.error());
    return 1;
  }
  auto directory =
      BusDirectory::claim(options.bus, options.ready_fd >= 0 ? BusDirectory::LockHolder::kStarter
                                                             : BusDirectory::LockHolder::kUs);
  if (!directory) {
    log_error("{}", directory.error());
    return 1;
  }
  (*server)->set_undertaker(undertaker);
  sigset_t ending;
  sigemptyset(&ending);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ending, signal);
  ::sigprocmask(SIG_BLOCK, &ending, nullptr);
  const OwnedFd signals(::signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
  const WatchId watch =
      (*loop)->watch(signals.get(), EPOLLIN, [&server](std::uint32_t) { (*server)->stop(); });
  (*server)->serve(*directory);
  notifier.ready(options.bus);
  log_info("listening at {} ({})", options.bus.socket, (*loop)->name());
  (*loop)->run();
  (*loop)->unwatch(watch);
  return 0;
}

}  // namespace vmbus::emu
