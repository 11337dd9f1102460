#include "shim/daemon_client.h"

#include <linux/capability.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <atomic>
#include <cstring>

#include "emu/protocol/carrier.h"
#include "shim/control_codec.h"
#include "shim/control_connection.h"
#include "shim/daemon_start.h"
#include "shim/environment.h"
#include "shim/fork.h"
#include "shim/known_epoch.h"
#include "shim/raw_log.h"
#include "shim/real.h"
#include "shim/spare_socket.h"

extern "C" char* program_invocation_short_name;

namespace vmbus::shim {
namespace {

// ---- buses: the endpoint tables of every daemon this process has met
// -------------------------------------

constexpr std::size_t kMaxBuses = 256;  // FdEntry::bus is a byte; 0 means none

struct Bus {
  std::uint64_t id = 0;
  std::atomic<const std::byte*> table{nullptr};
};

constinit std::array<Bus, kMaxBuses> g_buses{};
constinit std::atomic<std::uint8_t> g_current_bus{0};

const proto::Endpoint& endpoint_of(std::uint8_t bus, std::uint32_t index) {
  const std::byte* table = g_buses[bus].table.load(std::memory_order_acquire);
  const auto* entries =
      reinterpret_cast<const proto::Endpoint*>(table + proto::kEndpointTableHeaderBytes);
  return entries[index];
}

const std::byte* current_table() {
  const std::uint8_t bus = g_current_bus.load(std::memory_order_acquire);
  return bus == 0 ? nullptr : g_buses[bus].table.load(std::memory_order_acquire);
}

int map_table(int memfd, std::uint8_t bus, std::uint64_t bus_id) {
  const long mapped =
      real::call(SYS_mmap, nullptr, proto::kEndpointTableBytes, PROT_READ, MAP_SHARED, memfd, 0);
  if (mapped < 0 && mapped >= -4095) return ENOMEM;
  const auto* header = reinterpret_cast<const proto::EndpointTableHeader*>(mapped);
  if (header->magic != proto::kEndpointTableMagic ||
      header->version != proto::kEndpointTableVersion ||
      header->capacity != proto::kEndpointCapacity || header->bus_id != bus_id) {
    real::call(SYS_munmap, header, proto::kEndpointTableBytes);
    return EPROTO;
  }
  g_buses[bus].id = bus_id;
  g_buses[bus].table.store(reinterpret_cast<const std::byte*>(mapped), std::memory_order_release);
  g_current_bus.store(bus, std::memory_order_release);
  forget_known_ends();
  return 0;
}

// The bus with this id becomes the current one; its table is mapped once.
int enter_bus(std::uint64_t bus_id, int memfd) {
  for (std::size_t bus = 1; bus < kMaxBuses; ++bus) {
    const auto number = static_cast<std::uint8_t>(bus);
    if (g_buses[bus].table.load(std::memory_order_relaxed) == nullptr) {
      // Without the file the kernel found no room for it.
      return memfd < 0 ? EMFILE : map_table(memfd, number, bus_id);
    }
    if (g_buses[bus].id == bus_id) {
      g_current_bus.store(number, std::memory_order_release);
      forget_known_ends();
      return 0;
    }
  }
  return ENOMEM;
}

// ---- the connection
// --------------------------------------------------------------------------------------

template <typename Bytes>
void set_bytes(Bytes* field, const void* value, std::size_t bytes) {
  std::memcpy(field->bytes, value, bytes);
  field->size = static_cast<pb_size_t>(bytes);
}

int say_hello() {
  end_spare_place();
  Request request{};
  request.which_body = vmbus_control_Request_hello_tag;
  request.body.hello.protocol = proto::kControlProtocol;
  auto& program = request.body.hello.program;
  set_bytes(&program, program_invocation_short_name,
            ::strnlen(program_invocation_short_name, sizeof program.bytes));
  Reply reply{};
  int memfd = -1;
  int error = exchange(request, -1, &reply, &memfd);
  if (error == 0) error = reply.error;
  if (error == 0 && reply.which_body != vmbus_control_Reply_welcome_tag) error = EPROTO;
  if (error == 0) error = enter_bus(reply.body.welcome.bus_id, memfd);
  set_gate_owner(error == 0 ? reply.body.welcome.client : 0);
  if (memfd >= 0) real::call(SYS_close, memfd);
  if (error == 0) make_spare_place();
  return error;
}

// A forked child: the inherited connection is its parent's, good for one message that brings its
// own.
int adopt() {
  int ends[2] = {-1, -1};
  const long made = real::call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
  if (made < 0) return static_cast<int>(-made);
  limit_waiting(ends[0]);
  Request request{};
  request.which_body = vmbus_control_Request_adopt_tag;
  const int error = send_request(request, ends[1]);
  real::call(SYS_close, ends[1]);
  if (error != 0) {
    real::call(SYS_close, ends[0]);
    return error;
  }
  replace_inherited_control(ends[0]);
  return say_hello();
}

int connect_by_path(Start start) {
  const char* path = environment().socket_path.data();
  int error = EPIPE;
  // A daemon that was just leaving closes before it answers: once more, then.
  for (int attempt = 0; attempt < 2 && error == EPIPE; ++attempt) {
    const long fd = start == Start::kIfNeeded ? connect_or_start(path) : connect_to_bus(path);
    if (fd < 0) {
      error = static_cast<int>(-fd);
      break;
    }
    install_control(static_cast<int>(fd));
    error = say_hello();
    if (error != 0) drop_control();
  }
  if (error != 0) log_line({"no daemon at ", path}, error);
  return error;
}

// What everything below needs; done by the constructor, unless a call came before it.
int prepare() {
  const int error = prepare_process();
  return error != 0 ? error : fd_table().reserve();
}

// A daemon that let us wait in vain is left alone for a while: whoever looks at many descriptors in
// a row (passing.h) must not wait for each.
constexpr std::int64_t kMutePauseNs = 1'000'000'000;
constinit std::int64_t g_mute_at_ns = 0;

// The daemon is gone, or as good as gone: a later request may try a new connection.
bool lost_daemon(int error) {
  if (error != EPIPE && error != ETIMEDOUT) return false;
  if (error == ETIMEDOUT) {
    log_line({"the daemon does not answer"});
    g_mute_at_ns = real::now_ns();
  }
  set_gate_owner(0);
  end_spare_place();
  drop_control();
  return true;
}

int connect_anew(Start start) {
  int error = EPIPE;
  if (control_is_intact()) error = adopt();
  if (error == 0) return 0;
  // Where a forked child's table had no room for two more descriptors, it has room for one now.
  drop_control();
  // One that is mute would be so by another connection, too.
  return error == ETIMEDOUT ? error : connect_by_path(start);
}

int ensure_connected(Start start) {
  if (environment().bad_variable != nullptr) return EINVAL;
  if (owns_connection() && control_is_intact()) return 0;
  if (g_mute_at_ns != 0 && real::now_ns() - g_mute_at_ns < kMutePauseNs) return EAFNOSUPPORT;
  const int error = connect_anew(start);
  lost_daemon(error);
  set_owns_connection(error == 0);
  const bool program_is_full = error == EMFILE || error == ENFILE || error == ENOMEM;
  return error == 0 || program_is_full ? error : EAFNOSUPPORT;
}

// ---- requests about a socket
// -----------------------------------------------------------------------------

// The connection's errors and the reply's become one; a dead or mute daemon is ECONNRESET. `received`:
// where the descriptor goes that the reply may carry; it is closed otherwise.
int ask_about(int fd, FdEntry entry, Request& request, Reply* reply, int* received = nullptr) {
  LockedSection lock;
  if (const int error = ensure_connected(Start::kNever)) {
    return error == EMFILE || error == ENFILE || error == ENOMEM ? error : ECONNRESET;
  }
  if (entry.bus != g_current_bus.load(std::memory_order_relaxed)) return ECONNRESET;
  int descriptor = -1;
  const int error = exchange(request, fd, reply, &descriptor);
  if (received != nullptr) {
    *received = descriptor;
  } else if (descriptor >= 0) {
    real::call(SYS_close, descriptor);
  }
  if (error == 0) return reply->error;
  return lost_daemon(error) ? ECONNRESET : error;
}

int ask_about(int fd, FdEntry entry, Request& request) {
  Reply reply{};
  return ask_about(fd, entry, request, &reply);
}

bool may_bind_privileged_ports() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  return real::call(SYS_capget, &header, data.data()) == 0 &&
         (data[0].effective >> CAP_NET_BIND_SERVICE & 1) != 0;
}

// What the last socket was asked for as; the rest of a CreateSocket stays the same in a process.
struct SocketKind {
  int family, type, protocol;
  friend bool operator==(const SocketKind&, const SocketKind&) = default;
};
constinit SocketKind g_last_kind{};

// `received` is a new end A. 0, or EPROTO, and it is closed.
int read_new_carrier(const SpareSocket& received, NewCarrier* made) {
  if (received.entry >= proto::kEndpointCapacity) {
    real::call(SYS_close, received.fd);
    return EPROTO;
  }
  made->fd = received.fd;
  made->entry.endpoint = static_cast<std::uint16_t>(received.entry);
  made->entry.generation = received.generation;
  made->entry.bus = g_current_bus.load(std::memory_order_relaxed);
  made->entry.flags = kFdCarrier;
  return 0;
}

int read_created_socket(const Reply& reply, int fd, NewCarrier* made) {
  if (fd < 0) return EMFILE;  // the kernel found no room for it
  if (reply.which_body != vmbus_control_Reply_created_socket_tag) {
    real::call(SYS_close, fd);
    return EPROTO;
  }
  const auto& created = reply.body.created_socket;
  return read_new_carrier({fd, created.entry, created.generation}, made);
}

std::uint64_t carrier_tag_of(int fd) {
  std::uint64_t tag = 0;
  socklen_t length = sizeof tag;
  const long result = real::call(SYS_getsockopt, fd, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, &length);
  return result == 0 && length == sizeof tag ? tag : 0;
}

bool is_connection_up() {
  pollfd asked{control_descriptor(), 0, 0};
  const timespec at_once{};
  return real::call(SYS_ppoll, &asked, 1, &at_once, nullptr, 0) == 0;
}

// A socket of that kind that is here already, if it still is one: its guest may have been removed. 0, EPIPE, EMFILE, or
// EAGAIN: there is none.
int take_spare_of(SocketKind kind, NewCarrier* made) {
  if (!has_spare() || kind != g_last_kind) return EAGAIN;
  if (!is_connection_up()) return EPIPE;
  SpareSocket spare;
  if (const int error = take_spare(&spare)) return error;
  if (read_new_carrier(spare, made) != 0) return EAGAIN;
  proto::Endpoint endpoint;
  const bool is_there =
      proto::read_endpoint(endpoint_of(made->entry.bus, made->entry.endpoint), &endpoint) &&
      endpoint.generation == made->entry.generation &&
      endpoint.state == proto::EndpointState::kFresh;
  if (is_there) return 0;
  real::call(SYS_close, made->fd);
  return EAGAIN;
}

}  // namespace

