// real: the kernel's own calls, made with our own instruction.
//
// Never through dlsym (interpose_stdio.cc makes the one exception): looking libc's functions up may
// allocate, a preloaded allocator may call us back, and these work before our constructor has run.
// Results are raw: what the kernel said, -errno for an error; `answer` turns one into libc's
// convention at the very end of a wrapper.
//
// Cancellation  `blocking` is a cancellation point, as its libc namesake is. Nothing may be held
//               across it: without exceptions, cancelling a thread skips destructors.
#ifndef VMBUS_SHIM_REAL_H_
#define VMBUS_SHIM_REAL_H_

#include <errno.h>
#include <sys/syscall.h>

#include <cstdint>
#include <type_traits>

#include "ringbuf/schedule_point.h"

namespace vmbus::shim::real {

#if defined(__x86_64__)
inline long invoke(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long invoke(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
               : "memory");
  return x0;
}
#else
#error "the shim knows the system call instructions of x86-64 and aarch64"
#endif

template <typename T>
long word(T value) {
  if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<long>(value);
  } else {
    static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
    return static_cast<long>(value);
  }
}

template <typename... Arguments>
long call(long number, Arguments... arguments) {
  static_assert(sizeof...(arguments) <= 6);
  const long words[6] = {word(arguments)...};
  if (long result = 0; ring::schedule_call(number, words, &result)) return result;
  return invoke(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

// Makes cancellation asynchronous; returns what to hand back to end_cancellation_point(). Does
// nothing (-1) while the process has one thread, which saves two calls into libc.
int begin_cancellation_point();
void end_cancellation_point(int previous);
// A call that does not enter the kernel is one all the same. Holds nothing.
void cancellation_point();

template <typename... Arguments>
long blocking(long number, Arguments... arguments) {
  const int previous = begin_cancellation_point();
  const long result = call(number, arguments...);
  end_cancellation_point(previous);
  return result;
}

// libc's convention: -1 with errno, or the result.
inline long answer(long result) {
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

inline int answer_int(long result) { return static_cast<int>(answer(result)); }

// Calls that one of the two architectures lacks, or that have a shape worth naming.
long dup2(int fd, int target);
bool has_one_thread();  // false where libc cannot tell
long socket_cookie(int fd, unsigned long long* cookie);
bool is_socket(int fd, unsigned long long cookie);  // the one with that cookie, and no other file
bool is_nonblocking(int fd);
bool is_queue_empty(int fd);  // SIOCOUTQ: the peer has read all, or is gone; false where unknown
bool has_hung_up(int fd);     // POLLHUP
std::int64_t now_ns();        // CLOCK_MONOTONIC

// A counter that runs at some constant speed: cheap, for what need not be exact.
#if defined(__x86_64__)
inline std::uint64_t ticks() { return __builtin_ia32_rdtsc(); }
inline constexpr std::uint64_t kTicksOfALook = std::uint64_t{1} << 27;  // 30 to 70 ms
#else
inline std::uint64_t ticks() {
  std::uint64_t value;
  asm volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
}
inline constexpr std::uint64_t kTicksOfALook = std::uint64_t{1} << 21;  // 2 to 80 ms
#endif

}  // namespace vmbus::shim::real

#endif  // VMBUS_SHIM_REAL_H_
