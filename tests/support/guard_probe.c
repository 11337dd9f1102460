// guard_probe vsock|io_uring ERRNO: exit 0 when that call is refused with exactly that error.
//
// Runs under novsock or deny_io_uring and shows that the guard holds. Without a guard it refuses to
// try, since a socket made then would be a real one.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int error_named(const char* name) {
  if (strcmp(name, "EPERM") == 0) return EPERM;
  if (strcmp(name, "ENOSYS") == 0) return ENOSYS;
  if (strcmp(name, "EAFNOSUPPORT") == 0) return EAFNOSUPPORT;
  return 0;
}

static long call_named(const char* name) {
  if (strcmp(name, "vsock") == 0) return socket(AF_VSOCK, SOCK_STREAM, 0);
  return syscall(__NR_io_uring_setup, 1, NULL);
}

int main(int argc, char** argv) {
  if (argc != 3 || error_named(argv[2]) == 0) {
    fprintf(stderr, "usage: guard_probe vsock|io_uring EPERM|ENOSYS|EAFNOSUPPORT\n");
    return 2;
  }
  if (prctl(PR_GET_SECCOMP) != 2) {
    fprintf(stderr, "guard_probe: no guard around me\n");
    return 3;
  }
  errno = 0;
  const long result = call_named(argv[1]);
  if (result == -1 && errno == error_named(argv[2])) return 0;
  fprintf(stderr, "guard_probe: %s gave %ld, %s\n", argv[1], result, strerror(errno));
  return 1;
}