int connect_to_daemon(Start start) {
  if (const int error = prepare()) return error;
  LockedSection lock;
  return ensure_connected(start);
}

const proto::Endpoint& shared_endpoint(FdEntry entry) {
  return endpoint_of(entry.bus, entry.endpoint);
}

int request_socket(int family, int type, int protocol, NewCarrier* made) {
  Request request{};
  request.which_body = vmbus_control_Request_create_socket_tag;
  request.body.create_socket.family = static_cast<std::uint32_t>(family);
  request.body.create_socket.type = static_cast<std::uint32_t>(type);
  request.body.create_socket.protocol = static_cast<std::uint32_t>(protocol);
  request.body.create_socket.works_rings = environment().works_rings;
  if (const int error = prepare()) return error;
  LockedSection lock;
  set_text(request.body.create_socket.partition, environment().partition.data());
  set_text(request.body.create_socket.profile, environment().profile.data());
  set_text(request.body.create_socket.quirks, environment().quirks.data());
  // The daemon may have died since the last request, unnoticed: then a new one makes the socket.
  int error = EPIPE;
  for (int attempt = 0; attempt < 2 && error == EPIPE; ++attempt) {
    if (const int refused = ensure_connected(Start::kIfNeeded)) return refused;
    const SocketKind kind{family, type, protocol};
    error = take_spare_of(kind, made);
    if (error == 0) return 0;
    Reply reply{};
    int fd = -1;
    if (error == EAGAIN) error = exchange(request, -1, &reply, &fd);
    if (lost_daemon(error) || error != 0) continue;
    g_last_kind = kind;
    if (reply.error == 0) return read_created_socket(reply, fd, made);
    if (reply.error == EINVAL) {
      log_line({"VMBUS_PARTITION=", environment().partition.data(),
                ": want auto, host or the name of a guest"});
    }
    return reply.error;
  }
  return error == EPIPE || error == ETIMEDOUT ? EAFNOSUPPORT : error;
}

