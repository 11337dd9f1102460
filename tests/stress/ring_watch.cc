// ring_watch: looks at the rings of a guest, again and again, while programs transfer through them, and
// judges each look (live_ring.h). Ends with a sentence and status 4 at the first that breaks the promise.
//
//   ring_watch PORT         until end of file on standard input; PORT: a free one, for a connection of its own
//
// It runs as one of the guest's programs, for it gets at the memory as they do: over a control connection,
// by way of a carrier. The table of endpoints says where rings are; nothing else of ours is looked at.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "emu/protocol/endpoint_table.h"
#include "tests/fuzz/hostile/control.h"
#include "tests/fuzz/hostile/sockets.h"
#include "tests/stress/live_ring.h"

namespace vmbus::stress {
namespace {

using hostile::fail;
using hostile::kExitNoSocket;
using hostile::kExitWrong;

constexpr std::uint32_t kLoopback = 1;  // the CID
constexpr std::uint32_t kPageBytes = 4096;
constexpr std::uint32_t kEntries = 256;  // of the table; no more sockets are open here at a time
constexpr int kLooksAtEach = 400;        // before the table is read again
constexpr int kNice = 5;

// One ring of one end of a connection.
struct Place {
  std::uint32_t entry;
  std::uint64_t cookie;
  std::uint32_t control_page;
  std::uint32_t first_page;  // of data
  std::uint32_t pages;
  std::uint32_t largest_payload;
};

struct Totals {
  std::uint64_t looks = 0;
  std::uint64_t overtaken = 0;
  std::uint64_t packets = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t ends = 0;
  std::uint64_t full = 0;  // looks that saw more than half a ring
};

class Watch {
 public:
  Watch(const hostile::Control& control, int carrier) : table_(control.table(), kEntries) {
    const int fd = control.request_memory(carrier);
    struct stat status {};
    if (fd < 0 || ::fstat(fd, &status) != 0) fail(kExitNoSocket, "there is no memory to look at");
    bytes_ = static_cast<std::size_t>(status.st_size);
    void* base = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) fail(kExitNoSocket, "the memory cannot be mapped");
    base_ = static_cast<const std::byte*>(base);
    memory_ = memory_of(carrier);
  }

  void run() {
    while (!hostile::is_told_to_end(std::chrono::milliseconds(1))) {
      const std::vector<Place> places = find_places();
      for (int i = 0; i < kLooksAtEach; ++i) {
        for (const Place& place : places) look_at(place, i % 2 != 0);
      }
    }
    std::printf("%" PRIu64 " looks, %" PRIu64 " packets, %" PRIu64 " bytes, %" PRIu64
                " overtaken, %" PRIu64 " ends, %" PRIu64 " half full\n",
                totals_.looks, totals_.packets, totals_.payload_bytes, totals_.overtaken,
                totals_.ends, totals_.full);
  }

 private:
  std::uint32_t memory_of(int carrier) const {
    std::uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    ::getsockopt(carrier, SOL_SOCKET, SO_COOKIE, &cookie, &length);
    for (const proto::Endpoint& shared : table_) {
      proto::Endpoint endpoint{};
      if (proto::read_endpoint(shared, &endpoint) && endpoint.cookie == cookie) {
        if (endpoint.memory != 0) return endpoint.memory;
      }
    }
    fail(kExitNoSocket, "the table does not know this program's connection");
  }

  // Both rings of each end; those of two ends that share them, once.
  std::vector<Place> find_places() const {
    std::vector<Place> places;
    for (std::uint32_t entry = 0; entry < kEntries; ++entry) {
      proto::Endpoint end{};
      if (!proto::read_endpoint(table_[entry], &end) || end.memory != memory_) continue;
      add({entry, end.cookie, end.in_control_page, end.in_first_page, end.in_pages, 0}, places);
      add({entry, end.cookie, end.out_control_page, end.out_first_page, end.out_pages,
           end.packet_bytes},
          places);
    }
    return places;
  }

  // Who writes a ring has its largest packet; who reads it does not know.
  void add(const Place& place, std::vector<Place>& places) const {
    const std::size_t count = bytes_ / kPageBytes;
    if (place.pages == 0 || std::size_t{place.first_page} + place.pages > count ||
        place.control_page >= count)
      return;
    const auto same = std::ranges::find(places, place.control_page, &Place::control_page);
    if (same == places.end()) {
      places.push_back(place);
    } else {
      same->largest_payload = std::max(same->largest_payload, place.largest_payload);
    }
  }

  bool is_still(const Place& place) const {
    proto::Endpoint end{};
    return proto::read_endpoint(table_[place.entry], &end) && end.memory == memory_ &&
           end.cookie == place.cookie &&
           (end.in_control_page == place.control_page ||
            end.out_control_page == place.control_page);
  }

  void look_at(const Place& place, bool next) {
    const std::uint32_t largest = place.largest_payload == 0 ? ~0U : place.largest_payload;
    const std::uint32_t data_bytes = place.pages * kPageBytes;
    const LiveRing ring(base_ + std::size_t{place.control_page} * kPageBytes,
                        base_ + std::size_t{place.first_page} * kPageBytes, data_bytes, largest);
    const Look look = next ? ring.look_at_next() : ring.look();
    // The pages of a connection that has ended are others' already.
    if (look.outcome == Outcome::kFault && is_still(place)) report(place, look);
    ++totals_.looks;
    totals_.overtaken += look.outcome == Outcome::kFine ? 0 : 1;
    totals_.packets += look.packets;
    totals_.payload_bytes += look.payload_bytes;
    totals_.ends += look.has_end ? 1 : 0;
    totals_.full += look.payload_bytes > data_bytes / 2 ? 1 : 0;
  }

  [[noreturn]] void report(const Place& place, const Look& look) const {
    std::printf("a ring that breaks its promise: %.*s\n", static_cast<int>(look.what.size()),
                look.what.data());
    std::printf("pages %u, %u of %u pages, at %u; read_index %u, write_index %u; words",
                place.control_page, place.first_page, place.pages, look.index, look.read_index,
                look.write_index);
    for (const std::uint64_t word : look.words) std::printf(" %016" PRIx64, word);
    std::printf("\n");
    std::fflush(stdout);
    std::_Exit(kExitWrong);
  }

  std::span<const proto::Endpoint> table_;
  const std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
  std::uint32_t memory_ = 0;
  Totals totals_;
};

int watch(const char* port) {
  const auto number = static_cast<std::uint32_t>(std::strtoul(port, nullptr, 10));
  const int listener = hostile::listen_on(number);
  const int carrier = hostile::dial(kLoopback, number);
  if (carrier < 0 || ::accept(listener, nullptr, nullptr) < 0) {
    fail(kExitNoSocket, "cannot connect to itself");
  }
  ::setpriority(PRIO_PROCESS, 0, kNice);  // those who transfer come first
  const hostile::Control control;
  Watch watch(control, carrier);
  std::printf("watching\n");
  std::fflush(stdout);
  watch.run();
  return 0;
}

}  // namespace
}  // namespace vmbus::stress

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: ring_watch PORT\n", stderr);
    return 1;
  }
  return vmbus::stress::watch(argv[1]);
}
