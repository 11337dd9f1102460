// FdTable: which descriptors of this process are ours.
//
// An array of 8-byte atomic entries, indexed by descriptor, reserved as address space and backed by
// memory only where it is written. find() takes no lock and costs a foreign descriptor one load.
// Nothing on the data path allocates.
//
// Inherited   A program that was started with carriers finds out when it first asks for a descriptor:
//             find() then runs the search given to search_when_asked(), once, on whatever thread it is.
//             Threads that ask at the same time all search; they find the same. Most programs that end
//             without a socket of ours never search.
// Truth       The table is a hint that is nearly always right. A close that went past us (a library's
//             private libc, an inline system call) leaves an entry behind, so whoever is about to
//             refuse a call compares SO_COOKIE first (socket.h), and clears what turns out stale.
// Writers     Threads race only where the program itself races on a descriptor number; each entry is
//             one word. A vfork child must not write: the array is its parent's (owns_memory()).
#ifndef VMBUS_SHIM_FD_TABLE_H_
#define VMBUS_SHIM_FD_TABLE_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace vmbus::shim {

enum FdFlags : std::uint8_t {
  kFdCarrier = 1,           // end A of an endpoint
  kFdDevice = 2,            // our stand-in for an open /dev/vsock
  kFdSendBufferRaised = 4,  // SO_SNDBUF of A was raised after connecting (kFlagSendBufferLow)
  kFdEndSeen = 8,           // a receive of this process came to the end (poll_events.h)
};

// What a descriptor stands for. `flags` 0: not ours.
struct FdEntry {
  std::uint32_t generation = 0;  // of the endpoint, when the entry was made
  std::uint16_t endpoint = 0;    // index in the endpoint table of `bus`
  std::uint8_t bus = 0;          // daemon_client.h: which daemon's table
  std::uint8_t flags = 0;

  bool is_ours() const { return flags != 0; }
  bool is_carrier() const { return (flags & kFdCarrier) != 0; }
  bool is_device() const { return (flags & kFdDevice) != 0; }
  friend bool operator==(const FdEntry&, const FdEntry&) = default;
};
static_assert(sizeof(FdEntry) == 8);

class FdTable {
 public:
  // fs.nr_open's default: the kernel hands out no higher number unless an administrator raised it.
  static constexpr std::size_t kCapacity = std::size_t{1} << 20;

  // Calls set_inherited() for each descriptor that is ours. Returns the first number above them all.
  using Search = unsigned (*)();

  FdEntry find(int fd);
  // Is there an entry? Never searches: for whoever only wants to clear it.
  bool is_set(int fd) const;

  // Until search() has run, nothing is known. REQUIRES: nothing is set yet.
  void search_when_asked(Search search);
  // Runs the search if it is due. A vfork child does not: the array is its parent's.
  void settle();
  // For the search alone. REQUIRES: reserve() succeeded.
  bool set_inherited(int fd, FdEntry entry);

  // Reserves the array. 0 or ENOMEM. Must have succeeded before set().
  int reserve();
  // False: the number is beyond the table, and the descriptor can only be served as the plain
  // socket it is.
  bool set(int fd, FdEntry entry);
  void clear(int fd);
  void clear_range(unsigned first, unsigned last);
  // Was there ever a carrier? Searches nothing.
  bool may_hold_carriers() const { return end_.load(std::memory_order_acquire) != 0; }
  // Calls use(fd, entry) for each carrier. Searches nothing.
  template <typename Use>
  void for_each_carrier(Use use) const {
    const unsigned end = end_.load(std::memory_order_acquire);
    if (end == kUnsearched) return;
    for (unsigned fd = 0; fd < end; ++fd) {
      const auto entry =
          std::bit_cast<FdEntry>(slot(static_cast<int>(fd))->load(std::memory_order_acquire));
      if (entry.is_carrier()) use(static_cast<int>(fd), entry);
    }
  }
  // Where `fd`'s entry stands, for good; null: nowhere yet.
  const std::atomic<std::uint64_t>* slot_of(int fd) const { return slot(fd); }
  // Adds `flags` if the entry is still `entry`.
  void add_flags(int fd, FdEntry entry, std::uint8_t flags);

 private:
  using Slot = std::atomic<std::uint64_t>;
  static_assert(Slot::is_always_lock_free);

  static constexpr unsigned kUnsearched = ~0U;

  Slot* slot(int fd) const;
  void store(int fd, FdEntry entry);
  void raise_end(unsigned needed);
  FdEntry find_searching(int fd);

  std::atomic<Slot*> slots_{nullptr};
  std::atomic<unsigned> end_{0};  // above every number that was ever set, or kUnsearched
  Search search_ = nullptr;
};

// The process's table.
FdTable& fd_table();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_FD_TABLE_H_