bool has_carrier_tag(int fd) { return proto::is_carrier_tag(carrier_tag_of(fd)); }

FdEntry identify_carrier(int fd) {
  const std::uint64_t tag = carrier_tag_of(fd);
  const std::uint32_t index = proto::carrier_entry(tag);
  unsigned long long cookie = 0;
  if (!proto::is_carrier_tag(tag) || index >= proto::kEndpointCapacity ||
      real::socket_cookie(fd, &cookie) != 0 || connect_to_daemon(Start::kNever) != 0) {
    return FdEntry{};
  }
  const std::uint8_t bus = g_current_bus.load(std::memory_order_acquire);
  proto::Endpoint endpoint;
  if (!proto::read_endpoint(endpoint_of(bus, index), &endpoint) || endpoint.cookie != cookie) {
    return FdEntry{};
  }
  return FdEntry{endpoint.generation, static_cast<std::uint16_t>(index), bus, kFdCarrier};
}

int request_bind(int fd, FdEntry entry, const void* address, std::size_t bytes) {
  Request request{};
  request.which_body = vmbus_control_Request_bind_tag;
  set_bytes(&request.body.bind.address, address, bytes);
  request.body.bind.privileged = may_bind_privileged_ports();
  return ask_about(fd, entry, request);
}

int request_listen(int fd, FdEntry entry, int backlog) {
  Request request{};
  request.which_body = vmbus_control_Request_listen_tag;
  request.body.listen.backlog = backlog;
  return ask_about(fd, entry, request);
}

