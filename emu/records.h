// Records: SOCK_SEQPACKET over rings that carry bytes (profile virtio).
//
// Hyper-V's sockets are streams, so a record crosses the bus inside the stream, behind a header that
// says where it ends, as each packet of virtio's own does. The carrier is an AF_UNIX SEQPACKET pair,
// which keeps the boundaries itself, EMSGSIZE, MSG_TRUNC and MSG_PEEK included.
//
//   B ── one record ──► outbox ── bytes ──► ring ── bytes ──► inbox ── whole records ──► B
//
//   offset  size  field  meaning
//        0     4  bytes  of the record; never 0
//        4     4  flags  kEndOfRecord: it was sent with MSG_EOR
//
// MSG_EOR      AF_UNIX does not carry it. On a carrier a descriptor in the record's control data
//              stands for it. Whoever receives has no room for control data, so the kernel drops the
//              descriptor and says MSG_CTRUNC.
// Room         The inbox takes what the receiver's SO_VM_SOCKETS_BUFFER_SIZE allows, as virtio's
//              credit does; only then does the ring fill.
#ifndef VMBUS_EMU_RECORDS_H_
#define VMBUS_EMU_RECORDS_H_

#include <cstdint>

#include "emu/hvsocket/carrier_end.h"
#include "emu/hvsocket/socket.h"

namespace vmbus::emu {

struct RecordHeader {
  std::uint32_t bytes;
  std::uint32_t flags;
};
static_assert(sizeof(RecordHeader) == 8);

inline constexpr std::uint32_t kEndOfRecord = 1;

// Moves the next record of B to the end of the outbox. False: there is none for now (or for good, and
// b_ended says so).
bool take_record(Socket& socket);

// Moves what the program sent before SHUT_WR to the outbox and leaves the plug behind.
void take_records_before_plug(Socket& socket, const Plug& plug);

// Is all of a record in the inbox?
bool holds_record(const Socket& socket);

// Moves whole records from the inbox to B, as many as it has room for. False: the inbox is nonsense.
bool give_records(Socket& socket);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_RECORDS_H_
