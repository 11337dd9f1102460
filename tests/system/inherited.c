// inherited CHANGE: what a program still knows of a socket it inherited, after a CHANGE in its world.
//
// Listens on port 5555, puts the listener on descriptor 3 and executes itself; the new image makes the
// change before it calls anything that the shim hooks, then prints "FAMILY PORT ERRNO": its name by
// getsockname() and what accept() without waiting says.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kInherited = 3, kPort = 5555 };

static void limit(int resource, rlim_t value) {
  const struct rlimit both = {value, value};
  if (setrlimit(resource, &both) != 0) exit(3);
}

// Where the test runs as nobody in particular, a user namespace of its own lets it change its root.
static void change_root(void) {
  if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0) exit(77);
  if (chroot("/proc") != 0 || chdir("/") != 0) exit(77);
}

// A process that nobody has waited for yet is dead too. Only stdio: no call that the shim hooks.
static int is_alive(int pid) {
  char path[32];
  char state = 'Z';
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE* file = fopen(path, "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 'Z';
  fclose(file);
  return state != 'Z';
}

static void change(const char* what) {
  if (strcmp(what, "nothing") == 0) return;
  if (strcmp(what, "root") == 0) return change_root();
  if (strcmp(what, "environment") == 0) {
    clearenv();
  } else if (strcmp(what, "table") == 0) {
    while (open("/dev/null", O_RDONLY) >= 0) {
    }
  } else if (strcmp(what, "limit") == 0) {
    limit(RLIMIT_NOFILE, 0);
  } else if (strcmp(what, "memory") == 0) {
    limit(RLIMIT_AS, 1 << 24);
  } else if (strncmp(what, "end ", 4) == 0) {  // of the daemon, whose process id follows
    kill(atoi(what + 4), SIGKILL);
    while (is_alive(atoi(what + 4))) sched_yield();
  } else {
    exit(2);
  }
}

static int listen_and_execute(char** argv) {
  const struct sockaddr_vm name = {
      .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = kPort};
  const int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (const struct sockaddr*)&name, sizeof name) != 0 || listen(fd, 5) != 0) {
    perror("inherited");
    return 1;
  }
  if (fd != kInherited) dup2(fd, kInherited);
  fcntl(kInherited, F_SETFD, 0);
  char* const again[] = {argv[0], argv[1], "executed", NULL};
  execv("/proc/self/exe", again);
  return 1;
}

int main(int argc, char** argv) {
  if (argc == 2) return listen_and_execute(argv);
  change(argv[1]);
  struct sockaddr_vm name = {0};
  socklen_t length = sizeof name;
  const int named = getsockname(kInherited, (struct sockaddr*)&name, &length);
  const int named_errno = errno;
  fcntl(kInherited, F_SETFL, O_NONBLOCK);
  int accepted = accept(kInherited, NULL, NULL);
  // What a dead daemon held open goes a moment after it.
  const int ends = strncmp(argv[1], "end ", 4) == 0;
  while (ends && accepted < 0 && errno == EAGAIN) accepted = accept(kInherited, NULL, NULL);
  printf("%d %u %s\n", named == 0 ? name.svm_family : -named_errno, name.svm_port,
         accepted < 0 ? strerrorname_np(errno) : "accepted");
  return 0;
}
