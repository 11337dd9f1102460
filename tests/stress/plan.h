// Plan: what one process of a stress run is to do, as the words of its command line say: name=value.
// stress_test.py draws them; a plan says all, so the same words make the same calls.
#ifndef VMBUS_TESTS_STRESS_PLAN_H_
#define VMBUS_TESTS_STRESS_PLAN_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmbus::stress {

enum class Way : std::uint8_t { kBlocking, kPoll, kSelect, kLevel, kEdge, kUring };

// Of one end of the connections.
struct Plan {
  bool dials = false;
  std::uint32_t cid = 0;  // to dial
  std::uint32_t port = 0;
  std::uint64_t seed = 0;  // of both ends
  std::uint32_t connections = 1;
  std::uint32_t transfers = 100;  // a direction and connection
  std::uint32_t longest = 4096;   // bytes of one
  Way in = Way::kBlocking;
  Way out = Way::kBlocking;
  bool loops = false;        // one thread for both directions; else one each
  bool nonblocking = false;  // O_NONBLOCK; else MSG_DONTWAIT where a call may not wait
  bool mixes = false;        // calls that wait in between, without waiting another way first
  bool odd = false;          // peeks, MSG_WAITALL, vectors, FIONREAD
  std::uint32_t ahead = 0;   // transfers that the dialler may be ahead, the server one less; 0: any
  std::uint32_t pauses = 0;  // one in so many transfers is followed by one; 0: none
  std::uint32_t signal_ms = 0;  // a signal every so often; 0: no handler
  bool restarts = false;        // SA_RESTART
  bool may_break = false;       // the peer may be killed
  std::vector<int> cpus;        // empty: any
  std::string progress;         // a file (progress.h)

  // Ends the program where a word is none of these.
  static Plan of(std::span<const std::string_view> words);
};

}  // namespace vmbus::stress

#endif  // VMBUS_TESTS_STRESS_PLAN_H_
