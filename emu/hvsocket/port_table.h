// PortTable: who holds which vsock port of one partition.
//
// Bound and auto-bound sockets hold their port until their last close; accepted sockets hold none.
// (ANY, p) overlaps (x, p) and vice versa; two different specific CIDs do not overlap. One table
// for STREAM and SEQPACKET.
#ifndef VMBUS_EMU_HVSOCKET_PORT_TABLE_H_
#define VMBUS_EMU_HVSOCKET_PORT_TABLE_H_

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "emu/protocol/address.h"

namespace vmbus::emu {

struct Socket;

class PortTable {
 public:
  // `first_automatic`: where automatic ports start; a random one unless a test says so.
  explicit PortTable(std::uint32_t first_automatic);

  // The socket that keeps others from binding (cid, port); null: it is free.
  Socket* holder(proto::Cid cid, proto::Port port) const;
  void hold(Socket& socket);  // REQUIRES: its local address is free
  void release(const Socket& socket);

  // The next free automatic port in 1024..0xFFFFFFFE, one after the other; nothing when the
  // `candidates` tried are all taken (a retry goes on from there).
  std::optional<proto::Port> pick(proto::Cid cid, std::uint32_t candidates);

  // The highest free port.
  std::optional<proto::Port> pick_from_top(proto::Cid cid) const;

  // The listening stream socket that serves `port` for a connection made to `cid`, if there is one.
  Socket* listener(proto::Cid cid, proto::Port port) const;

 private:
  std::unordered_multimap<std::uint32_t, Socket*> holders_;
  std::uint32_t next_automatic_;
};

inline constexpr std::uint32_t kLinuxPortCandidates = 24;
inline constexpr std::uint32_t kAllPortCandidates = 0xFFFFFFFE - 1024 + 1;

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_PORT_TABLE_H_
