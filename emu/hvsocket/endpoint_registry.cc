#include "emu/hvsocket/endpoint_registry.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace vmbus::emu {

tl::expected<EndpointRegistry, int> EndpointRegistry::create(std::uint64_t bus_id) {
  OwnedFd fd(::memfd_create("vmbus-endpoints", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), proto::kEndpointTableBytes) != 0) return tl::unexpected(errno);
  void* base =
      ::mmap(nullptr, proto::kEndpointTableBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return tl::unexpected(errno);
  EndpointRegistry registry(std::move(fd), static_cast<std::byte*>(base));
  *registry.header_ = {.magic = proto::kEndpointTableMagic,
                       .version = proto::kEndpointTableVersion,
                       .capacity = proto::kEndpointCapacity,
                       .bus_id = bus_id,
                       .daemon_pid = static_cast<std::uint32_t>(::getpid()),
                       .default_cid = 0,
                       .resets = 0,
                       .reserved_36 = 0};
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (::fcntl(registry.fd_.get(), F_ADD_SEALS, kSeals) != 0) return tl::unexpected(errno);
  return registry;
}

EndpointRegistry::EndpointRegistry(OwnedFd fd, std::byte* base)
    : fd_(std::move(fd)),
      base_(base),
      header_(reinterpret_cast<proto::EndpointTableHeader*>(base)),
      entries_(reinterpret_cast<proto::Endpoint*>(base + proto::kEndpointTableHeaderBytes),
               proto::kEndpointCapacity) {}

EndpointRegistry::EndpointRegistry(EndpointRegistry&& other) noexcept
    : fd_(std::move(other.fd_)),
      base_(std::exchange(other.base_, nullptr)),
      header_(other.header_),
      entries_(other.entries_),
      free_(std::move(other.free_)),
      unused_(other.unused_) {}

EndpointRegistry::~EndpointRegistry() {
  if (base_ != nullptr) ::munmap(base_, proto::kEndpointTableBytes);
}

void EndpointRegistry::set_default_cid(std::uint32_t cid) { header_->default_cid = cid; }

std::optional<std::uint32_t> EndpointRegistry::allocate() {
  if (!free_.empty()) {
    const std::uint32_t entry = free_.back();
    free_.pop_back();
    return entry;
  }
  if (unused_ == proto::kEndpointCapacity) return std::nullopt;
  return unused_++;
}

void EndpointRegistry::write(std::uint32_t entry, const proto::Endpoint& image) {
  proto::Endpoint stamped = image;
  stamped.generation = entries_[entry].generation;
  proto::write_endpoint(entries_[entry], stamped);
}

void EndpointRegistry::free(std::uint32_t entry) {
  proto::Endpoint blank{};
  blank.generation = entries_[entry].generation + 1;
  proto::write_endpoint(entries_[entry], blank);
  free_.push_back(entry);
}

}  // namespace vmbus::emu
