// ServiceRegistry: the services that the host's administrator has registered (on Windows the key
// GuestCommunicationServices). Host and virtual machines reach each other by these alone, as far as
// their sockets' profiles say registration=listed.
//
// Until somebody gives a list there is none, and every service counts as registered: choosing a
// profile keeps no program from working. An empty list is a list.
#ifndef VMBUS_EMU_HVSOCKET_SERVICE_REGISTRY_H_
#define VMBUS_EMU_HVSOCKET_SERVICE_REGISTRY_H_

#include <map>
#include <string>

#include "emu/protocol/guid.h"

namespace vmbus::emu {

class ServiceRegistry {
 public:
  using Names = std::map<proto::Guid, std::string>;

  // From now on there is a list.
  void establish() { has_list_ = true; }
  // Establishes the list, too. A service that is there gets the new name.
  void add(const proto::Guid& service, const std::string& name) {
    has_list_ = true;
    names_[service] = name;
  }
  // False: it is not there.
  bool remove(const proto::Guid& service) { return names_.erase(service) != 0; }
  // There is no list any more.
  void drop() {
    has_list_ = false;
    names_.clear();
  }

  bool has_list() const { return has_list_; }
  bool is_registered(const proto::Guid& service) const {
    return !has_list_ || names_.contains(service);
  }
  const Names& names() const { return names_; }

 private:
  bool has_list_ = false;
  Names names_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_SERVICE_REGISTRY_H_
