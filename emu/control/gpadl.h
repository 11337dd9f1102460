// Gpadl: guest pages lent to the host, seen from the host. Pure.
//
//              more        last data:  last data:  teardown   teardown,    rings
//              data        good        bad                    rings on it  let go
// Incomplete   Incomplete  Accepted    gone        WrongState
// Accepted     Unknown     Unknown     Unknown     gone       TearingDown  Accepted
// TearingDown  Unknown     Unknown     Unknown                WrongState   gone
//
// Unknown, WrongState: the guest's error; the GPADL stays.
// "Rings on it": a channel is open on it, or opening or closing. Other hosts ask the device about a
// complete GPADL, and have states for that; here rings are mapped at open, so it is accepted.
//
// GpadlTable: the GPADLs of one connection. An id is the guest's choice and unique in its channel;
// while incomplete also in the connection, because GPADL_BODY names no channel.
#ifndef VMBUS_EMU_CONTROL_GPADL_H_
#define VMBUS_EMU_CONTROL_GPADL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "emu/control/protocol_error.h"
#include "emu/protocol/channel_messages.h"
#include "emu/protocol/ids.h"

namespace vmbus::emu {

class Gpadl {
 public:
  enum class State : std::uint8_t { kIncomplete, kAccepted, kTearingDown };

  Gpadl(std::uint16_t range_buffer_bytes, std::uint16_t range_count);

  // Takes what is missing from the front of `tail`; the rest is surplus. REQUIRES: incomplete.
  void append(std::span<const std::byte> tail);
  bool has_all_words() const { return received_ == word_count_; }
  // Are the ranges well formed, and inside a memory of that many pages?
  bool ranges_valid(std::uint64_t memory_pages) const;

  std::vector<std::uint64_t> words() const;
  std::size_t word_count() const { return word_count_; }
  // Keeps the words as runs of consecutive numbers where that is shorter. REQUIRES: none is to come.
  void pack();
  std::uint16_t range_count() const { return range_count_; }
  State state() const { return state_; }
  void set_state(State state) { state_ = state; }

 private:
  struct Run {
    std::uint64_t first;
    std::uint64_t count;
  };

  // The whole range buffer; words from received_ on are still to come. Empty once it is packed.
  std::vector<std::uint64_t> words_;
  std::vector<Run> runs_;
  std::size_t word_count_;
  std::size_t received_ = 0;
  std::uint16_t range_count_;
  State state_ = State::kIncomplete;
};

class GpadlTable {
 public:
  // Words of all range buffers of a connection, at most (8 MiB): enough to lend 4 GiB page by page.
  static constexpr std::size_t kMaxWords = std::size_t{1} << 20;
  static constexpr std::size_t kWordsOfBookkeeping = 8;  // what one GPADL costs besides its buffer

  enum class Progress : std::uint8_t { kNeedsMore, kCreated };
  enum class Teardown : std::uint8_t { kDone, kWaitsForRings };

  explicit GpadlTable(std::uint64_t memory_pages) : memory_pages_(memory_pages) {}

  // GPADL_HEADER and GPADL_BODY. After an error the id is free, unless it was another GPADL's.
  Checked<Progress> add(const proto::GpadlHeader& header, std::span<const std::byte> tail);
  Checked<Progress> extend(proto::GpadlId id, std::span<const std::byte> tail);
  // The channel of an incomplete GPADL.
  Checked<proto::Relid> channel_of_incomplete(proto::GpadlId id) const;

  // GPADL_TEARDOWN.
  Checked<Teardown> tear_down(proto::Relid relid, proto::GpadlId id, bool holds_rings);
  // The channel let go of the rings on it. True: it was waiting for that, and is gone.
  bool rings_let_go(proto::Relid relid, proto::GpadlId id);

  // An accepted GPADL, or null.
  const Gpadl* find_accepted(proto::Relid relid, proto::GpadlId id) const;
  void remove_channel(proto::Relid relid);
  void clear();
  std::size_t size() const { return gpadls_.size(); }

 private:
  using Key = std::pair<proto::Relid, proto::GpadlId>;
  using Map = std::map<Key, Gpadl>;

  Checked<Progress> check_progress(Map::iterator gpadl);
  void remove(Map::iterator gpadl);

  std::uint64_t memory_pages_;
  Map gpadls_;
  std::unordered_map<proto::GpadlId, proto::Relid> incomplete_;
  std::size_t words_ = 0;  // of all GPADLs, with their bookkeeping
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_GPADL_H_
