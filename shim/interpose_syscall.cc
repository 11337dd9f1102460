// syscall(2): the same calls by number, for programs that avoid their libc names.
//
// The call must not become a cancellation point for a foreign descriptor, so the data calls reach a
// wrapper only when the descriptor is ours.
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <stdarg.h>
#include <unistd.h>

#include "shim/device.h"
#include "shim/epoll_sets.h"
#include "shim/interpose.h"
#include "shim/sandbox.h"
#include "shim/signals.h"
#include "shim/user_memory.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): the wrappers live in libc's
                              // namespace

namespace {

constexpr long kNotTaken = -6000;  // outside of every result

struct Words {
  long word[6];

  int integer(int index) const { return static_cast<int>(word[index]); }
  unsigned number(int index) const { return static_cast<unsigned>(word[index]); }
  std::size_t size(int index) const { return static_cast<std::size_t>(word[index]); }
  template <typename T>
  T* pointer(int index) const {
    return reinterpret_cast<T*>(word[index]);
  }
};

// openat2(2), which has no name in libc.
int open_as(int directory, const char* path, const open_how* program_how, std::size_t bytes) {
  if (!is_device_path(directory, path)) {
    return foreign_descriptor(real::call(SYS_openat2, directory, path, program_how, bytes));
  }
  open_how how{};
  if (bytes < sizeof how) return real::answer_int(-EINVAL);
  if (copy_from_program(&how, program_how, sizeof how) != 0) return real::answer_int(-EFAULT);
  return real::answer_int(open_device(static_cast<int>(how.flags)));
}

// Calls that make or end descriptors, and paths: taken for every descriptor.
long dispatch_always(long number, const Words& w) {
  switch (number) {
    case SYS_socket:
      return socket(w.integer(0), w.integer(1), w.integer(2));
    case SYS_socketpair:
      return socketpair(w.integer(0), w.integer(1), w.integer(2), w.pointer<int>(3));
    case SYS_close:
      return close(w.integer(0));
    case SYS_close_range:
      return close_range(w.number(0), w.number(1), w.integer(2));
    case SYS_dup:
      return dup(w.integer(0));
    case SYS_dup3:
      return dup3(w.integer(0), w.integer(1), w.integer(2));
#ifdef SYS_dup2
    case SYS_dup2:
      return dup2(w.integer(0), w.integer(1));
    case SYS_open:
      return open(w.pointer<const char>(0), w.integer(1), w.word[2]);
    case SYS_creat:
      return creat(w.pointer<const char>(0), w.number(1));
#endif
    case SYS_openat:
      return openat(w.integer(0), w.pointer<const char>(1), w.integer(2), w.word[3]);
    case SYS_openat2:
      return open_as(w.integer(0), w.pointer<const char>(1), w.pointer<const open_how>(2),
                     w.size(3));
    case SYS_epoll_create1:
      return epoll_create1(w.integer(0));
#ifdef SYS_epoll_create
    case SYS_epoll_create:
      return epoll_create(w.integer(0));
#endif
    case SYS_epoll_ctl:
      return epoll_ctl(w.integer(0), w.integer(1), w.integer(2), w.pointer<epoll_event>(3));
    case SYS_ioctl:
      return ioctl(w.integer(0), static_cast<unsigned long>(w.word[1]), w.word[2]);
    default:
      return kNotTaken;
  }
}

long dispatch_control(long number, const Words& w) {
  switch (number) {
    case SYS_bind:
      return bind(w.integer(0), w.pointer<const sockaddr>(1), w.number(2));
    case SYS_listen:
      return listen(w.integer(0), w.integer(1));
    case SYS_accept:
      return accept(w.integer(0), w.pointer<sockaddr>(1), w.pointer<socklen_t>(2));
    case SYS_accept4:
      return accept4(w.integer(0), w.pointer<sockaddr>(1), w.pointer<socklen_t>(2), w.integer(3));
    case SYS_connect:
      return connect(w.integer(0), w.pointer<const sockaddr>(1), w.number(2));
    case SYS_shutdown:
      return shutdown(w.integer(0), w.integer(1));
    case SYS_getsockname:
      return getsockname(w.integer(0), w.pointer<sockaddr>(1), w.pointer<socklen_t>(2));
    case SYS_getpeername:
      return getpeername(w.integer(0), w.pointer<sockaddr>(1), w.pointer<socklen_t>(2));
    case SYS_getsockopt:
      return getsockopt(w.integer(0), w.integer(1), w.integer(2), w.pointer<void>(3),
                        w.pointer<socklen_t>(4));
    case SYS_setsockopt:
      return setsockopt(w.integer(0), w.integer(1), w.integer(2), w.pointer<const void>(3),
                        w.number(4));
    case SYS_fcntl:
      return fcntl(w.integer(0), w.integer(1), w.word[2]);
    default:
      return kNotTaken;
  }
}

long dispatch_receive(long number, const Words& w) {
  switch (number) {
    case SYS_read:
      return read(w.integer(0), w.pointer<void>(1), w.size(2));
    case SYS_readv:
      return readv(w.integer(0), w.pointer<const iovec>(1), w.integer(2));
    case SYS_preadv2:
      return preadv2(w.integer(0), w.pointer<const iovec>(1), w.integer(2), w.word[3],
                     w.integer(5));
    case SYS_recvfrom:
      return recvfrom(w.integer(0), w.pointer<void>(1), w.size(2), w.integer(3),
                      w.pointer<sockaddr>(4), w.pointer<socklen_t>(5));
    case SYS_recvmsg:
      return recvmsg(w.integer(0), w.pointer<msghdr>(1), w.integer(2));
    case SYS_recvmmsg:
      return recvmmsg(w.integer(0), w.pointer<mmsghdr>(1), w.number(2), w.integer(3),
                      w.pointer<timespec>(4));
    default:
      return kNotTaken;
  }
}

long dispatch_send(long number, const Words& w) {
  switch (number) {
    case SYS_write:
      return write(w.integer(0), w.pointer<const void>(1), w.size(2));
    case SYS_writev:
      return writev(w.integer(0), w.pointer<const iovec>(1), w.integer(2));
    case SYS_pwritev2:
      return pwritev2(w.integer(0), w.pointer<const iovec>(1), w.integer(2), w.word[3],
                      w.integer(5));
    case SYS_sendto:
      return sendto(w.integer(0), w.pointer<const void>(1), w.size(2), w.integer(3),
                    w.pointer<const sockaddr>(4), w.number(5));
    case SYS_sendmsg:
      return sendmsg(w.integer(0), w.pointer<const msghdr>(1), w.integer(2));
    case SYS_sendmmsg:
      return sendmmsg(w.integer(0), w.pointer<mmsghdr>(1), w.number(2), w.integer(3));
    case SYS_sendfile:
      return sendfile(w.integer(0), w.integer(1), w.pointer<off_t>(2), w.size(3));
    default:
      return kNotTaken;
  }
}

// No handler of libc's runs.
bool is_fork(long number) {
#ifdef SYS_fork
  if (number == SYS_fork || number == SYS_vfork) return true;
#endif
  return number == SYS_clone || number == SYS_clone3;
}

long dispatch(long number, const Words& words) {
  long result = dispatch_always(number, words);
  if (result != kNotTaken || !fd_table().find(words.integer(0)).is_ours()) return result;
  result = dispatch_control(number, words);
  if (result == kNotTaken) result = dispatch_receive(number, words);
  return result != kNotTaken ? result : dispatch_send(number, words);
}

}  // namespace

long syscall(long number, ...) noexcept {
  Words words;
  va_list arguments;
  va_start(arguments, number);
  for (long& word : words.word) word = va_arg(arguments, long);
  va_end(arguments);

  const long result = dispatch(number, words);
  if (result != kNotTaken) return result;
  if (number == SYS_rt_sigaction) note_handler();
  if (is_fork(number)) share_all_epolls();
  const bool filter =
      number == SYS_seccomp || (number == SYS_prctl && words.word[0] == PR_SET_SECCOMP);
  if (filter) fd_table().settle();  // a filter may forbid to look later
  const long answer = real::invoke(number, words.word[0], words.word[1], words.word[2],
                                   words.word[3], words.word[4], words.word[5]);
  if (filter && answer == 0) note_sandbox();
  return real::answer(answer);
}
