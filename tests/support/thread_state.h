// Whether a thread of this process sleeps, as proc(5) shows it: what a test waits for before it wakes one.
#ifndef VMBUS_TESTS_SUPPORT_THREAD_STATE_H_
#define VMBUS_TESTS_SUPPORT_THREAD_STATE_H_

#include <sys/types.h>

#include <fstream>
#include <string>

namespace vmbus {

// The state letter of proc(5)'s stat: S while it sleeps and can be interrupted; ?: there is no such thread.
inline char state_of_thread(pid_t tid) {
  std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= text.size() ? '?' : text[name_end + 2];
}

}  // namespace vmbus

#endif  // VMBUS_TESTS_SUPPORT_THREAD_STATE_H_
