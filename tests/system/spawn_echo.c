// spawn_echo fork|vfork|posix_spawn FD PROGRAM: runs PROGRAM FD in a child and returns its status.
//
// The vfork child moves the descriptor about first, as shells do between vfork and exec.
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;
enum { kMovedTo = 9 };

static pid_t start(const char* how, int fd, char* program) {
  char number[16];
  pid_t child = -1;
  if (strcmp(how, "posix_spawn") == 0) {
    snprintf(number, sizeof number, "%d", fd);
    char* words[] = {program, number, NULL};
    return posix_spawn(&child, program, NULL, NULL, words, environ) == 0 ? child : -1;
  }
  snprintf(number, sizeof number, "%d", kMovedTo);
  char* words[] = {program, number, NULL};
  child = strcmp(how, "vfork") == 0 ? vfork() : fork();
  if (child == 0) {
    if (dup2(fd, kMovedTo) != kMovedTo || close(fd) != 0) _exit(3);
    execv(program, words);
    _exit(4);
  }
  return child;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int fd = atoi(argv[2]);
  const pid_t child = start(argv[1], fd, argv[3]);
  // A vfork child shares our memory, not our descriptors: ours is still open.
  if (close(fd) != 0) return 5;
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 6;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 7;
}
