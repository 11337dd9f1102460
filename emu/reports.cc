#include "emu/reports.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "emu/protocol/message_codec.h"
#include "ringbuf/index.h"

namespace vmbus::emu {
namespace {

using proto::AddressKind;
using proto::EndpointState;

constexpr std::uint32_t kMaxChannels = proto::kMaxRelid.value;

const char* flavour_name(Flavour flavour) {
  switch (flavour) {
    case Flavour::kLinux:
      return "linux";
    case Flavour::kFreeBsd:
      return "freebsd";
    case Flavour::kWsl:
      return "wsl";
  }
  return "";
}

std::string_view family_text(AddressKind kind) {
  switch (kind) {
    case AddressKind::kHyperV:
      return "AF_HYPERV";
    case AddressKind::kFreeBsd:
      return "AF_HYPERV/freebsd";
    case AddressKind::kNone:
    case AddressKind::kVsock:
      break;
  }
  return "AF_VSOCK";
}

std::string_view state_text(const Socket& socket) {
  if (socket.closed) return "closing";
  switch (socket.state) {
    case EndpointState::kFree:
    case EndpointState::kFresh:
      return "fresh";
    case EndpointState::kBound:
      return "bound";
    case EndpointState::kListening:
      return "listening";
    case EndpointState::kConnecting:
      return "connecting";
    case EndpointState::kConnected:
      return socket.has(proto::kEndedPeerGone) ? "peer gone" : "connected";
    case EndpointState::kFailed:
      break;
  }
  return "unconnected";
}

std::string number_text(std::uint32_t number) {
  return number == proto::kCidAny.value ? "any" : fmt::format("{}", number);
}

std::string address_text(const proto::Address& address) {
  switch (address.kind) {
    case AddressKind::kHyperV:
      return fmt::format("{}/{}", proto::to_text(address.vm_id).view(),
                         proto::to_text(address.service_id).view());
    case AddressKind::kFreeBsd:
      return number_text(address.port.value);
    case AddressKind::kVsock:
      return fmt::format("{}:{}", number_text(address.cid.value), number_text(address.port.value));
    case AddressKind::kNone:
      break;
  }
  return "";
}

std::string partition_text(const Socket& socket) {
  switch (socket.home) {
    case Home::kHost:
      return "host";
    case Home::kGuest:
      return socket.guest->config().name;
    case Home::kUndecided:
      break;
  }
  return "?";
}

void describe_ring(const ring::RingMemory& memory, control::SocketReport::Ring* report) {
  report->set_data_bytes(memory.data_bytes());
  const auto indices = ring::load_indices(memory);
  if (!indices.ok()) return;
  const std::uint32_t used = indices->write_index >= indices->read_index
                                 ? indices->write_index - indices->read_index
                                 : memory.data_bytes() + indices->write_index - indices->read_index;
  report->set_used_bytes(used);
}

void describe_stream(const Socket& socket, control::SocketReport::Socket* report) {
  const Stream& stream = *socket.stream;
  report->set_relid(stream.relid().value);
  report->set_kind(stream.side() == Side::kLoopback ? "loopback" : "channel");
  if (stream.bus() != nullptr) report->set_guest(stream.bus()->config().name);
  const bool writes_to_host =
      stream.side() == Side::kGuest || (stream.side() == Side::kLoopback && stream.end() == 0);
  describe_ring(stream.out.memory(),
                writes_to_host ? report->mutable_guest_to_host() : report->mutable_host_to_guest());
  describe_ring(stream.in.memory(),
                writes_to_host ? report->mutable_host_to_guest() : report->mutable_guest_to_host());
  report->set_signals_sent(stream.signals_sent);
  report->set_signals_received(stream.signals_received);
}

void describe_socket(const Socket& socket, control::SocketReport::Socket* report) {
  report->set_entry(socket.entry);
  report->set_partition(partition_text(socket));
  report->set_family(std::string(family_text(socket.kind)));
  report->set_state(std::string(state_text(socket)));
  if (socket.state != EndpointState::kFresh) report->set_local(address_text(socket.local));
  if (socket.state == EndpointState::kConnected || socket.state == EndpointState::kConnecting) {
    report->set_peer(address_text(socket.peer));
  }
  report->set_pid(socket.pid);
  report->set_program(socket.program);
  report->set_profile(socket.profile->text);
  report->set_paused(Sockets::stands_still(socket));
  const bool direct = socket.lane != nullptr;
  report->set_bytes_sent(socket.bytes_sent + (direct ? socket.lane->bytes_out() : 0));
  report->set_bytes_received(socket.bytes_received + (direct ? socket.lane->bytes_in() : 0));
  if (socket.stream != nullptr) describe_stream(socket, report);
  if (socket.listener != nullptr) {
    report->set_backlog(socket.listener->backlog);
    report->set_waiting(waiting_accepts(socket.b.get()) +
                        static_cast<std::uint32_t>(socket.listener->undelivered.size() +
                                                   socket.listener->waiting.size()));
  }
}

// The bytes as they crossed the bus, decoded as far as any version can.
std::uint32_t relid_in(const MessageLog::Record& record) {
  const auto direction = record.direction == Direction::kGuestToHost
                             ? proto::Direction::kGuestToHost
                             : proto::Direction::kHostToGuest;
  const std::span payload(record.payload.data(), record.payload_bytes);
  const proto::Negotiated newest{proto::ProtocolVersion::kV5_3, {}};
  const proto::DecodeResult decoded = proto::decode(payload, direction, newest);
  const auto* message = std::get_if<proto::Message>(&decoded);
  if (message == nullptr) return 0;
  const auto relid = proto::relid_of(*message);
  return relid ? relid->value : 0;
}

}  // namespace

void report_guests(const Sockets& sockets,
                   google::protobuf::RepeatedPtrField<control::StatusReport::Guest>* guests) {
  for (const auto& guest : sockets.guests().all()) {
    if (guest->removed) continue;
    const PartitionStatus status = guest->bus().status();
    control::StatusReport::Guest* report = guests->Add();
    report->set_name(guest->config().name);
    report->set_vm_id(proto::to_text(guest->config().vm_id).c_str());
    report->set_cid(guest->config().cid);
    report->set_flavour(flavour_name(guest->config().flavour));
    if (status.connected) {
      report->set_vmbus_version(std::string(proto::version_name(status.version)));
    }
    report->set_connection(status.connection);
    report->set_channels(status.channels);
    report->set_sockets(guest->sockets);
    report->set_guest_memory_bytes(status.memory_in_use_bytes);
    report->set_paused(guest->paused);
    const bool is_default = guest.get() == &sockets.guests().default_guest();
    report->set_permanent(guest->permanent || is_default);
  }
}

void report_counters(const Counters& counters, control::StatusReport* report) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(Counter::kCount); ++i) {
    const auto counter = static_cast<Counter>(i);
    control::StatusReport::Counter* row = report->add_counters();
    row->set_name(std::string(Counters::name(counter)));
    row->set_value(counters.value(counter));
    row->set_meaning(std::string(Counters::meaning(counter)));
  }
}

