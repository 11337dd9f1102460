// deny_io_uring EPERM|ENOSYS CMD...: run CMD where io_uring_setup() fails as containers make it
// fail.
//
// Docker answers EPERM and podman ENOSYS by default, and the daemon's event loop must then choose
// epoll. Needs no privileges; children inherit the filter, so a whole ctest run can go under it.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int deny(int error) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char** argv) {
  const int is_eperm = argc > 2 && strcmp(argv[1], "EPERM") == 0;
  const int is_enosys = argc > 2 && strcmp(argv[1], "ENOSYS") == 0;
  if (!is_eperm && !is_enosys) {
    fprintf(stderr, "usage: deny_io_uring EPERM|ENOSYS COMMAND [ARGUMENT...]\n");
    return 2;
  }
  if (deny(is_eperm ? EPERM : ENOSYS) != 0) {
    perror("deny_io_uring: seccomp");
    return 3;
  }
  execvp(argv[2], argv + 2);
  perror(argv[2]);
  return 127;
}
