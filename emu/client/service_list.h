// The services that are registered on the host, as a file names them. A real host keeps them below
// the registry key GuestCommunicationServices: one subkey a service, with a friendly name.
//
//   # one service a line: a service GUID or a vsock port, then a name if you like
//   5000                                   the port 5000, 00001388-facb-11e6-bd58-64006a7986d3
//   0x40000000                             a port again
//   c3b2a190-1234-4567-89ab-cdef01234567   a service that is no port
//
// What follows a '#' that starts a line, or stands behind a blank, is a comment. A service may stand
// there twice; its last name counts.
#ifndef VMBUS_EMU_CLIENT_SERVICE_LIST_H_
#define VMBUS_EMU_CLIENT_SERVICE_LIST_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "emu/protocol/guid.h"

namespace vmbus::client {

inline constexpr std::size_t kMaxServiceNameBytes = 127;
inline constexpr std::size_t kMaxServices = 65536;

struct ListedService {
  proto::Guid id;
  std::string name;  // for people; fit for a terminal

  friend bool operator==(const ListedService&, const ListedService&) = default;
};

// Errors are one line that names the value, fit for a terminal, and what would be legal.
tl::expected<proto::Guid, std::string> parse_service(std::string_view word);
tl::expected<ListedService, std::string> make_service(std::string_view word, std::string_view name);
// `where` stands before each error: "FILE:LINE: ...".
tl::expected<std::vector<ListedService>, std::string> parse_services(std::string_view text,
                                                                     std::string_view where);
tl::expected<std::vector<ListedService>, std::string> read_services(const std::string& path);

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_SERVICE_LIST_H_
