/* fork_handlers: a library that keeps a lock of its own over fork(), as allocators and runtimes do, and a program whose
 * thread makes sockets with that lock held, while another one forks.
 *
 *   cc -shared -fPIC -DLIBRARY    the library. Its constructor runs before that of whoever is preloaded before it, so
 *                                 that one's handlers are called first, and it waits with those behind it
 *   fork_handlers FORKS           with the library preloaded
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/vsock_program.h"

#ifdef LIBRARY

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;

void library_lock(void) { pthread_mutex_lock(&g_lock); }
void library_unlock(void) { pthread_mutex_unlock(&g_lock); }

__attribute__((constructor)) static void begin(void) {
  pthread_atfork(library_lock, library_unlock, library_unlock);
}

#else

static void (*g_lock)(void);
static void (*g_unlock)(void);
static atomic_int g_made;

static void* make_sockets(void* nothing) {
  for (;;) {
    g_lock();
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (fd < 0) give_up("socket");
    close(fd);
    g_unlock();
    atomic_fetch_add(&g_made, 1);
  }
  return nothing;
}

int main(int argc, char** argv) {
  g_lock = (void (*)(void))dlsym(RTLD_DEFAULT, "library_lock");
  g_unlock = (void (*)(void))dlsym(RTLD_DEFAULT, "library_unlock");
  if (argc != 2 || g_lock == NULL || g_unlock == NULL) {
    fprintf(stderr, "usage: LD_PRELOAD=LIBRARY fork_handlers FORKS\n");
    return 2;
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, make_sockets, NULL) != 0) give_up("pthread_create");
  for (int left = atoi(argv[1]); left > 0; --left) {
    const int made = atomic_load(&g_made);
    while (atomic_load(&g_made) == made) sched_yield();
    const pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) _exit(0);
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) give_up("a child");
  }
  puts("all forked");
  fflush(stdout);
  _exit(0);
}

#endif
