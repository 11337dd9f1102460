// The bus directory, which must be ours alone, and the lock that starting and leaving daemons take.
//
// Starter     lock; connect again; start a daemon; wait until it is ready; unlock.
// Leaver      lock; look for connections once more; remove the socket; go. So nobody starts a
//             second daemon beside one that is coming or going.
#ifndef VMBUS_EMU_CLIENT_BUS_LOCK_H_
#define VMBUS_EMU_CLIENT_BUS_LOCK_H_

#include <chrono>
#include <tl/expected.hpp>

#include "emu/client/bus_path.h"
#include "emu/client/error.h"
#include "emu/owned_fd.h"

namespace vmbus::client {

// Makes the directory (0700, not its parents) unless it exists, and checks that it is a directory,
// no link, ours, and closed to everybody else: who could write there could put a socket of his own
// in our place.
tl::expected<emu::OwnedFd, Error> open_bus_directory(const BusPath& bus);

// Holds the lock until the descriptor is closed. Error EWOULDBLOCK: somebody else held it all
// through `patience`. REQUIRES: open_bus_directory() succeeded.
tl::expected<emu::OwnedFd, Error> lock_bus(const BusPath& bus, std::chrono::milliseconds patience);

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_BUS_LOCK_H_
