// Socket: one descriptor of the program that is end A of a carrier, for the length of one call.
//
// Made on the stack by a wrapper: it looks the descriptor up, copies the endpoint's shared entry,
// and answers from the copy; what changes the endpoint is a request to the daemon. It owns nothing.
//
//   hint(fd)    for data calls: table and entry only, no system call. Where the answer would be a
//               refusal, the cookie is compared after all, so a stale table entry costs a foreign
//               descriptor nothing but time.
//   proven(fd)  for control calls: SO_COOKIE of the descriptor equals the entry's.
//
// Results     0 or a count, -errno, or kNotOurs: the descriptor turned out to be somebody else's (its
//             table entry is cleared), or the call is one that A itself answers rightly. The wrapper
//             then calls the kernel.
// Contract    docs/shim.md
#ifndef VMBUS_SHIM_SOCKET_H_
#define VMBUS_SHIM_SOCKET_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "emu/protocol/endpoint_table.h"
#include "shim/direct.h"
#include "shim/fd_table.h"
#include "shim/held_descriptor.h"
#include "shim/sandbox.h"
#include "shim/user_memory.h"

namespace vmbus::shim {

// Outside the range of -errno.
inline constexpr long kNotOurs = -5000;

// A send of so many bytes may wait inside the kernel's call; see large_send.cc for what is larger.
inline constexpr std::size_t kSmallSendBytes = 4096;

class Socket {
 public:
  static Socket hint(int fd);
  static Socket proven(int fd);

  explicit operator bool() const { return entry_.is_carrier(); }

  // ---- socket.cc: names and the life cycle ----
  long bind(const sockaddr* address, socklen_t length);
  long listen(int backlog);
  long shutdown(int how);
  long getsockname(sockaddr* address, socklen_t* length) const;
  long getpeername(sockaddr* address, socklen_t* length) const;
  long ioctl(unsigned long request, void* argument) const;

  // ---- connect.cc, accept.cc: cancellation points; nothing is held while they wait ----
  long connect(const sockaddr* address, socklen_t length);
  // The new descriptor, already in the table.
  long accept(sockaddr* address, socklen_t* length, int flags);

  // ---- options.cc ----
  long getsockopt(int level, int option, void* value, socklen_t* length);
  long setsockopt(int level, int option, const void* value, socklen_t length);

  // ---- transfer.cc: cancellation points, but for the checks ----
  // On whatever `fd` is: kNotOurs if it is a stranger's.
  static long receive_from(int fd, void* buffer, std::size_t length, int flags);
  static long send_to(int fd, const void* buffer, std::size_t length, int flags);
  // `tried`: what the rings gave already: kWouldWait, kThroughCarrier, or 0: not asked.
  long receive(void* buffer, std::size_t length, int flags, long tried = 0);
  // `result_flags`: where what recvmsg stores in msg_flags goes; null: for readv(). Neither it nor
  // writev() (`is_vector`) asks a socket of Linux about no bytes.
  long receive_parts(const iovec* parts, std::size_t count, int flags, int* result_flags = nullptr);
  long receive_message(msghdr* message, int flags);
  long send(const void* buffer, std::size_t length, int flags, bool has_address);
  long send_parts(const iovec* parts, std::size_t count, int flags, bool has_address,
                  bool is_vector = false);
  long send_message(const msghdr* message, int flags);
  // kNotOurs: nothing is wrong with the name.
  long check_name(const sockaddr* name, socklen_t length) {
    const int error = shim::check_name(name, length);
    return error != 0 ? refuse(-error) : kNotOurs;
  }
  // Around a call that moves bytes inside the kernel (sendfile, splice): a verdict before
  // (kNotOurs: go on) and what the kernel's result means.
  long check_receive(std::size_t length, int flags);
  long check_send(std::size_t length, int flags, bool has_address);
  long after_receive(long result, int flags);
  // Around the kernel's copying: bytes in the ring come to the carrier, sends are counted.
  void bring_to_carrier();
  // Finds out anew what this thread knows of its ring. False: it has none to work.
  bool learn() const;
  void begin_carrier_send();
  void end_carrier_send();
  long after_send(long result, int flags);
  // Between the parts of a send that waits, made with `fd`: whether the next one can still be for
  // this connection.
  bool takes_more(int fd);
  // body(fd) with the descriptor held for its length (held_descriptor.h).
  template <typename Body>
  long held(Body body) const {
    if (is_sandboxed()) return body(fd_);  // the calls that it takes may be forbidden
    return with_held(fd_, entry_, endpoint_.cookie, body);
  }

