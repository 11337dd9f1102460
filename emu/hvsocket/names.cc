#include "emu/hvsocket/names.h"

#include "emu/hvsocket/guest.h"
#include "emu/hvsocket/socket.h"

namespace vmbus::emu {
namespace {

using proto::AddressKind;

// The same place, as a socket of `kind` says it.
proto::Address name(AddressKind kind, proto::Cid cid, const proto::Guid& vm_id,
                    const proto::Guid& service) {
  switch (kind) {
    case AddressKind::kHyperV:
      return proto::hyperv_address(vm_id, service);
    case AddressKind::kFreeBsd:
      return proto::freebsd_address(proto::Port{service.data1});
    case AddressKind::kNone:
    case AddressKind::kVsock:
      break;
  }
  return proto::vsock_address(cid, proto::Port{service.data1});
}

proto::Cid shown_own_cid(const Socket& socket) {
  return socket.obeys("own-cid=on") ? proto::Cid{socket.guest->config().cid} : proto::kCidAny;
}

}  // namespace

NamePair guest_dialer_names(const Socket& socket, const proto::Guid& service) {
  const proto::Guid own = proto::service_id_of(socket.local.port);
  return {name(socket.kind, shown_own_cid(socket), socket.guest->config().vm_id, own),
          name(socket.kind, proto::kCidHost, proto::kHvGuidParent, service)};
}

NamePair guest_accepted_names(const Socket& listener, const proto::Guid& service,
                              const proto::Guid& endpoint) {
  NamePair names{
      name(listener.kind, shown_own_cid(listener), listener.guest->config().vm_id, service),
      name(listener.kind, proto::kCidHost, proto::kHvGuidParent, endpoint)};
  if (listener.kind == AddressKind::kFreeBsd)
    names.peer.port = proto::kPortAny;  // the driver does not know it
  return names;
}

NamePair host_dialer_names(const Socket& socket, const Guest& guest, const proto::Guid& service,
                           const proto::Guid& endpoint) {
  const proto::Guid own =
      socket.kind == AddressKind::kVsock ? proto::service_id_of(socket.local.port) : endpoint;
  return {name(socket.kind, proto::kCidHost, proto::kHvGuidChildren, own),
          name(socket.kind, proto::Cid{guest.config().cid}, guest.config().vm_id, service)};
}

NamePair host_accepted_names(const Socket& listener, const Guest& guest, const proto::Guid& service,
                             const proto::Guid& endpoint) {
  return {name(listener.kind, proto::kCidHost, proto::kHvGuidChildren, service),
          name(listener.kind, proto::Cid{guest.config().cid}, guest.config().vm_id, endpoint)};
}

LoopbackNames loopback_names(const Socket& dialer, const Socket& listener) {
  const proto::Cid cid = dialer.kind == AddressKind::kVsock ? dialer.peer.cid : proto::kCidLocal;
  const proto::Guid& service = dialer.attempt->service;
  const proto::Guid own = dialer.kind == AddressKind::kVsock
                              ? proto::service_id_of(dialer.local.port)
                              : dialer.attempt->endpoint;
  return {{name(dialer.kind, cid, proto::kHvGuidChildren, own),
           name(dialer.kind, cid, proto::kHvGuidLoopback, service)},
          {name(listener.kind, cid, proto::kHvGuidChildren, service),
           name(listener.kind, cid, proto::kHvGuidLoopback, own)}};
}

proto::Address shown_local(const Socket& socket) {
  if (socket.state != proto::EndpointState::kFresh) return socket.local;
  switch (socket.kind) {
    case AddressKind::kVsock:
      return proto::vsock_address(proto::kCidAny, proto::kPortAny);
    case AddressKind::kHyperV:
      return proto::hyperv_address(proto::kHvGuidZero, proto::Guid{});
    case AddressKind::kFreeBsd:
    case AddressKind::kNone:
      break;
  }
  return {};
}

}  // namespace vmbus::emu
