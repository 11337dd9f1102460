// FlagSet<E>: a set of the bits that enumeration E names, as it stands in a wire struct.  Bits
// without a name are kept: what to do with them is the receiver's decision.
#ifndef VMBUS_EMU_PROTOCOL_FLAG_SET_H_
#define VMBUS_EMU_PROTOCOL_FLAG_SET_H_

#include <type_traits>

namespace vmbus::proto {

template <typename Flag>
struct FlagSet {
  using Bits = std::underlying_type_t<Flag>;

  Bits bits{};

  constexpr FlagSet() = default;
  constexpr FlagSet(Flag flag)  // NOLINT(google-explicit-constructor): one flag is a set
      : bits(static_cast<Bits>(flag)) {}

  static constexpr FlagSet from_bits(Bits bits) {
    FlagSet set;
    set.bits = bits;
    return set;
  }

  constexpr bool empty() const { return bits == 0; }
  constexpr bool contains(Flag flag) const { return !(*this & flag).empty(); }
  constexpr bool intersects(FlagSet other) const { return !(*this & other).empty(); }
  constexpr FlagSet without(FlagSet other) const {
    return from_bits(static_cast<Bits>(bits & ~other.bits));
  }

  friend constexpr FlagSet operator|(FlagSet a, FlagSet b) {
    return from_bits(static_cast<Bits>(a.bits | b.bits));
  }
  friend constexpr FlagSet operator&(FlagSet a, FlagSet b) {
    return from_bits(static_cast<Bits>(a.bits & b.bits));
  }
  friend constexpr bool operator==(FlagSet, FlagSet) = default;
};

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_FLAG_SET_H_
