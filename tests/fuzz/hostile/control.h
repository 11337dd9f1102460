// A control connection of the attacker's own: just enough of control.proto to get at a guest's memory, and
// to ring. Encoded by hand, so that the program needs no library that a sanitizer is in.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_CONTROL_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_CONTROL_H_

#include <cstddef>
#include <span>

#include "emu/protocol/endpoint_table.h"

namespace vmbus::hostile {

class Control {
 public:
  // To the bus of VMBUS_SOCKET. Ends the program where there is none.
  Control();

  // The table of endpoints, which Welcome brought. Read-only.
  const proto::Endpoint* table() const { return table_; }
  // The memory of `carrier`'s rings, as a descriptor; less than 0: it has none.
  int request_memory(int carrier) const;
  // As often as the connection takes it at once; how often that was.
  int ring(int times) const;

 private:
  void send(std::span<const unsigned char> request, int carrier) const;
  // The descriptor that the reply carries, or -1.
  int receive() const;

  int socket_;
  const proto::Endpoint* table_;
};

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_CONTROL_H_
