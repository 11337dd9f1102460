#include <fmt/format.h>

#include <string_view>

#include "tools/vmbus/reports.h"
#include "tools/vmbus/table.h"
#include "tools/vmbus/units.h"

namespace vmbus::tools {
namespace {

using Guests = google::protobuf::RepeatedPtrField<control::StatusReport::Guest>;

std::string guest_table(const Guests& guests) {
  Table table({{"GUEST"},
               {"CID", Align::kRight},
               {"VM ID"},
               {"FLAVOUR"},
               {"VMBUS"},
               {"CONNECTION"},
               {"CHANNELS", Align::kRight},
               {"SOCKETS", Align::kRight},
               {"MEMORY", Align::kRight}});
  for (const auto& guest : guests) {
    table.add({guest.name(), std::to_string(guest.cid()), guest.vm_id(), guest.flavour(),
               guest.vmbus_version(), guest.paused() ? "paused" : guest.connection(),
               std::to_string(guest.channels()), std::to_string(guest.sockets()),
               bytes_text(guest.guest_memory_bytes())});
  }
  return table.text();
}

Json guest_list(const Guests& guests) {
  Json list = Json::array();
  for (const auto& guest : guests) {
    list.push_back({{"name", guest.name()},
                    {"vm_id", guest.vm_id()},
                    {"cid", guest.cid()},
                    {"flavour", guest.flavour()},
                    {"vmbus_version", guest.vmbus_version()},
                    {"connection", guest.connection()},
                    {"channels", guest.channels()},
                    {"sockets", guest.sockets()},
                    {"guest_memory_bytes", guest.guest_memory_bytes()},
                    {"permanent", guest.permanent()},
                    {"paused", guest.paused()}});
  }
  return list;
}

std::string_view how_long(const control::StatusReport& report) {
  if (report.kept_by_guests())
    return "stays for its added guests, until `vmbus vm remove` or `vmbus stop`";
  return report.stays() ? "stays until `vmbus stop`" : "leaves with its last user";
}

// Counters that never moved would only hide the others.
std::string counter_table(const control::StatusReport& report) {
  Table table({{"COUNTER"}, {"VALUE", Align::kRight}, {"MEANING"}});
  for (const auto& counter : report.counters()) {
    if (counter.value() == 0) continue;
    table.add({counter.name(), std::to_string(counter.value()), counter.meaning()});
  }
  return table.empty() ? "" : "\n" + table.text();
}

}  // namespace

std::string guests_text(const control::VmReport& report) { return guest_table(report.guests()); }

Json guests_json(const control::VmReport& report) {
  return {{"running", true}, {"guests", guest_list(report.guests())}};
}

std::string status_text(const control::StatusReport& report) {
  std::string text;
  text += fmt::format("bus       {}\n", report.socket_path());
  text += fmt::format("daemon    vmbusd {}, pid {}, up {}; {}\n", report.version(), report.pid(),
                      duration_text(report.uptime_ms()), how_long(report));
  text += fmt::format("loop      {} ({})\n", report.loop_backend(), report.loop_reason());
  text += fmt::format("users     {} control connections, {} sockets; {} of {} descriptors in use\n",
                      report.clients(), report.sockets(), report.descriptors(),
                      report.descriptor_limit());
  return text + "\n" + guest_table(report.guests()) + counter_table(report);
}

Json status_json(const control::StatusReport& report) {
  Json counters = Json::object();
  for (const auto& counter : report.counters()) counters[counter.name()] = counter.value();
  return {{"running", true},
          {"version", report.version()},
          {"pid", report.pid()},
          {"socket_path", report.socket_path()},
          {"uptime_ms", report.uptime_ms()},
          {"loop_backend", report.loop_backend()},
          {"loop_reason", report.loop_reason()},
          {"clients", report.clients()},
          {"sockets", report.sockets()},
          {"stays", report.stays()},
          {"kept_by_guests", report.kept_by_guests()},
          {"descriptors", report.descriptors()},
          {"descriptor_limit", report.descriptor_limit()},
          {"guests", guest_list(report.guests())},
          {"counters", counters}};
}

Json not_running_json(const std::string& path) {
  return {{"running", false}, {"socket_path", path}};
}

}  // namespace vmbus::tools
