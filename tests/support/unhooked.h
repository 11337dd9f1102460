/* unhooked(): a system call that no preloaded library sees, not even one that hooks libc's syscall(). C and C++. */
#ifndef VMBUS_TESTS_SUPPORT_UNHOOKED_H_
#define VMBUS_TESTS_SUPPORT_UNHOOKED_H_

#include <errno.h>
#include <unistd.h>

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif

/* As syscall(): -1 and errno. Elsewhere than on x86-64 it is syscall(), so there a hook may answer. */
static inline long unhooked(long number, long a, long b, long c, long d, long e) {
#ifdef __x86_64__
  long result = number;
  __asm__ volatile("movq %[d], %%r10\n\tmovq %[e], %%r8\n\tsyscall"
                   : "+a"(result)
                   : "D"(a), "S"(b), "d"(c), [d] "r"(d), [e] "r"(e)
                   : "rcx", "r11", "r10", "r8", "memory");
  if (result >= 0) return result;
  errno = -(int)result;
  return -1;
#else
  return syscall(number, a, b, c, d, e);
#endif
}

/* A pointer as an argument of it. */
static inline long pointer_argument(const void* pointer) { return (long)pointer; }

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

#endif /* VMBUS_TESTS_SUPPORT_UNHOOKED_H_ */
