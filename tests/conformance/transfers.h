// Moving bytes: every libc call that sends or receives, and helpers that fill and empty a stream.
#ifndef VMBUS_TESTS_CONFORMANCE_TRANSFERS_H_
#define VMBUS_TESTS_CONFORMANCE_TRANSFERS_H_

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>

#include "tests/conformance/connections.h"

namespace vmbus::cases {

// What a transfer call can do, as bits.
enum TransferTraits : unsigned {
  kCancellable = 1,  // it is a cancellation point
  kFromMemory = 2,   // it moves bytes between memory and the socket; else a descriptor lies between
  kTakesFlags = 4,   // it has a flags argument of MSG_ bits
};

// A sending call in the shape of send(): bytes that went out, or -1 and errno.
struct SendCall {
  const char* name;
  unsigned traits;
  long (*call)(int fd, const void* data, std::size_t size, int flags);
};
std::span<const SendCall> send_calls();

// A receiving call in the shape of recv().
struct ReceiveCall {
  const char* name;
  unsigned traits;
  long (*call)(int fd, void* data, std::size_t size, int flags);
};
std::span<const ReceiveCall> receive_calls();

// Bytes that show when one of them is lost, doubled or moved.
std::string pattern(std::size_t size);

// Until `size` bytes are there, the stream ended, or an error.
std::string read_exactly(const Socket& socket, std::size_t size);
std::string read_exactly(const RemoteSocket& socket, std::size_t size);

// Sends until nothing more fits, while nobody reads, and says how much that was.
std::size_t fill(const Socket& socket);

// Two pages, of which only the first can be touched. A pointer to `good()` may be read or written
// for page_size() bytes; bad() for none.
class HalfMapped {
 public:
  HalfMapped();
  ~HalfMapped();
  HalfMapped(const HalfMapped&) = delete;
  HalfMapped& operator=(const HalfMapped&) = delete;

  static std::size_t page_size();
  char* good() const { return pages_; }
  char* bad() const { return pages_ + page_size(); }

 private:
  char* pages_;
};

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_TRANSFERS_H_
