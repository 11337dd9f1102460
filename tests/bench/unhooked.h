// unhooked(): a system call that no preloaded library sees, not even one that hooks libc's syscall().
#ifndef VMBUS_TESTS_BENCH_UNHOOKED_H_
#define VMBUS_TESTS_BENCH_UNHOOKED_H_

#include <unistd.h>

#include <cerrno>

namespace vmbus::bench {

// As syscall(): -1 and errno. Elsewhere than on x86-64 it is syscall(), so there a hook may answer.
inline long unhooked(long number, long a, long b = 0, long c = 0, long d = 0, long e = 0) {
#ifdef __x86_64__
  long result = number;
  asm volatile("movq %[d], %%r10\n\tmovq %[e], %%r8\n\tsyscall"
               : "+a"(result)
               : "D"(a), "S"(b), "d"(c), [d] "r"(d), [e] "r"(e)
               : "rcx", "r11", "r10", "r8", "memory");
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
#else
  return ::syscall(number, a, b, c, d, e);
#endif
}

// A pointer as an argument of the above.
inline long argument(const void* pointer) { return reinterpret_cast<long>(pointer); }

}  // namespace vmbus::bench

#endif  // VMBUS_TESTS_BENCH_UNHOOKED_H_
