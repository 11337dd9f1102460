#include <string>

#include "tools/vmbus/reports.h"
#include "tools/vmbus/table.h"

namespace vmbus::tools {

std::string services_text(const control::ServiceReport& report) {
  if (!report.listed()) {
    return "No list: every service counts as registered. `vmbus service add` makes one.\n";
  }
  Table table({{"SERVICE"}, {"PORT", Align::kRight}, {"NAME"}});
  for (const auto& service : report.services()) {
    table.add({service.service(), service.is_port() ? std::to_string(service.port()) : "",
               service.name()});
  }
  return table.empty() ? "The list is empty: no service is registered.\n" : table.text();
}

// A service that is no port's has null there.
Json services_json(const control::ServiceReport& report) {
  Json services = Json::array();
  for (const auto& service : report.services()) {
    services.push_back({{"service", service.service()},
                        {"port", service.is_port() ? Json(service.port()) : Json(nullptr)},
                        {"name", service.name()}});
  }
  return {{"running", true}, {"listed", report.listed()}, {"services", services}};
}

}  // namespace vmbus::tools
