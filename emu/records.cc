#include "emu/records.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <span>

namespace vmbus::emu {
namespace {

// What stands for MSG_EOR. Nobody ever receives it.
int mark_descriptor() {
  static const OwnedFd mark(::eventfd(0, EFD_CLOEXEC));
  return mark.get();
}

bool has_ended(int b) {
  pollfd end{b, POLLRDHUP, 0};
  return ::poll(&end, 1, 0) == 1 && (end.revents & (POLLRDHUP | POLLHUP)) != 0;
}

// How long B's next record is; 0 with the socket's marks set: there is none.
std::size_t next_record_bytes(Socket& socket) {
  const int b = socket.b.get();
  const ssize_t length = ::recv(b, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (length > 0) return static_cast<std::size_t>(length);
  if (length < 0 && errno == EAGAIN) socket.b_readable = false;
  // Of the two kinds of nothing, an empty record (by a program without hooks) is not the end. A reset
  // is said once, because A was closed with records unread; what A sent follows it.
  if (length == 0 && has_ended(b)) {
    socket.b_ended = true;
  } else if (length == 0) {
    ::recv(b, nullptr, 0, MSG_DONTWAIT);
  }
  return 0;
}

RecordHeader header_at(std::span<const std::byte> bytes) {
  RecordHeader header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  return header;
}

bool holds_record(std::span<const std::byte> bytes) {
  return bytes.size() >= sizeof(RecordHeader) &&
         bytes.size() - sizeof(RecordHeader) >= header_at(bytes).bytes;
}

}  // namespace

bool take_record(Socket& socket) {
  const std::size_t length = next_record_bytes(socket);
  if (length == 0) return false;
  const std::size_t start = socket.outbox.size();
  socket.outbox.resize(start + sizeof(RecordHeader) + length);
  iovec data{socket.outbox.data() + start + sizeof(RecordHeader), length};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (::recvmsg(socket.b.get(), &message, MSG_DONTWAIT) != static_cast<ssize_t>(length)) {
    socket.outbox.resize(start);
    return false;
  }
  const RecordHeader header{static_cast<std::uint32_t>(length),
                            (message.msg_flags & MSG_CTRUNC) != 0 ? kEndOfRecord : 0};
  std::memcpy(socket.outbox.data() + start, &header, sizeof header);
  return true;
}

void take_records_before_plug(Socket& socket, const Plug& plug) {
  while (!plug.is_next(socket.b.get()) && take_record(socket)) {
  }
}

bool holds_record(const Socket& socket) { return holds_record(std::span(socket.inbox)); }

bool give_records(Socket& socket) {
  std::span<const std::byte> left(socket.inbox);
  while (left.size() >= sizeof(RecordHeader)) {
    const RecordHeader header = header_at(left);
    // Before its bytes are here: what it claims decides how much is waited for.
    if (header.bytes == 0 || header.bytes > proto::kMaxRecordBytes) return false;
    if (!socket.b_writable || !holds_record(left)) break;
    const auto record = left.subspan(sizeof header, header.bytes);
    const int mark = (header.flags & kEndOfRecord) != 0 ? mark_descriptor() : -1;
    const int error = send_attached(socket.b.get(), record, mark);
    if (error == 0) {
      socket.bytes_received += record.size();
    } else if (error == EAGAIN) {
      socket.b_writable = false;
      break;
    } else if (error == EPIPE || error == ECONNRESET) {  // A was shut for reading
      left = {};
      break;
    }
    left = left.subspan(sizeof header + record.size());
  }
  socket.inbox.erase(socket.inbox.begin(),
                     socket.inbox.end() - static_cast<std::ptrdiff_t>(left.size()));
  return true;
}

}  // namespace vmbus::emu
