// MessageCrossing: where control messages cross between a guest and its host, and leave a trace: a
// record in the message log, a counter each way, and a counter for each kind of refusal.
#ifndef VMBUS_EMU_MESSAGE_CROSSING_H_
#define VMBUS_EMU_MESSAGE_CROSSING_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "emu/control/protocol_error.h"
#include "emu/counters.h"
#include "emu/message_log.h"

namespace vmbus::emu {

class MessageCrossing {
 public:
  MessageCrossing(std::string_view guest, Counters& counters, MessageLog& log)
      : guest_(guest), counters_(counters), log_(log) {}

  // The bytes as the receiving queue or slot has taken them.
  void crossed(Direction direction, std::span<const std::byte> payload);
  void count(Counter counter) { counters_.add(counter); }
  void count(const Reject& reject) { counters_.add(counter_of(reject.error)); }

 private:
  std::string guest_;
  Counters& counters_;
  MessageLog& log_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_MESSAGE_CROSSING_H_
