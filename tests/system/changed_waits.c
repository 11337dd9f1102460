/* changed_waits: a program that sleeps in recv(), and then changes how its receives wait.
 *
 *   changed_waits PORT HOW    dials port PORT of CID 2, where each message is sent back, and sleeps in at least one
 *                             receive; then makes the change HOW and receives twice, while nothing comes
 * For each of both it prints the error's name, and "waited" or "did not wait": has the thread given up its CPU?
 *
 * HOW  setfl, fionbio   O_NONBLOCK by fcntl() or ioctl()
 *      limit            SO_RCVTIMEO of 10 ms
 *      and each with "unhooked-" before it, by a system call that no hook sees
 */
#define _GNU_SOURCE /* strerrorname_np() */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/support/unhooked.h"
#include "tests/system/vsock_program.h"

static long waits(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) give_up("getrusage");
  return usage.ru_nvcsw;
}

static int dial(const char* port) {
  const struct sockaddr_vm address = address_of(VMADDR_CID_HOST, port);
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr*)&address, sizeof address) != 0) give_up("connect");
  return fd;
}

static void sleep_in_receives(int fd) {
  char byte = 0;
  for (long slept = 0; slept < 8;) {
    if (send(fd, &byte, 1, 0) != 1) give_up("send");
    const long before = waits();
    if (recv(fd, &byte, 1, 0) != 1) give_up("recv");
    slept += waits() > before;
  }
}

static int change(int fd, const char* how) {
  const int nonblocking = O_RDWR | O_NONBLOCK;
  int on = 1;
  const struct timeval limit = {0, 10000};
  if (strcmp(how, "setfl") == 0) return fcntl(fd, F_SETFL, nonblocking);
  if (strcmp(how, "fionbio") == 0) return ioctl(fd, FIONBIO, &on);
  if (strcmp(how, "limit") == 0)
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (strcmp(how, "unhooked-setfl") == 0)
    return (int)unhooked(SYS_fcntl, fd, F_SETFL, nonblocking, 0, 0);
  if (strcmp(how, "unhooked-fionbio") == 0)
    return (int)unhooked(SYS_ioctl, fd, FIONBIO, (long)&on, 0, 0);
  if (strcmp(how, "unhooked-limit") == 0) {
    return (int)unhooked(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&limit, sizeof limit);
  }
  fprintf(stderr, "unknown change: %s\n", how);
  exit(2);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: changed_waits PORT HOW\n");
    return 2;
  }
  int fd = dial(argv[1]);
  sleep_in_receives(fd);
  if (change(fd, argv[2]) != 0) give_up(argv[2]);
  for (int i = 0; i < 2; ++i) {
    char byte;
    const long before = waits();
    const ssize_t count = recv(fd, &byte, 1, 0);
    const char* error = count >= 0 ? "none" : strerrorname_np(errno);
    const long after = waits();
    printf("%s, %s\n", error, after > before ? "waited" : "did not wait");
  }
  return 0;
}
