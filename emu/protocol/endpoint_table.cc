#include "emu/protocol/endpoint_table.h"

#include <sched.h>

#include <cstring>

#include "ringbuf/shared_word.h"

namespace vmbus::proto {
namespace {

constexpr int kBusyAttempts = 1 << 10;
constexpr int kReadAttempts = 1 << 17;  // the later ones yield: half a microsecond and more each
constexpr std::size_t kWords = sizeof(Endpoint) / sizeof(std::uint32_t);
using Words = std::array<std::uint32_t, kWords>;
static_assert(offsetof(Endpoint, sequence) == 0);

ring::SharedWord word(const Endpoint& shared, std::size_t index) {
  // The mapping of a program is read-only and the access a load: const_cast serves SharedWord's
  // type alone.
  auto* words = reinterpret_cast<std::uint32_t*>(const_cast<Endpoint*>(&shared));
  return ring::SharedWord(words[index]);
}

}  // namespace

// SYNC(endpoint.sequence): each load acquires, so the second look at the sequence cannot move
// before the loads of the fields; pairs with the release stores of write_endpoint(). Weaker orders
// let a reader accept half of two states.
bool read_endpoint(const Endpoint& shared, Endpoint* copy) {
  Words words;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    if (attempt >= kBusyAttempts) ::sched_yield();
    const std::uint32_t before = word(shared, 0).load_acquire();
    if (before % 2 != 0) continue;
    words[0] = before;
    for (std::size_t i = 1; i < kWords; ++i) words[i] = word(shared, i).load_acquire();
    if (word(shared, 0).load_relaxed() != before) continue;
    std::memcpy(copy, words.data(), sizeof *copy);
    return true;
  }
  return false;
}

// SYNC(endpoint.sequence): odd first, fields next, even last, each store releasing what came
// before; pairs with read_endpoint().
void write_endpoint(Endpoint& shared, const Endpoint& image) {
  Words words;
  std::memcpy(words.data(), &image, sizeof image);
  const std::uint32_t before = word(shared, 0).load_relaxed();
  word(shared, 0).store_seq_cst(before + 1);
  for (std::size_t i = 1; i < kWords; ++i) word(shared, i).store_release(words[i]);
  word(shared, 0).store_release(before + 2);
}

bool any_was_reset(const EndpointTableHeader& shared) {
  auto& resets = const_cast<EndpointTableHeader&>(shared).resets;  // as in word()
  return ring::SharedWord(resets).load_relaxed() != 0;
}

void note_reset(EndpointTableHeader& shared) {
  const ring::SharedWord resets(shared.resets);
  resets.store_relaxed(resets.load_relaxed() + 1);
}

}  // namespace vmbus::proto