int request_connect(int fd, FdEntry entry, const void* address, std::size_t bytes,
                    bool nonblocking) {
  Request request{};
  request.which_body = vmbus_control_Request_connect_tag;
  set_bytes(&request.body.connect.address, address, bytes);
  request.body.connect.nonblocking = nonblocking;
  return ask_about(fd, entry, request);
}

int request_cancel_connect(int fd, FdEntry entry) {
  Request request{};
  request.which_body = vmbus_control_Request_cancel_connect_tag;
  return ask_about(fd, entry, request);
}

int request_shutdown(int fd, FdEntry entry, int how) {
  Request request{};
  request.which_body = vmbus_control_Request_shutdown_tag;
  request.body.shutdown.how = how;
  return ask_about(fd, entry, request);
}

int request_set_option(int fd, FdEntry entry, int level, int option, const void* value,
                       std::size_t bytes) {
  Request request{};
  request.which_body = vmbus_control_Request_set_option_tag;
  request.body.set_option.level = level;
  request.body.set_option.option = option;
  set_bytes(&request.body.set_option.value, value, bytes);
  return ask_about(fd, entry, request);
}

int request_take_error(int fd, FdEntry entry, int* so_error) {
  Request request{};
  request.which_body = vmbus_control_Request_take_error_tag;
  Reply reply{};
  const int error = ask_about(fd, entry, request, &reply);
  *so_error = error == 0 ? reply.body.took_error.so_error : 0;
  return error;
}

int request_memory(int fd, FdEntry entry, int* memfd) {
  Request request{};
  request.which_body = vmbus_control_Request_map_memory_tag;
  Reply reply{};
  return ask_about(fd, entry, request, &reply, memfd);
}

int request_linger(int fd, FdEntry entry, int* line) {
  Request request{};
  request.which_body = vmbus_control_Request_linger_tag;
  Reply reply{};
  return ask_about(fd, entry, request, &reply, line);
}

int request_feed(int fd, FdEntry entry, int* b, std::uint32_t* generation) {
  Request request{};
  request.which_body = vmbus_control_Request_feed_tag;
  Reply reply{};
  const int error = ask_about(fd, entry, request, &reply, b);
  *generation = reply.which_body == vmbus_control_Reply_fed_tag ? reply.body.fed.generation : 0;
  return error;
}

bool is_of_current_bus(FdEntry entry) {
  return entry.bus == g_current_bus.load(std::memory_order_relaxed);
}

bool is_daemon_alive() {
  static constinit thread_local std::uint64_t t_asked_at = 0;
  const std::uint64_t now = real::ticks();
  if (t_asked_at != 0 && now - t_asked_at < real::kTicksOfALook) return true;
  const bool alive = is_connection_up();
  t_asked_at = alive ? now : 0;
  return alive;
}

bool resets_exist() {
  const std::byte* table = current_table();
  return table != nullptr &&
         proto::any_was_reset(*reinterpret_cast<const proto::EndpointTableHeader*>(table));
}

void ring_daemon(FdEntry entry) {
  // Rung, encoded: field 13, no bytes.
  static constexpr unsigned char kRung[] = {13 << 3 | 2, 0};
  if (!is_of_current_bus(entry) || gate_owner() == 0 || !control_is_intact()) return;
  real::call(SYS_sendto, control_descriptor(), kRung, sizeof kRung, MSG_DONTWAIT | MSG_NOSIGNAL,
             nullptr, 0);
}

}  // namespace vmbus::shim
