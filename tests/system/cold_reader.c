/* cold_reader: a program whose waits no hook sees: a peer that is fed (docs/lanes.md).
 *
 *   cold_reader PORT HOW     listens at PORT, says "listening", takes one connection, and copies what comes to
 *                            standard output until its end; says "end", or "failed ERRNO", on standard error
 * Whenever it has read something and is about to wait, it sends a byte back.
 *
 * HOW  lt, et   waits in epoll, level- or edge-triggered, and reads by recv(), which is hooked
 *      raw      the same as lt, but nothing of its reading is hooked
 *      echo     as lt; sends back what comes instead
 *      hup      as echo, until it has sent "wait" back: then it reads no more, and waits for HUP alone; says
 *               "waits", and "hup" when it comes
 *      threads  as raw, in two threads: prints how many bytes came, and their sum
 *      sip      as hup; then reads nothing until a line comes on standard input, and goes on as raw
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/unhooked.h"
#include "tests/system/vsock_program.h"

static int accept_one(const char* port) {
  const struct sockaddr_vm address = address_of(VMADDR_CID_ANY, port);
  int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr*)&address, sizeof address) != 0 ||
      listen(listener, 1) != 0) {
    give_up("listen");
  }
  fprintf(stderr, "listening\n");
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) give_up("accept");
  close(listener);
  return fd;
}

static int watch(int fd, unsigned events) {
  int epoll = epoll_create1(0);
  struct epoll_event event = {events, {0}};
  if (epoll < 0 || unhooked(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, (long)&event, 0) != 0)
    give_up("epoll");
  return epoll;
}

static void wait_for_event(int epoll) {
  struct epoll_event event;
  while (unhooked(SYS_epoll_pwait, epoll, (long)&event, 1, -1, 0) < 0) {
    if (errno != EINTR) give_up("epoll_wait");
  }
}

static void put(int fd, const char* bytes, long count) {
  while (count > 0) {
    long written = write(fd, bytes, (size_t)count);
    if (written < 0) give_up("write");
    bytes += written;
    count -= written;
  }
}

static long receive(int fd, char* bytes, long room, int is_hooked) {
  if (is_hooked) return recv(fd, bytes, (size_t)room, MSG_DONTWAIT);
  return unhooked(SYS_recvfrom, fd, (long)bytes, room, MSG_DONTWAIT, 0);
}

/* It may be gone. */
static void acknowledge(int fd) {
  if (send(fd, ".", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
    give_up("send");
}

static void copy(int fd, int to, unsigned events, int is_hooked) {
  int has_read = 0;
  static char bytes[70000];
  int epoll = watch(fd, events);
  for (;;) {
    long count = receive(fd, bytes, sizeof bytes, is_hooked);
    if (count > 0) {
      put(to, bytes, count);
      has_read = to != fd;
      if (to == fd && count == 4 && memcmp(bytes, "wait", 4) == 0) return;
    } else if (count == 0) {
      fprintf(stderr, "end\n");
      return;
    } else if (errno == EAGAIN) {
      if (has_read) acknowledge(fd);
      has_read = 0;
      wait_for_event(epoll);
    } else {
      fprintf(stderr, "failed %d\n", errno);
      return;
    }
  }
}

static int shared_fd;
static unsigned long long counts[2], sums[2];

static void* sum_up(void* mine) {
  static __thread unsigned char bytes[5000];
  long self = (long)mine;
  int has_read = 0;
  int epoll = watch(shared_fd, EPOLLIN);
  for (;;) {
    long count = receive(shared_fd, (char*)bytes, sizeof bytes, 0);
    if (count == 0) return NULL;
    if (count < 0 && errno != EAGAIN) give_up("recv");
    if (count < 0 && has_read) acknowledge(shared_fd);
    if (count < 0) wait_for_event(epoll);
    has_read = count > 0;
    for (long i = 0; i < count; i++) sums[self] += bytes[i];
    counts[self] += count > 0 ? (unsigned long long)count : 0;
  }
}

int main(int argc, char** argv) {
  if (argc != 3) give_up("usage");
  const char* how = argv[2];
  int fd = accept_one(argv[1]);
  if (strcmp(how, "hup") == 0) {
    copy(fd, fd, EPOLLIN, 1);
    struct pollfd asked = {fd, 0, 0};
    fprintf(stderr, "waits\n");
    while (unhooked(SYS_poll, (long)&asked, 1, -1, 0, 0) < 1) continue;
    fprintf(stderr, "hup\n");
  } else if (strcmp(how, "threads") == 0) {
    shared_fd = fd;
    pthread_t other;
    if (pthread_create(&other, NULL, sum_up, (void*)1L) != 0) give_up("pthread_create");
    sum_up((void*)0L);
    pthread_join(other, NULL);
    printf("%llu %llu\n", counts[0] + counts[1], sums[0] + sums[1]);
  } else {
    int sips = strcmp(how, "sip") == 0;
    if (sips) copy(fd, fd, EPOLLIN, 1);
    char line[8];
    if (sips && read(STDIN_FILENO, line, sizeof line) < 0) give_up("read");
    copy(fd, strcmp(how, "echo") == 0 ? fd : STDOUT_FILENO,
         strcmp(how, "et") == 0 ? EPOLLIN | EPOLLET : EPOLLIN, strcmp(how, "raw") != 0 && !sips);
  }
  return 0;
}
