// BusError: why the bus did not do what the socket layer asked for. The bus is unchanged then.
#ifndef VMBUS_EMU_BUS_ERROR_H_
#define VMBUS_EMU_BUS_ERROR_H_

#include <tl/expected.hpp>

namespace vmbus::emu {

enum class BusError {
  kNotConnected,  // no VMBus connection yet, or no longer
  kNoRelid,       // 2,047 channels in use
  kNoMemory,      // the guest's memory has no room for the rings
  kUnknownChannel,
  kWrongState,
};
template <typename T>
using BusResult = tl::expected<T, BusError>;

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_BUS_ERROR_H_
