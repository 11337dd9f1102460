#include "shim/control_codec.h"

#include <pb_decode.h>
#include <pb_encode.h>

#include <array>

#include "shim/control_connection.h"
#include "shim/real.h"
#include "shim/spare_socket.h"

namespace vmbus::shim {

int send_request(const Request& request, int attached) {
  std::array<pb_byte_t, vmbus_control_Request_size> buffer{};
  pb_ostream_t stream = pb_ostream_from_buffer(buffer.data(), buffer.size());
  if (!pb_encode(&stream, vmbus_control_Request_fields, &request)) return EPROTO;
  return send_record(buffer.data(), stream.bytes_written, attached);
}

namespace {

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

}  // namespace

int exchange(Request& request, int attached, Reply* reply, int* received) {
  *received = -1;
  request.took_spare = was_spare_taken();
  drop_spare();  // the daemon sees that it was not wanted
  if (const int error = send_request(request, attached)) return error;
  note_spare_told();
  if (const int error = receive_reply(reply, received)) return error;
  if (reply->has_spare) {
    keep_spare({*received, reply->spare.entry, reply->spare.generation, reply->spare.cookie});
    *received = -1;
  }
  return 0;
}

}  // namespace vmbus::shim
