// VMBUS_FAULT(name): a place where a test may kill the process, in a build with the option VMBUS_FAULT_POINTS. Nothing
// at all in any other build.
//
// The variable VMBUS_FAULT says which one; it is asked at each pass, so a program may set it for itself:
//   NAME:N      SIGKILL at the Nth pass of that point
//   note:FILE   appends to FILE the name of each point, once, when it is first passed
// Used by     tests/fault/fault_test.py, which finds the points of a build by passing them.
#ifndef VMBUS_RINGBUF_FAULT_POINT_H_
#define VMBUS_RINGBUF_FAULT_POINT_H_

#ifdef VMBUS_FAULT_POINTS

#include <cstdint>

namespace vmbus::ring {

enum class FaultPoint : std::uint8_t {
#define VMBUS_POINT(name) name,
#include "ringbuf/fault_points.inc"
#undef VMBUS_POINT
};

void pass(FaultPoint point);

}  // namespace vmbus::ring

#define VMBUS_FAULT(name) ::vmbus::ring::pass(::vmbus::ring::FaultPoint::name)
#else
#define VMBUS_FAULT(name) static_cast<void>(0)
#endif

#endif  // VMBUS_RINGBUF_FAULT_POINT_H_
