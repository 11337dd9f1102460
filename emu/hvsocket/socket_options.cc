#include "emu/hvsocket/socket_options.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace vmbus::emu {
namespace {

constexpr int kLevelVsock = 40;
// HV_PROTOCOL_RAW is 1, as SOL_SOCKET is here: the shim, which knows the family, sends these apart.
constexpr int kLevelHyperV = 34;

enum VsockOption : int {
  kBufferSize = 0,
  kBufferMinSize = 1,
  kBufferMaxSize = 2,
  kConnectTimeoutOld = 6,
  kConnectTimeoutNew = 8,
};

enum HyperVOption : int {
  kHvConnectTimeout = 1,
  kHvContainerPassthru = 2,
  kHvConnectedSuspend = 4,
  kHvHighVtl = 8,
};

constexpr std::uint32_t kHvConnectTimeoutMaxMs = 300'000;
constexpr std::uint32_t kHvConnectTimeoutDefaultMs = 2'000;
constexpr std::uint64_t kJiffyUs = 4'000;  // CONFIG_HZ 250
constexpr std::uint64_t kDefaultConnectTimeoutUs = 2'000'000;
// net.core.wmem_max and rmem_max as Linux ships them; the kernel doubles what it is given.
constexpr std::int64_t kMaxBuffer = 212'992;
constexpr std::int64_t kMinSendBuffer = 4'608;
constexpr std::int64_t kMinReceiveBuffer = 2'304;

template <typename T>
std::optional<T> read_as(std::span<const std::byte> value) {
  if (value.size() < sizeof(T)) return std::nullopt;
  T result;
  std::memcpy(&result, value.data(), sizeof result);
  return result;
}

std::uint32_t doubled(int value, std::int64_t least) {
  const std::int64_t wanted =
      std::min<std::int64_t>(value < 0 ? kMaxBuffer : value, kMaxBuffer) * 2;
  return static_cast<std::uint32_t>(std::max(wanted, least));
}

void set_stored(Socket& socket, std::uint32_t bit, int value) {
  socket.options.stored = value != 0 ? socket.options.stored | bit : socket.options.stored & ~bit;
}

int set_low_water(Socket& socket, int value) {
  const bool connected = socket.state == proto::EndpointState::kConnected;
  if (connected && socket.obeys("low-water=refused")) return EOPNOTSUPP;
  if (value < 0 || static_cast<std::uint64_t>(value) > socket.options.buffer_size) return EINVAL;
  socket.options.receive_low_water = value == 0 ? 1U : static_cast<std::uint32_t>(value);
  return 0;
}

int set_zerocopy(Socket& socket, int value) {
  const bool connected = socket.state == proto::EndpointState::kConnected;
  if (connected && socket.obeys("zerocopy=off")) return EOPNOTSUPP;
  if (value != 0 && value != 1) return EINVAL;
  set_stored(socket, kStoredZeroCopy, value);
  return 0;
}

int set_generic(Socket& socket, int option, std::span<const std::byte> bytes) {
  const auto value = read_as<int>(bytes);
  if (!value) return EINVAL;
  switch (option) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
      socket.options.send_buffer = doubled(*value, kMinSendBuffer);
      return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
      socket.options.receive_buffer = doubled(*value, kMinReceiveBuffer);
      return 0;
    case SO_RCVLOWAT:
      return set_low_water(socket, *value);
    case SO_PRIORITY:
      socket.options.priority = static_cast<std::uint32_t>(*value);
      return 0;
    case SO_REUSEADDR:
      set_stored(socket, 1, *value);
      return 0;
    case SO_KEEPALIVE:
      set_stored(socket, 2, *value);
      return 0;
    case SO_BROADCAST:
      set_stored(socket, 4, *value);
      return 0;
    case SO_OOBINLINE:
      set_stored(socket, 8, *value);
      return 0;
    case SO_PASSCRED:
      set_stored(socket, 32, *value);
      return 0;
    case SO_ZEROCOPY:
      return set_zerocopy(socket, *value);
    default:
      return ENOPROTOOPT;
  }
}

// Size into [min, max]; where the two cross, max wins.
void clamp_buffer_size(SocketOptions& options, std::uint64_t size) {
  options.buffer_size = std::min(std::max(size, options.buffer_min_size), options.buffer_max_size);
}

int set_connect_timeout(Socket& socket, std::span<const std::byte> bytes) {
  const auto limit = read_as<timeval>(bytes);
  if (!limit) return EINVAL;
  if (limit->tv_sec < 0 || limit->tv_usec >= 1'000'000 ||
      limit->tv_sec >= proto::kMaxConnectTimeoutSeconds)
    return ERANGE;
  const std::int64_t total =
      std::int64_t{limit->tv_sec} * 1'000'000 + std::max<std::int64_t>(limit->tv_usec, 0);
  const auto us = static_cast<std::uint64_t>(total);
  socket.options.connect_timeout_us =
      us == 0 ? kDefaultConnectTimeoutUs : (us + kJiffyUs - 1) / kJiffyUs * kJiffyUs;
  return 0;
}

int set_vsock(Socket& socket, int option, std::span<const std::byte> bytes) {
  SocketOptions& options = socket.options;
  if (option == kConnectTimeoutOld || option == kConnectTimeoutNew)
    return set_connect_timeout(socket, bytes);
  if (option < kBufferSize || option > kBufferMaxSize) return ENOPROTOOPT;
  const auto value = read_as<std::uint64_t>(bytes);
  if (!value) return EINVAL;
  if (option == kBufferSize) {
    clamp_buffer_size(options, *value);
    return 0;
  }
  (option == kBufferMinSize ? options.buffer_min_size : options.buffer_max_size) = *value;
  clamp_buffer_size(options, options.buffer_size);
  return 0;
}

int set_hyperv(Socket& socket, int option, std::span<const std::byte> bytes) {
  const auto value = read_as<std::uint32_t>(bytes);
  if (!value) return EINVAL;
  SocketOptions& options = socket.options;
  switch (option) {
    case kHvConnectTimeout:
      if (*value > kHvConnectTimeoutMaxMs) return EINVAL;
      options.hv_connect_timeout_ms = *value == 0 ? kHvConnectTimeoutDefaultMs : *value;
      return 0;
    case kHvContainerPassthru:
    case kHvConnectedSuspend:
    case kHvHighVtl: {
      const auto bit = static_cast<std::uint32_t>(option);
      options.hv_options = *value != 0 ? options.hv_options | bit : options.hv_options & ~bit;
      return 0;
    }
    default:
      return ENOPROTOOPT;
  }
}

}  // namespace

int set_option(Socket& socket, int level, int option, std::span<const std::byte> value) {
  if (level == kLevelHyperV && socket.kind == proto::AddressKind::kHyperV) {
    return set_hyperv(socket, option, value);
  }
  if (level == SOL_SOCKET) return set_generic(socket, option, value);
  if (level == kLevelVsock && socket.kind == proto::AddressKind::kVsock)
    return set_vsock(socket, option, value);
  return ENOPROTOOPT;
}

}  // namespace vmbus::emu
