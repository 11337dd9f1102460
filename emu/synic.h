// Synic: the synthetic interrupt controller between host and guest, and the hypercalls to it.
//
// Towards the guest, each virtual processor (VP) has 16 sources (SINTs). A SINT has a message slot,
// which holds one message, and 2048 event flags. Messages that find their slot taken wait in a
// queue of the SINT. Towards the host, HvPostMessage fills one queue of 64 messages, and
// HvSignalEvent sets one bit for each channel.
//
// Threads     The daemon's loop thread calls both sides. Slots and flags follow the real rules all
//             the same, so that the guest's side can move elsewhere: what both touch is atomic.
// Order       First in, first out for each SINT, and for the messages of the guest.
// Trust       Every argument of the guest's side may be wrong; the answer is then a status, as a
//             hypervisor gives it.
// Contract    docs/protocol.md, "SynIC"; tests/model/synic_slot.pml proves the slot's rule
#ifndef VMBUS_EMU_SYNIC_H_
#define VMBUS_EMU_SYNIC_H_

#include <array>
#include <atomic>
#include <boost/lockfree/policies.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "emu/event_flags.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/message_codec.h"
#include "emu/sint_target.h"

namespace vmbus::emu {

inline constexpr std::size_t kSintCount = 16;

// What a hypercall answers (TLFS, HvCallPostMessage and HvCallSignalEvent).
enum class HvStatus : std::uint16_t {
  kSuccess = 0x00,
  kInvalidParameter = 0x05,     // message type 0 or reserved, payload too long, no such flag
  kInvalidVpIndex = 0x0E,       // no such processor
  kInvalidPortId = 0x11,        // a message sent to an event port, or the other way round
  kInvalidConnectionId = 0x12,  // nothing is connected there
  kInsufficientBuffers = 0x13,  // the receiver's queue is full: try again
};

// A slot of the message page.
//
//   offset  size  field         written by  meaning
//        0     4  type          both        0: empty. The host stores it last, the guest clears it
//        4     1  payload_size  host        at most 240
//        5     1  flags         host        bit 0, message pending: say EOM when the slot is empty
//        6     2  (reserved)
//        8     8  origin        host        port that the message came through; VMBus has one: 0
//       16   240  payload       host
struct MessageSlot {
  std::atomic<std::uint32_t> type{0};
  std::uint8_t payload_size = 0;
  std::atomic<std::uint8_t> flags{0};
  std::uint16_t reserved_6 = 0;
  std::uint64_t origin = 0;
  std::array<std::byte, proto::kMaxMessageBytes> payload{};
};
static_assert(sizeof(MessageSlot) == 256 && std::is_standard_layout_v<MessageSlot>);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free &&
              std::atomic<std::uint8_t>::is_always_lock_free);

inline constexpr std::uint32_t kNoMessage = 0;
inline constexpr std::uint32_t kChannelMessage = 1;  // HvMessageType of every VMBus message
inline constexpr std::uint8_t kMessagePending = 0x01;

// A message that the guest posted, with the connection that it came through.
struct PostedMessage {
  proto::ConnectionId connection;
  proto::EncodedMessage message;
};

class Synic {
 public:
  static constexpr std::size_t kPostQueueCapacity = 64;
  static constexpr std::size_t kSintQueueCapacity = 64;

  explicit Synic(std::uint32_t vp_count);

  // ---- the host's side --------------------------------------------------------------------------
  // Puts a message into the slot, or behind those that wait. kInsufficientBuffers: no room there.
  HvStatus deliver(SintTarget target, std::span<const std::byte> payload);
  // The same without a queue: kInsufficientBuffers when the slot is taken.
  HvStatus deliver_or_drop(SintTarget target, std::span<const std::byte> payload);
  // Would deliver() take a message?
  bool has_room(SintTarget target) const;
  // Sets an event flag. True: an interrupt was raised, because the flag was clear before.
  bool set_event_flag(SintTarget target, proto::EventFlag flag);

  // The oldest message that the guest posted.
  std::optional<PostedMessage> next_posted();
  bool has_posted() const { return posted_.read_available() != 0; }

  // From now on signals of `connection` count for `relid`. False: the connection is taken.
  bool connect_event_port(proto::ConnectionId connection, proto::Relid relid);
  void disconnect_event_port(proto::ConnectionId connection);
  // Channels signalled since the last call, each once; relid 0 stands for the shared connection.
  std::vector<proto::Relid> take_signals();
  bool has_signals() const { return signalled_; }

  // ---- the guest's side -------------------------------------------------------------------------
  HvStatus post_message(proto::ConnectionId connection, std::uint32_t message_type,
                        std::span<const std::byte> payload);
  // Would post_message() find room?
  bool has_post_room() const { return posted_.write_available() != 0; }
  HvStatus signal_event(proto::ConnectionId connection, std::uint16_t flag);

  bool interrupt_raised(SintTarget target) const { return sint(target).interrupt; }
  bool has_message(SintTarget target) const { return sint(target).slot.type.load() != kNoMessage; }
  // What an interrupt handler does with the slot: copies the message, empties the slot, and says
  // end of message (EOM) where another one waits. nullopt: the slot is empty.
  std::optional<proto::EncodedMessage> take_message(SintTarget target);
  // Clears the interrupt and every flag that is set, then returns those flags, lowest first.
  std::vector<proto::EventFlag> take_event_flags(SintTarget target);

  std::uint32_t vp_count() const { return static_cast<std::uint32_t>(processors_.size()); }

 private:
  using SintQueue = boost::lockfree::spsc_queue<proto::EncodedMessage,
                                                boost::lockfree::capacity<kSintQueueCapacity>>;
  struct Sint {
    MessageSlot slot;
    EventFlags flags{};
    bool interrupt = false;
    std::unique_ptr<SintQueue> waiting;  // made when a message first finds the slot taken
  };
  using Processor = std::array<Sint, kSintCount>;

  const Sint& sint(SintTarget target) const { return (*processors_[target.vp.value])[target.sint]; }
  Sint& sint(SintTarget target) { return (*processors_[target.vp.value])[target.sint]; }
  HvStatus check(SintTarget target, std::span<const std::byte> payload) const;
  static bool others_wait(const Sint& sint);
  static bool fill_slot(Sint& sint, std::span<const std::byte> payload);
  static void refill_slot(Sint& sint);

  std::vector<std::unique_ptr<Processor>> processors_;
  boost::lockfree::spsc_queue<PostedMessage, boost::lockfree::capacity<kPostQueueCapacity>> posted_;
  std::unordered_map<proto::ConnectionId, proto::Relid> event_ports_;
  EventFlags signals_{};
  bool signalled_ = false;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_SYNIC_H_
