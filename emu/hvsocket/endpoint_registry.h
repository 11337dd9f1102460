// EndpointRegistry: the daemon's side of the endpoint table (emu/protocol/endpoint_table.h): makes
// the memfd, hands out entries, writes them.
//
// Threads     The loop thread is the only writer; programs read through their own read-only
//             mappings.
#ifndef VMBUS_EMU_HVSOCKET_ENDPOINT_REGISTRY_H_
#define VMBUS_EMU_HVSOCKET_ENDPOINT_REGISTRY_H_

#include <cstdint>
#include <optional>
#include <span>
#include <tl/expected.hpp>
#include <vector>

#include "emu/owned_fd.h"
#include "emu/protocol/endpoint_table.h"

namespace vmbus::emu {

class EndpointRegistry {
 public:
  // Maps the table writable, then seals it against every other writer. Error: errno.
  static tl::expected<EndpointRegistry, int> create(std::uint64_t bus_id);
  EndpointRegistry(EndpointRegistry&& other) noexcept;
  EndpointRegistry& operator=(EndpointRegistry&&) = delete;
  ~EndpointRegistry();

  int fd() const { return fd_.get(); }
  std::uint64_t bus_id() const { return header_->bus_id; }
  void set_default_cid(std::uint32_t cid);
  void note_reset() { proto::note_reset(*header_); }

  // A free entry, or nothing when all are in use.
  std::optional<std::uint32_t> allocate();
  // Copies `image` into the entry; sequence and generation stay the registry's.
  void write(std::uint32_t entry, const proto::Endpoint& image);
  std::uint32_t generation(std::uint32_t entry) const { return entries_[entry].generation; }
  void free(std::uint32_t entry);

 private:
  EndpointRegistry(OwnedFd fd, std::byte* base);

  OwnedFd fd_;
  std::byte* base_;
  proto::EndpointTableHeader* header_;
  std::span<proto::Endpoint> entries_;
  std::vector<std::uint32_t> free_;  // given back; taken before unused_ grows
  std::uint32_t unused_ = 0;         // entries from here on were never used
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_ENDPOINT_REGISTRY_H_
