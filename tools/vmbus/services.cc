#include "tools/vmbus/services.h"

#include "emu/client/service_list.h"

namespace vmbus::tools {

Outcome<void> check_service(const std::string& service, const std::string& name) {
  const auto checked = client::make_service(service, name);
  if (!checked) return fail(kExitUsage, checked.error());
  return {};
}

control::Request list_services_request() {
  control::Request request;
  request.mutable_service_list();
  return request;
}

control::Request add_service_request(const std::string& service, const std::string& name) {
  control::Request request;
  request.mutable_service_add()->set_service(service);
  request.mutable_service_add()->set_name(name);
  return request;
}

control::Request remove_service_request(const std::string& service) {
  control::Request request;
  request.mutable_service_remove()->set_service(service);
  return request;
}

}  // namespace vmbus::tools
