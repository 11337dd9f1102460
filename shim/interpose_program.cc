// Calls that start another program, which may write into the sockets it inherits without the shim.
//
// exec* that search PATH or take a list come to libc's own execve, which no hook sees; the daemon notices
// their writers when bytes arrive that nobody counted. libc's posix_spawn, system and popen have no other
// names, so they are looked up, by the program's first call of each.
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim/epoll_sets.h"
#include "shim/interpose.h"
#include "shim/raw_writers.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

namespace {

// Threads that race find the same.
template <typename Function>
Function* next(const char* name, Function*& found) {
  if (found == nullptr) found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
  return found;
}

using Spawn = int(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
                  char* const*, char* const*);

constinit Spawn* g_spawn = nullptr;
constinit Spawn* g_spawnp = nullptr;
using System = int(const char*);
using Popen = FILE*(const char*, const char*);
constinit System* g_system = nullptr;
constinit Popen* g_popen = nullptr;

// Somebody else will have this process's descriptors.
void lend_to_a_program() {
  expect_raw_writers();
  share_inherited_epolls();
}

}  // namespace

int execve(const char* path, char* const* arguments, char* const* variables) noexcept {
  lend_to_a_program();
  return real::answer_int(real::call(SYS_execve, path, arguments, variables));
}

int execv(const char* path, char* const* arguments) noexcept {
  return execve(path, arguments, environ);
}

int execveat(int directory, const char* path, char* const* arguments, char* const* variables,
             int flags) noexcept {
  lend_to_a_program();
  return real::answer_int(real::call(SYS_execveat, directory, path, arguments, variables, flags));
}

int fexecve(int fd, char* const* arguments, char* const* variables) noexcept {
  if (fd < 0) return real::answer_int(-EINVAL);  // not the folder that -100 would name
  return execveat(fd, "", arguments, variables, AT_EMPTY_PATH);
}

int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const* arguments,
                char* const* variables) {
  lend_to_a_program();
  return next("posix_spawn", g_spawn)(pid, path, actions, attributes, arguments, variables);
}

int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                 const posix_spawnattr_t* attributes, char* const* arguments,
                 char* const* variables) {
  lend_to_a_program();
  return next("posix_spawnp", g_spawnp)(pid, file, actions, attributes, arguments, variables);
}

int system(const char* command) {
  lend_to_a_program();
  return next("system", g_system)(command);
}

FILE* popen(const char* command, const char* mode) {
  lend_to_a_program();
  return next("popen", g_popen)(command, mode);
}
