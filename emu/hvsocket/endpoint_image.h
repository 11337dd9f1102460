// What programs see of a socket: its entry of the endpoint table.
#ifndef VMBUS_EMU_HVSOCKET_ENDPOINT_IMAGE_H_
#define VMBUS_EMU_HVSOCKET_ENDPOINT_IMAGE_H_

#include "emu/hvsocket/guest.h"
#include "emu/hvsocket/socket.h"
#include "emu/protocol/endpoint_table.h"

namespace vmbus::emu {

// All but `sequence` and `generation`, which are the registry's.
proto::Endpoint endpoint_image(const Socket& socket, const GuestList& guests);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_ENDPOINT_IMAGE_H_
