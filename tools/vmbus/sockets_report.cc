#include <fmt/format.h>

#include <algorithm>

#include "tools/vmbus/reports.h"
#include "tools/vmbus/table.h"
#include "tools/vmbus/units.h"

namespace vmbus::tools {
namespace {

using Socket = control::SocketReport::Socket;

// A listener's state comes with its queue: "listening 2/128".
std::string state_of(const Socket& socket) {
  const std::string paused = socket.paused() ? ", paused" : "";
  if (socket.backlog() == 0) return socket.state() + paused;
  return fmt::format("{} {}/{}{}", socket.state(), socket.waiting(), socket.backlog(), paused);
}

std::string channel_of(const Socket& socket) {
  return socket.relid() != 0 ? std::to_string(socket.relid())
                             : (socket.kind() == "loopback" ? socket.kind() : "");
}

std::string fill_of(const control::SocketReport::Ring& ring) {
  return percent_text(ring.used_bytes(), ring.data_bytes());
}

// A process of another PID namespace is somebody, but has no number here.
std::string pid_of(const Socket& socket) {
  return socket.pid() == 0 ? "?" : std::to_string(socket.pid());
}

Json ring_json(const control::SocketReport::Ring& ring) {
  return {{"data_bytes", ring.data_bytes()}, {"used_bytes", ring.used_bytes()}};
}

Json socket_json(const Socket& socket) {
  return {{"entry", socket.entry()},
          {"partition", socket.partition()},
          {"family", socket.family()},
          {"state", socket.state()},
          {"local", socket.local()},
          {"peer", socket.peer()},
          {"pid", socket.pid()},
          {"program", socket.program()},
          {"relid", socket.relid()},
          {"kind", socket.kind()},
          {"guest", socket.guest()},
          {"guest_to_host", ring_json(socket.guest_to_host())},
          {"host_to_guest", ring_json(socket.host_to_guest())},
          {"bytes_sent", socket.bytes_sent()},
          {"bytes_received", socket.bytes_received()},
          {"signals_sent", socket.signals_sent()},
          {"signals_received", socket.signals_received()},
          {"backlog", socket.backlog()},
          {"waiting", socket.waiting()},
          {"profile", socket.profile()},
          {"paused", socket.paused()}};
}

}  // namespace

std::string sockets_text(const control::SocketReport& report) {
  Table table({{"PARTITION"},
               {"FAMILY"},
               {"STATE"},
               {"LOCAL"},
               {"PEER"},
               {"GUEST"},
               {"RELID", Align::kRight},
               {"G>H", Align::kRight},
               {"H>G", Align::kRight},
               {"SENT", Align::kRight},
               {"RECEIVED", Align::kRight},
               {"SIGNALS", Align::kRight},
               {"PID", Align::kRight},
               {"PROGRAM"}});
  for (const Socket& socket : report.sockets()) {
    table.add({socket.partition(), socket.family(), state_of(socket), socket.local(), socket.peer(),
               socket.guest(), channel_of(socket), fill_of(socket.guest_to_host()),
               fill_of(socket.host_to_guest()), bytes_text(socket.bytes_sent()),
               bytes_text(socket.bytes_received()),
               fmt::format("{}/{}", socket.signals_sent(), socket.signals_received()),
               pid_of(socket), socket.program()});
  }
  std::string text = table.empty() ? "No sockets.\n" : table.text();
  if (!report.note().empty()) text += report.note() + "\n";
  return text;
}

Json sockets_json(const control::SocketReport& report) {
  Json sockets = Json::array();
  for (const Socket& socket : report.sockets()) sockets.push_back(socket_json(socket));
  return {{"running", true}, {"sockets", sockets}, {"note", report.note()}};
}

}  // namespace vmbus::tools
