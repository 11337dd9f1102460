// Control messages as nanopb knows them (generated from control.proto), and one exchange over the
// connection.
#ifndef VMBUS_SHIM_CONTROL_CODEC_H_
#define VMBUS_SHIM_CONTROL_CODEC_H_

#include <cstddef>

#include "shim/control.nanopb.h"

namespace vmbus::shim {

using Request = vmbus_control_Request;
using Reply = vmbus_control_Reply;

// 0, EPROTO, or an error of send_record(). REQUIRES: the lock is held, the connection exists.
int send_request(const Request& request, int attached);
// Sends, then waits for the reply. The reply's own error is not looked at. A spare that comes along is kept
// (spare_socket.h), one that nobody has taken closed; the request says which of both it was.
int exchange(Request& request, int attached, Reply* reply, int* received);

template <std::size_t kSize>
void set_text(char (&field)[kSize], const char* text) {
  std::size_t used = 0;
  while (used + 1 < kSize && text[used] != '\0') {
    field[used] = text[used];
    ++used;
  }
  field[used] = '\0';
}

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_CONTROL_CODEC_H_
