// novsock CMD...: run CMD so that it cannot create a real AF_VSOCK socket.
//
// Installs a seccomp filter (no privileges needed): socket(AF_VSOCK, ...) fails with EAFNOSUPPORT,
// and the GET_LOCAL_CID ioctl with ENOTTY. Everything else passes. Children inherit it. A program
// under the shim never makes such a socket, so the whole test suite can, and should, run under this
// guard: a missing preload then shows as an error and never as a connection to a machine's real
// device.
//
// Build: cc -O2 -o novsock novsock.c      x86-64 and aarch64, Linux >= 3.17
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SKIP_UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (count))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))
enum { kGetLocalCid = 0x7b9 };

int main(int argc, char** argv) {
  struct sock_filter filter[] = {
      LOAD(nr),
      SKIP_UNLESS(__NR_socket, 3),
      LOAD(args[0]),
      SKIP_UNLESS(AF_VSOCK, 5),
      ANSWER(SECCOMP_RET_ERRNO | EAFNOSUPPORT),
      SKIP_UNLESS(__NR_ioctl, 3),
      LOAD(args[1]),
      SKIP_UNLESS(kGetLocalCid, 1),
      ANSWER(SECCOMP_RET_ERRNO | ENOTTY),
      ANSWER(SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (argc < 2) {
    fprintf(stderr, "usage: novsock COMMAND [ARGUMENT...]\n");
    return 2;
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("novsock: seccomp");
    return 3;
  }
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 127;
}
