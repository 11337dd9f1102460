// Uses the installed protocol library and a header of ringbuf; prints what package_test.sh looks
// for.
#include <cstdio>

#include "emu/protocol/address.h"
#include "emu/protocol/guid.h"
#include "ringbuf/layout.h"

int main() {
  static_assert(sizeof(vmbus::ring::ControlPage) == vmbus::ring::kPageBytes);
  const vmbus::proto::Port port{1024};
  const vmbus::proto::GuidText service = to_text(vmbus::proto::service_id_of(port));
  std::printf("port 1024 is %s\n", service.c_str());
}
