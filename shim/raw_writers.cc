#include "shim/raw_writers.h"

#include "emu/protocol/lane.h"
#include "shim/daemon_client.h"
#include "shim/environment.h"
#include "shim/fd_table.h"
#include "shim/ring_map.h"

namespace vmbus::shim {
namespace {

void mark(FdEntry entry) {
  proto::Endpoint endpoint;
  if (!proto::read_endpoint(shared_endpoint(entry), &endpoint) || endpoint.memory == 0 ||
      endpoint.generation != entry.generation || endpoint.lane >= proto::kLanes) {
    return;
  }
  const MappedMemory memory = known_memory_of(entry, endpoint);
  if (memory.base == nullptr) return;
  proto::Lane& lane = proto::LaneArea(memory.base + memory.page_bytes).lane(endpoint.lane);
  ring::SharedCell(lane.raw).store_seq_cst(1);
}

}  // namespace

void expect_raw_writer(int fd) {
  if (!environment().works_rings) return;
  const FdEntry entry = fd_table().find(fd);
  if (entry.is_carrier()) mark(entry);
}

void expect_raw_writers() {
  if (!environment().works_rings) return;
  fd_table().for_each_carrier([](int, FdEntry entry) { mark(entry); });
}

}  // namespace vmbus::shim
