// Names: which addresses programs see at either end of a connection, for each family.
//
// On the wire there are only a service and an endpoint GUID; CIDs and VmIds come from knowing who
// is on the other side (docs/protocol.md, "Addresses"). One connection may join two families: each
// end sees its own.
#ifndef VMBUS_EMU_HVSOCKET_NAMES_H_
#define VMBUS_EMU_HVSOCKET_NAMES_H_

#include "emu/protocol/address.h"

namespace vmbus::emu {

class Guest;
struct Socket;

struct NamePair {
  proto::Address local;
  proto::Address peer;
};

// The guest's ends. `endpoint` is the offer's instance id.
NamePair guest_dialer_names(const Socket& socket, const proto::Guid& service);
NamePair guest_accepted_names(const Socket& listener, const proto::Guid& service,
                              const proto::Guid& endpoint);

// The host's ends of a connection with `guest`.
NamePair host_dialer_names(const Socket& socket, const Guest& guest, const proto::Guid& service,
                           const proto::Guid& endpoint);
NamePair host_accepted_names(const Socket& listener, const Guest& guest, const proto::Guid& service,
                             const proto::Guid& endpoint);

struct LoopbackNames {
  NamePair dialer;
  NamePair accepted;
};
// REQUIRES: the dialer has its local port (AF_VSOCK) and its Attempt, whose endpoint names it
// otherwise.
LoopbackNames loopback_names(const Socket& dialer, const Socket& listener);

// What getsockname() says: a fresh AF_VSOCK socket has (any, any), a fresh FreeBSD one has none.
proto::Address shown_local(const Socket& socket);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_NAMES_H_
