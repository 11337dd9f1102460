#include "shim/control_codec.h"

#include <pb_decode.h>
#include <pb_encode.h>

#include <array>

#include "shim/control_connection.h"
#include "shim/real.h"

namespace vmbus::shim {

int send_request(const Request& request, int attached) {
  std::array<pb_byte_t, vmbus_control_Request_size> buffer{};
  pb_ostream_t stream = pb_ostream_from_buffer(buffer.data(), buffer.size());
  if (!pb_encode(&stream, vmbus_control_Request_fields, &request)) return EPROTO;
  return send_record(buffer.data(), stream.bytes_written, attached);
}

namespace {

// Under the lock of control_connection.h, as all that uses the connection.
constinit bool g_spare_follows = false;

int receive_reply(Reply* reply, int* received) {
  std::array<pb_byte_t, vmbus_control_Reply_size> buffer{};
  std::size_t size = buffer.size();
  if (const int error = receive_record(buffer.data(), &size, received)) return error;
  pb_istream_t stream = pb_istream_from_buffer(buffer.data(), size);
  *reply = Reply{};
  if (pb_decode(&stream, vmbus_control_Reply_fields, reply)) return 0;
  if (*received >= 0) real::call(SYS_close, *received);
  *received = -1;
  return EPROTO;
}

// It was made for nothing.
int drop_spare() {
  Reply reply{};
  int fd = -1;
  const int error = receive_spare(&reply, &fd);
  if (fd >= 0) real::call(SYS_close, fd);
  return error;
}

}  // namespace

int exchange(const Request& request, int attached, Reply* reply, int* received) {
  *received = -1;
  if (g_spare_follows) {
    if (const int error = drop_spare()) return error;
  }
  if (const int error = send_request(request, attached)) return error;
  const int error = receive_reply(reply, received);
  g_spare_follows = error == 0 && reply->spare_follows;
  return error;
}

bool spare_follows() { return g_spare_follows; }

void forget_spare() { g_spare_follows = false; }

int receive_spare(Reply* reply, int* received) {
  g_spare_follows = false;
  return receive_reply(reply, received);
}

}  // namespace vmbus::shim
