// Server: requests of tools that change guests, and the list of registered services.
#include <fmt/format.h>

#include <cerrno>

#include "emu/client/service_list.h"
#include "emu/replies.h"
#include "emu/reports.h"
#include "emu/server.h"

namespace vmbus::emu {

HandlerReply Server::list_guests() const {
  control::VmReport report;
  report_guests(sockets_, report.mutable_guests());
  return report_reply(report);
}

HandlerReply Server::add_guest(const control::VmAdd& call) {
  auto spec = make_guest_spec(call.name(), call.cid(), call.vm_id(), call.flavour());
  if (!spec) return error_reply(EINVAL, spec.error());
  auto guest = sockets_.guests().add(*spec);
  if (!guest) return error_reply(EEXIST, guest.error());
  // A private bus is its command's, whatever that adds to it: nobody else could ever end it.
  (*guest)->permanent = !client::is_private_bus(options_.bus);
  return list_guests();
}

HandlerReply Server::remove_guest(const control::VmRemove& call) {
  Guest* guest = sockets_.guests().find(call.name());
  if (guest == nullptr) return no_such_guest(call.name());
  if (guest == &sockets_.guests().default_guest()) {
    return error_reply(EPERM,
                       fmt::format("\"{}\" cannot be removed: every bus has it", call.name()));
  }
  if (guest->sockets != 0 && !call.force()) {
    return error_reply(EBUSY, fmt::format("\"{}\" has {} open sockets (see `vmbus ps`): close "
                                          "them, or end them with --force",
                                          call.name(), guest->sockets));
  }
  withdraw_guest(*guest);
  return {};
}

void Server::withdraw_guest(Guest& guest) {
  if (guest.paused) requests_.resume(guest);  // what it hears now, it hears
  guest.removed = true;
  sockets_.host().reset_all(guest.bus());
  sockets_.settle_buses();
  sockets_.end_guest(guest);
  guest.bus().guest_unload();
  sockets_.settle_buses();
  loop_.post([this] {
    sockets_.guests().collect();
    leave_if_idle();
  });
}

// ---- what happens to a guest --------------------------------------------------------------------

HandlerReply Server::act_on_guest(const control::VmAct& call) {
  Guest* guest = sockets_.guests().find(call.name());
  if (guest == nullptr) return no_such_guest(call.name());
  switch (call.action()) {
    case control::VmAct::PAUSE:
      return pause(*guest);
    case control::VmAct::RESUME:
      if (!guest->paused) {
        return error_reply(EALREADY, fmt::format("\"{}\" is not paused", call.name()));
      }
      requests_.resume(*guest);
      return {};
    case control::VmAct::MIGRATE:
      sockets_.migrate_guest(*guest);
      return {};
    case control::VmAct::RESET_DEVICE:
      sockets_.reset_device(*guest);
      return {};
    case control::VmAct::NOTHING:
    case control::VmAct_Action_VmAct_Action_INT_MIN_SENTINEL_DO_NOT_USE_:
    case control::VmAct_Action_VmAct_Action_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return error_reply(EINVAL, "nothing that can be done to a guest: is vmbus newer than vmbusd?");
}

HandlerReply Server::pause(Guest& guest) {
  if (guest.paused) {
    return error_reply(EALREADY, fmt::format("\"{0}\" is paused already: `vmbus vm resume {0}`",
                                             guest.config().name));
  }
  sockets_.pause_guest(guest);
  return {};
}

// ---- registered services ------------------------------------------------------------------------

HandlerReply Server::list_services() {
  return report_reply(report_services(sockets_.host().services()));
}

HandlerReply Server::add_service(const control::ServiceAdd& call) {
  ServiceRegistry& services = sockets_.host().services();
  if (call.service().empty()) {
    services.establish();
    return {};
  }
  const auto service = client::make_service(call.service(), call.name());
  if (!service) return error_reply(EINVAL, service.error());
  if (services.names().size() >= client::kMaxServices && !services.names().contains(service->id)) {
    return error_reply(ENOSPC, fmt::format("{} services are registered: remove some first",
                                           services.names().size()));
  }
  services.add(service->id, service->name);
  return {};
}

HandlerReply Server::remove_service(const control::ServiceRemove& call) {
  if (call.service().empty()) {
    sockets_.host().services().drop();
    return {};
  }
  const auto service = client::parse_service(call.service());
  if (!service) return error_reply(EINVAL, service.error());
  if (sockets_.host().services().remove(*service)) return {};
  return error_reply(ENOENT, fmt::format("service {} is not registered: see `vmbus service list`",
                                         client::printable(call.service())));
}

}  // namespace vmbus::emu
