// What a thread, of this process or another one, does, as proc(5) shows it: what a test waits for before it wakes one.
#ifndef VMBUS_TESTS_SUPPORT_THREAD_STATE_H_
#define VMBUS_TESTS_SUPPORT_THREAD_STATE_H_

#include <sys/types.h>

#include <fstream>
#include <string>

namespace vmbus {

// The state letter of proc(5)'s stat: S while it sleeps and can be interrupted; ?: there is no such thread.
inline char state_of_thread(pid_t tid) {
  std::ifstream file("/proc/" + std::to_string(tid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= text.size() ? '?' : text[name_end + 2];
}

// Whether a signal sent to the thread waits to be delivered. A handler that a sanitizer puts off counts as
// called: the kernel has delivered the signal.
inline bool has_pending_signal(pid_t tid) {
  std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("SigPnd:"))
      return line.find_first_of("123456789abcdef", 7) != std::string::npos;
  }
  return false;
}

}  // namespace vmbus

#endif  // VMBUS_TESTS_SUPPORT_THREAD_STATE_H_
