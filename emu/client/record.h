// One record of a control connection: at most kMaxControlBytes, with at most one descriptor
// (control.proto).
//
// Both ends use it. Nobody's O_NONBLOCK is trusted: it belongs to the open file, which another
// process may share; who must not wait says MSG_DONTWAIT.
#ifndef VMBUS_EMU_CLIENT_RECORD_H_
#define VMBUS_EMU_CLIENT_RECORD_H_

#include <cstddef>
#include <span>
#include <string_view>
#include <tl/expected.hpp>

#include "emu/owned_fd.h"

namespace vmbus::client {

// 0 or errno; a record is sent whole or not at all. `descriptor` -1: none.
int send_record(int socket, std::string_view bytes, int descriptor, int flags);

struct Record {
  std::size_t size = 0;          // bytes in the caller's buffer; 0: end of file
  emu::OwnedFd descriptor;       // close-on-exec
  bool cut = false;              // the record was longer than the buffer
  bool descriptors_cut = false;  // more than one was sent, or our descriptor table is full
};

tl::expected<Record, int> receive_record(int socket, std::span<char> buffer, int flags);

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_RECORD_H_
