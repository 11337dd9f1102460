// Where a bus lives: the path of its control socket, and the files beside it.
//
// $VMBUS_SOCKET, else $XDG_RUNTIME_DIR/vmbus/bus, else /tmp/vmbus-$UID/bus; the shim follows the
// same rules (shim/environment.cc), so that all programs of a user meet without being told.
#ifndef VMBUS_EMU_CLIENT_BUS_PATH_H_
#define VMBUS_EMU_CLIENT_BUS_PATH_H_

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "emu/client/error.h"

namespace vmbus::client {

struct BusPath {
  std::string socket;  // absolute

  std::string directory() const {  // of "/bus" it is "/"
    return socket.substr(0, std::max<std::size_t>(socket.rfind('/'), 1));
  }
  std::string lock() const { return socket + ".lock"; }  // who holds it may start or end a daemon
  std::string log() const {
    return socket + ".log";
  }  // standard error of a daemon in the background
};

using VariableLookup = std::function<const char*(const char* name)>;

// A path the user gave (it may be relative), else the environment's. Error: EINVAL, naming the
// value.
tl::expected<BusPath, Error> resolve_bus_path(std::string_view given = {},
                                              const VariableLookup& lookup = ::getenv);

// A bus nobody else knows of: a fresh directory beside the usual bus, or beside another private
// one. The caller exports VMBUS_SOCKET. The daemon removes the directory when it leaves, and so does
// a caller whose daemon did not start; so nothing else may be made in it.
tl::expected<BusPath, Error> make_private_bus(const BusPath& usual);
bool is_private_bus(const BusPath& bus);  // by its directory's name
// The directory of `bus`; of a private one, the directory that it was made in, which outlives it.
std::string lasting_directory(const BusPath& bus);
void remove_private_bus(const BusPath& bus);

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_BUS_PATH_H_
