#include "emu/hvsocket/guest.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "emu/hvsocket/host_service.h"

namespace vmbus::emu {
namespace {

constexpr std::size_t kMaxNameLength = 31;  // MessageLog keeps this much

bool is_valid_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameLength || name == "host" || name == "auto")
    return false;
  return std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
}

std::uint32_t random_port() {
  std::uint32_t port = 0;
  [[maybe_unused]] const ssize_t length = ::getrandom(&port, sizeof port, 0);
  return port;
}

}  // namespace

tl::expected<Guest*, std::string> GuestList::add(const GuestSpec& spec) {
  if (!is_valid_name(spec.name)) {
    return tl::unexpected(
        fmt::format("\"{}\" is no name for a guest: use 1 to {} letters, digits, '-', '_' or '.', "
                    "not \"host\" or \"auto\"",
                    spec.name, kMaxNameLength));
  }
  if (spec.name == kDefaultGuestName && !guests_.empty()) {
    return tl::unexpected(
        std::string("every bus has a guest called \"guest\": choose another name"));
  }
  if (find(spec.name) != nullptr) {
    return tl::unexpected(
        fmt::format("a guest called \"{0}\" exists: `vmbus vm remove {0}` first", spec.name));
  }
  PartitionConfig config;
  config.name = spec.name;
  config.flavour = spec.flavour;
  config.vm_id = spec.vm_id.value_or(proto::vm_id_from_name(spec.name));
  config.cid = spec.cid.value_or(lowest_free_cid());
  if (config.cid < kFirstGuestCid || config.cid == proto::kCidAny.value) {
    return tl::unexpected(fmt::format("CID {} is reserved: use 3 to 4294967294", config.cid));
  }
  if (cid_taken(config.cid)) {
    return tl::unexpected(
        fmt::format("CID {} belongs to another guest: choose a free one", config.cid));
  }
  if (find_vm_id(config.vm_id) != nullptr) {
    return tl::unexpected(
        fmt::format("VmId {} belongs to another guest", proto::to_text(config.vm_id).view()));
  }
  auto guest = std::make_unique<Guest>(sockets_, random_port());
  auto bus = Partition::create(config, host_, guest->driver(), counters_, log_);
  if (!bus) {
    return tl::unexpected(
        fmt::format("no memory for guest \"{}\": {}", spec.name, std::strerror(bus.error())));
  }
  guest->set_bus(std::move(*bus));
  guests_.push_back(std::move(guest));
  return guests_.back().get();
}

void GuestList::collect() {
  std::erase_if(guests_, [](const std::unique_ptr<Guest>& guest) {
    return guest->removed && guest->sockets == 0 && !guest->bus().has_work();
  });
}

Guest* GuestList::find(std::string_view name) const {
  return find_if([name](const Guest& guest) { return guest.config().name == name; });
}

Guest* GuestList::find_cid(std::uint32_t cid) const {
  return find_if([cid](const Guest& guest) { return guest.config().cid == cid; });
}

Guest* GuestList::find_vm_id(const proto::Guid& vm_id) const {
  return find_if([&vm_id](const Guest& guest) { return guest.config().vm_id == vm_id; });
}

Guest* GuestList::find_flavour(Flavour flavour) const {
  return find_if([flavour](const Guest& guest) { return guest.config().flavour == flavour; });
}

Guest& GuestList::of(const Partition& bus) const {
  return **std::ranges::find_if(guests_,
                                [&bus](const auto& guest) { return &guest->bus() == &bus; });
}

std::uint32_t GuestList::lowest_free_cid() const {
  std::uint32_t cid = kFirstGuestCid;
  while (cid_taken(cid)) ++cid;
  return cid;
}

bool GuestList::cid_taken(std::uint32_t cid) const {
  return std::ranges::any_of(guests_,
                             [cid](const auto& guest) { return guest->config().cid == cid; });
}

}  // namespace vmbus::emu
