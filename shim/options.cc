// getsockopt(2) and setsockopt(2) on a carrier: copies and lengths as the kernel's generic layer
// has them; the options themselves are in option_table.h.
#include <algorithm>
#include <array>
#include <cstddef>

#include "shim/daemon_client.h"
#include "shim/option_table.h"
#include "shim/real.h"
#include "shim/socket.h"
#include "shim/user_memory.h"

namespace vmbus::shim {

// The generic layer asks for the peer's name, as getpeername() does, but cuts nothing off.
long Socket::get_peer_name(void* value, socklen_t* length) const {
  socklen_t room = 0;
  if (const int error = read_length(length, &room)) return -error;
  if (!has_peer_name()) return -ENOTCONN;
  if (room > endpoint_.peer_bytes) return -EINVAL;
  return -store_truncated(value, room, length, endpoint_.peer_name.data(), room);
}

long Socket::getsockopt(int level, int option, void* value, socklen_t* length) {
  if (level == SOL_SOCKET && option == SO_PEERNAME) return get_peer_name(value, length);
  GetPlan plan = plan_get(endpoint_, level, option);
  if (plan.kind == GetPlan::kAskKernel) return kNotOurs;
  socklen_t room = 0;
  if (const int error = read_length(length, &room)) return -error;
  if (plan.kind == GetPlan::kRefuse) return -plan.error;
  if (plan.kind == GetPlan::kTakeError) {
    // The first look after a non-blocking connect, usually.
    if (endpoint_.state == proto::EndpointState::kConnected) raise_send_buffer();
    int so_error = 0;
    if (const long error = take_error(&so_error)) return error;
    plan.value = OptionValue::of(so_error);
  }
  const std::size_t size = plan.value.size;
  if (plan.kind == GetPlan::kWhole && room < size) return -EINVAL;
  // Unlike getsockname(), the reported length is what was written.
  const std::size_t written = std::min<std::size_t>(room, size);
  return -store_truncated(value, room, length, plan.value.bytes.data(), written);
}

long Socket::setsockopt(int level, int option, const void* value, socklen_t length) {
  SetPlan plan = plan_set(endpoint_, level, option);
  if (plan.kind == SetPlan::kAskKernel) return kNotOurs;
  if (static_cast<int>(length) < 0) return -EINVAL;
  if (plan.kind == SetPlan::kRefuse) return -plan.error;
  if (length < plan.size) return -EINVAL;
  std::array<std::byte, 16> copy{};
  if (const int error = copy_from_program(copy.data(), value, plan.size)) return -error;
  if (const int error = settle_value(endpoint_, &plan, copy.data())) return -error;
  if (plan.kind == SetPlan::kIgnore) return 0;
  const int error =
      request_set_option(fd_, entry_, plan.level, plan.option, copy.data(), plan.size);
  const bool is_low_water = plan.level == SOL_SOCKET && plan.option == SO_RCVLOWAT;
  if (error == 0 && is_low_water && (endpoint_.quirks & proto::kQuirkLowWaterPoll) != 0) {
    // The carrier's own receive then waits for as much.
    real::call(SYS_setsockopt, fd_, SOL_SOCKET, SO_RCVLOWAT, copy.data(), plan.size);
  }
  return -error;
}

}  // namespace vmbus::shim
