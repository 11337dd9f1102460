/* interrupted: a receive that sleeps, and what ends it.
 *
 *   interrupted FAMILY HOW first    a program of one thread does HOW, and sleeps; a child of it sends SIGUSR1
 *   interrupted FAMILY HOW asleep   another thread does HOW once the first one sleeps, and sends SIGUSR1
 *
 * FAMILY  unix, or vsock: a connection within the program. Two receives have had to wait before.
 * HOW     a handler:  plain, restart, resethand (sigaction and its flags), bsd, sysv, sigset (other calls),
 *                     gone (plain; is no handler any more once it has run), two (restart; SIGUSR2's is plain)
 *         a change, and no signal:  setfl (O_NONBLOCK), limit (SO_RCVTIMEO of 50 ms)
 * Then, when the handler has run, or 200 ms after a change, a byte comes. Prints what the receive gave: "none" (the
 * byte), or the error's name.
 */
#define _GNU_SOURCE /* strerrorname_np() */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/vsock_program.h"

extern __sighandler_t __sysv_signal(int number, __sighandler_t handler);

static const char* g_how;
static int g_ends[2];
static pid_t g_sleeper;
static struct {
  atomic_bool handled;
  atomic_int receives; /* begun */
} * g_seen;            /* shared with the child */

static void handle(int number) {
  if (strcmp(g_how, "gone") == 0) signal(number, SIG_IGN);
  atomic_store(&g_seen->handled, true);
}

static void act(int number, int flags) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
  if (sigaction(number, &action, NULL) != 0) give_up("sigaction");
}

static bool is(const char* how) { return strcmp(g_how, how) == 0; }

static bool is_change(void) { return is("setfl") || is("limit"); }

static void do_it(void) {
  const struct timeval limit = {0, 50000};
  if (is("plain") || is("gone")) act(SIGUSR1, 0);
  if (is("restart") || is("two")) act(SIGUSR1, SA_RESTART);
  if (is("two")) act(SIGUSR2, 0);
  if (is("resethand")) act(SIGUSR1, (int)SA_RESETHAND);
  if (is("bsd")) signal(SIGUSR1, handle);
  if (is("sysv")) __sysv_signal(SIGUSR1, handle);
  if (is("sigset")) sigset(SIGUSR1, handle);
  if (is("setfl") && fcntl(g_ends[0], F_SETFL, O_RDWR | O_NONBLOCK) != 0) give_up("fcntl");
  if (is("limit") && setsockopt(g_ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
    give_up("setsockopt");
}

static void connect_ends(const char* family) {
  if (strcmp(family, "unix") == 0) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, g_ends) != 0) give_up("socketpair");
    return;
  }
  const struct sockaddr_vm address = address_of(VMADDR_CID_LOCAL, "7000");
  const int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
  g_ends[1] = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr*)&address, sizeof address) != 0 ||
      listen(listener, 1) != 0 ||
      connect(g_ends[1], (struct sockaddr*)&address, sizeof address) != 0)
    give_up("connect");
  g_ends[0] = accept(listener, NULL, NULL);
  if (g_ends[0] < 0) give_up("accept");
}

/* In its `nth` receive: in the kernel's, or in a futex call. */
static void wait_until_asleep(int nth) {
  char path[64];
  while (atomic_load(&g_seen->receives) < nth) sched_yield();
  snprintf(path, sizeof path, "/proc/%d/syscall", g_sleeper);
  for (int call = -1; call != 45 && call != 202 && call != 449;) {
    FILE* file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%d", &call) != 1) call = -1; /* it runs */
    if (file != NULL) fclose(file);
  }
}

static void send_byte(void) {
  if (send(g_ends[1], "x", 1, 0) != 1) give_up("send");
}

static ssize_t receive(void) {
  char byte;
  atomic_fetch_add(&g_seen->receives, 1);
  return recv(g_ends[0], &byte, 1, 0);
}

/* Longer than any of our sleeps goes without asking the kernel: the other end hears nothing for 200 ms. */
static void let_time_pass(void) {
  const struct timeval limit = {0, 200000};
  char byte;
  if (setsockopt(g_ends[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
    give_up("setsockopt");
  if (recv(g_ends[1], &byte, 1, 0) != -1 || errno != EAGAIN) give_up("recv of nothing");
}

/* The other thread or process. */
static void* disturb(void* does_it) {
  wait_until_asleep(1);
  send_byte();
  wait_until_asleep(2);
  send_byte();
  wait_until_asleep(3);
  if (does_it != NULL) do_it();
  if (is_change()) {
    let_time_pass();
  } else {
    kill(g_sleeper, SIGUSR1);
    while (!atomic_load(&g_seen->handled)) sched_yield();
  }
  send_byte();
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: interrupted unix|vsock HOW first|asleep\n");
    return 2;
  }
  g_how = argv[2];
  g_sleeper = getpid();
  g_seen = mmap(NULL, sizeof *g_seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (g_seen == MAP_FAILED) give_up("mmap");
  connect_ends(argv[1]);
  pthread_t thread;
  const bool first = strcmp(argv[3], "first") == 0;
  if (first) {
    const pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) {
      disturb(NULL);
      _exit(0);
    }
  } else {
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL); /* for the thread: the sleeper is to get it */
    if (pthread_create(&thread, NULL, disturb, &thread) != 0) give_up("pthread_create");
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
  }
  if (receive() != 1 || receive() != 1) give_up("recv");
  if (first) do_it();
  printf("%s\n", receive() == 1 ? "none" : strerrorname_np(errno));
  if (first) {
    wait(NULL);
  } else {
    pthread_join(thread, NULL);
  }
  return 0;
}