control::SocketReport report_sockets(const Sockets& sockets) {
  std::vector<const Socket*> sorted;
  for (const auto& [cookie, socket] : sockets.all()) {
    if (!socket->is_spare) sorted.push_back(socket.get());
  }
  std::ranges::sort(sorted, {}, [](const Socket* socket) { return socket->cookie; });
  control::SocketReport report;
  for (const Socket* socket : sorted) describe_socket(*socket, report.add_sockets());
  for (const auto& guest : sockets.guests().all()) {
    if (guest->bus().status().channels < kMaxChannels) continue;
    report.set_note(fmt::format("guest \"{}\" has all {} channels in use: its next connect fails",
                                guest->config().name, kMaxChannels));
  }
  return report;
}

control::ServiceReport report_services(const ServiceRegistry& services) {
  control::ServiceReport report;
  report.set_listed(services.has_list());
  for (const auto& [service, name] : services.names()) {
    control::ServiceReport::Service* row = report.add_services();
    row->set_service(proto::to_text(service).c_str());
    const auto port = proto::port_of(service);
    row->set_is_port(port.has_value());
    row->set_port(port ? port->value : 0);
    row->set_name(name);
  }
  return report;
}

control::MessageReport report_messages(const MessageLog& log, const std::string& guest,
                                       std::uint32_t relid, std::uint64_t start_ns) {
  control::MessageReport report;
  report.set_dropped(log.dropped());
  for (const MessageLog::Record& record : log.snapshot()) {
    const std::string_view name = record.guest.data();
    const std::uint32_t about = relid_in(record);
    if ((!guest.empty() && guest != name) || (relid != 0 && relid != about)) continue;
    std::uint32_t number = 0;
    if (record.payload_bytes >= sizeof number) {
      std::memcpy(&number, record.payload.data(), sizeof number);
    }
    control::MessageReport::Message* row = report.add_messages();
    row->set_sequence(record.sequence);
    row->set_time_ns(record.time_ns - std::min(record.time_ns, start_ns));
    row->set_guest(std::string(name));
    row->set_number(number);
    row->set_name(std::string(proto::message_name(number)));
    row->set_direction(record.direction == Direction::kGuestToHost ? "guest->host" : "host->guest");
    row->set_relid(about);
    row->set_payload(record.payload.data(), record.payload_bytes);
  }
  return report;
}

std::uint32_t count_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc/self/fd"), &::closedir);
  if (directory == nullptr) return 0;
  std::uint32_t count = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count - 1;  // the one this loop reads
}

}  // namespace vmbus::emu
