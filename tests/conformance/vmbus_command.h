// The `vmbus` command, as a case runs it on the bus that it is on.
#ifndef VMBUS_TESTS_CONFORMANCE_VMBUS_COMMAND_H_
#define VMBUS_TESTS_CONFORMANCE_VMBUS_COMMAND_H_

#include <string>
#include <vector>

namespace vmbus::cases {

// Its exit status; -1: it could not be run.
int vmbus(std::vector<std::string> arguments);

// The guest that the setup's guest side is.
const char* guest_name();

// A pause of that guest: from here to resume(), or to the end of the scope.
class Pause {
 public:
  Pause();
  ~Pause() { resume(); }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
  void resume();

 private:
  bool paused_ = false;
};

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_VMBUS_COMMAND_H_
