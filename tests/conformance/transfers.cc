#include "tests/conformance/transfers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace vmbus::cases {
namespace {

using namespace std::chrono_literals;

// Nobody has moved a byte for so long: then nobody will.
constexpr auto kQuiet = 100ms;

iovec part(const void* data, std::size_t size) { return {const_cast<void*>(data), size}; }

msghdr message_of(iovec& piece) {
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return message;
}

long send_many(int fd, const void* data, std::size_t size, int flags) {
  iovec piece = part(data, size);
  mmsghdr message{message_of(piece), 0};
  const int sent = ::sendmmsg(fd, &message, 1, flags);
  return sent == 1 ? static_cast<long>(message.msg_len) : sent;
}

long receive_many(int fd, void* data, std::size_t size, int flags) {
  iovec piece = part(data, size);
  mmsghdr message{message_of(piece), 0};
  const int got = ::recvmmsg(fd, &message, 1, flags, nullptr);
  return got == 1 ? static_cast<long>(message.msg_len) : got;
}

long send_from_file(int fd, const void* data, std::size_t size, int) {
  const Socket file(::memfd_create("sent", MFD_CLOEXEC));  // a descriptor like any other
  if (::write(file.fd(), data, size) != static_cast<ssize_t>(size)) return -1;
  off_t start = 0;
  return ::sendfile(fd, file.fd(), &start, size);
}

struct Pipe {
  Socket out;
  Socket in;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  return {Socket(ends[0]), Socket(ends[1])};
}

// REQUIRES: `size` is not more than a pipe holds.
long send_from_pipe(int fd, const void* data, std::size_t size, int) {
  const Pipe pipe = make_pipe();
  if (::write(pipe.in.fd(), data, size) != static_cast<ssize_t>(size)) return -1;
  return ::splice(pipe.out.fd(), nullptr, fd, nullptr, size, 0);
}

long receive_into_pipe(int fd, void* data, std::size_t size, int) {
  const Pipe pipe = make_pipe();
  const ssize_t moved = ::splice(fd, nullptr, pipe.in.fd(), nullptr, size, 0);
  return moved <= 0 ? moved : ::read(pipe.out.fd(), data, static_cast<std::size_t>(moved));
}

constexpr unsigned kPlainTransfer = kCancellable | kFromMemory;
constexpr unsigned kSocketTransfer = kPlainTransfer | kTakesFlags;

constexpr std::array kSendCalls{
    SendCall{"write", kPlainTransfer,
             [](int fd, const void* data, std::size_t size, int) -> long {
               return ::write(fd, data, size);
             }},
    SendCall{"writev", kPlainTransfer,
             [](int fd, const void* data, std::size_t size, int) -> long {
               const iovec piece = part(data, size);
               return ::writev(fd, &piece, 1);
             }},
    SendCall{"pwritev2", kPlainTransfer,
             [](int fd, const void* data, std::size_t size, int) -> long {
               const iovec piece = part(data, size);
               return ::pwritev2(fd, &piece, 1, -1, 0);
             }},
    SendCall{"send", kSocketTransfer,
             [](int fd, const void* data, std::size_t size, int flags) -> long {
               return ::send(fd, data, size, flags);
             }},
    SendCall{"sendto", kSocketTransfer,
             [](int fd, const void* data, std::size_t size, int flags) -> long {
               return ::sendto(fd, data, size, flags, nullptr, 0);
             }},
    SendCall{"sendmsg", kSocketTransfer,
             [](int fd, const void* data, std::size_t size, int flags) -> long {
               iovec piece = part(data, size);
               const msghdr message = message_of(piece);
               return ::sendmsg(fd, &message, flags);
             }},
    SendCall{"sendmmsg", kSocketTransfer, &send_many},
    SendCall{"sendfile", 0, &send_from_file},
    SendCall{"splice", kCancellable, &send_from_pipe},
};

constexpr std::array kReceiveCalls{
    ReceiveCall{
        "read", kPlainTransfer,
        [](int fd, void* data, std::size_t size, int) -> long { return ::read(fd, data, size); }},
    ReceiveCall{"readv", kPlainTransfer,
                [](int fd, void* data, std::size_t size, int) -> long {
                  const iovec piece = part(data, size);
                  return ::readv(fd, &piece, 1);
                }},
    ReceiveCall{"preadv2", kPlainTransfer,
                [](int fd, void* data, std::size_t size, int) -> long {
                  const iovec piece = part(data, size);
                  return ::preadv2(fd, &piece, 1, -1, 0);
                }},
    ReceiveCall{"recv", kSocketTransfer,
                [](int fd, void* data, std::size_t size, int flags) -> long {
                  return ::recv(fd, data, size, flags);
                }},
    ReceiveCall{"recvfrom", kSocketTransfer,
                [](int fd, void* data, std::size_t size, int flags) -> long {
                  return ::recvfrom(fd, data, size, flags, nullptr, nullptr);
                }},
    ReceiveCall{"recvmsg", kSocketTransfer,
                [](int fd, void* data, std::size_t size, int flags) -> long {
                  iovec piece = part(data, size);
                  msghdr message = message_of(piece);
                  return ::recvmsg(fd, &message, flags);
                }},
    ReceiveCall{"recvmmsg", kSocketTransfer, &receive_many},
    ReceiveCall{"splice", kCancellable, &receive_into_pipe},
};

template <typename AnySocket>
std::string read_in_turns(const AnySocket& socket, std::size_t size) {
  std::string data;
  while (data.size() < size) {
    const Received got = socket.receive(size - data.size());
    if (got.data.empty()) break;
    data += got.data;
  }
  return data;
}

}  // namespace

std::span<const SendCall> send_calls() { return kSendCalls; }
std::span<const ReceiveCall> receive_calls() { return kReceiveCalls; }

std::string pattern(std::size_t size) {
  constexpr std::size_t kPeriod = 251;  // a prime: no page, packet or buffer is a multiple of it
  std::string data(size, '\0');
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<char>((i + i / kPeriod) % kPeriod);
  return data;
}

std::string read_exactly(const Socket& socket, std::size_t size) {
  return read_in_turns(socket, size);
}
std::string read_exactly(const RemoteSocket& socket, std::size_t size) {
  return read_in_turns(socket, size);
}

std::size_t fill(const Socket& socket) {
  const std::string block(64 * 1024, 'f');
  std::size_t total = 0;
  const auto some_fits = [&] {
    const Outcome sent = socket.send(block, MSG_DONTWAIT | MSG_NOSIGNAL);
    total += sent.ok() ? static_cast<std::size_t>(sent.value) : 0;
    return sent.ok();
  };
  do {
    while (some_fits()) continue;
  } while (socket.poll(kQuiet, POLLOUT) != 0 || some_fits());
  return total;
}

HalfMapped::HalfMapped()
    : pages_(static_cast<char*>(::mmap(nullptr, 2 * page_size(), PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
  if (pages_ == MAP_FAILED || ::mprotect(bad(), page_size(), PROT_NONE) != 0) std::abort();
}

HalfMapped::~HalfMapped() { ::munmap(pages_, 2 * page_size()); }

std::size_t HalfMapped::page_size() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace vmbus::cases