 private:
  Socket() = default;

  bool carries_records() const { return endpoint_.type == SOCK_SEQPACKET; }

  // Copies the shared entry; false if it is another endpoint by now.
  bool load();
  // Compares the cookie; clears the table's entry when the descriptor is not ours.
  bool prove();
  // `result` if the descriptor is proven, else kNotOurs.
  long refuse(long result) { return prove() ? result : kNotOurs; }
  // Copies a name from the program and checks what the generic layer checks.
  static int copy_address(const sockaddr* address, socklen_t length, void* copy);
  // The end of the attempt under way: 0, EINTR, or what SO_ERROR held. -errno.
  long wait_for_attempt();
  long finish_attempt();
  long wait_for_connection();
  long take_connection(int copy, int flags) const;
  // Raises SO_SNDBUF of A once, after the daemon had lowered it for the time of connecting.
  void raise_send_buffer();
  bool has_peer_name() const;
  long get_peer_name(void* value, socklen_t* length) const;  // SO_PEERNAME
  int send_buffer_bytes() const;                             // as setsockopt() takes it
  long count_unread(void* argument) const;
  bool daemon_hung_up() const;
  // large_send.cc. REQUIRES: check_send() let it pass.
  long send_large(const iovec* parts, std::size_t count, std::size_t bytes, int flags);
  long send_rest(int fd, const iovec* parts, std::size_t count, std::size_t bytes, std::size_t sent,
                 int flags);
  // Must this send go out part by part?
  bool is_large(std::size_t bytes, int flags) const {
    return bytes > kSmallSendBytes && (flags & MSG_DONTWAIT) == 0 && !carries_records();
  }
  long explain_receive(long result, int flags);
  long receive_directly(const Parts& to, int flags, long tried) const;
  long receive_all(DirectEnd& direct, const Parts& to, int flags) const;
  void settle_shown();
  bool is_held(int fd) const;
  void restore_send_buffer() const;  // after a plug
  void want_room() const;
  // What check_send() let pass.
  long send_directly(DirectEnd& direct, const Parts& from, int flags);
  // `sent` bytes are in the ring.
  long wait_and_send(DirectEnd direct, const Parts& from, std::size_t sent, int flags);
  long send_by_carrier(const DirectEnd& direct, const Parts& from, std::size_t sent, int flags);
  long send_remaining(const Parts& from, std::size_t skip, int flags);
  long transmit(const iovec* parts, std::size_t count, std::size_t bytes, int flags);
  // error_queue.cc
  bool is_zerocopy(int flags) const;
  long send_zerocopy(const iovec* parts, std::size_t count, std::size_t bytes, int flags);
  long receive_notification(msghdr* message);  // null: for a call that has no place for it
  bool ends_record(int flags) const { return carries_records() && (flags & MSG_EOR) != 0; }
  long wait_for_data(int flags);
  bool hears_of_nothing() const { return (endpoint_.quirks & proto::kQuirkEmptyIsInvalid) != 0; }
  int receive_flags(int flags) const;  // as the kernel is to see them
  // Around a receive: the daemon holds no bytes back below the low-water mark meanwhile. After a
  // cancelled one it does so no more.
  void tell_of_receive(int what) const;
  // records.cc. What recvmsg stores in msg_flags.
  int message_flags(const msghdr& received) const;
  long send_end_of_record(const msghdr& record, int flags) const;
  // `result`; raises SIGPIPE when that is what goes with it.
  long with_signal(long result, int flags) const;
  long take_error(int* so_error);

  int fd_ = -1;
  FdEntry entry_{};
  proto::Endpoint endpoint_{};
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_SOCKET_H_
