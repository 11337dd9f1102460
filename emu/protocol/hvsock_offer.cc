#include "emu/protocol/hvsock_offer.h"

#include <algorithm>

namespace vmbus::proto {
namespace {

constexpr std::size_t kPipeTypeOffset = 0;
constexpr std::size_t kIsForGuestAcceptOffset = 4;
constexpr std::size_t kIsForGuestContainerOffset = 5;
constexpr std::size_t kVersionOffset = 6;
constexpr std::size_t kSiloIdOffset = 10;

template <typename T>
void put(UserDefined& area, std::size_t offset, const T& value) {
  std::ranges::copy(std::as_bytes(std::span(&value, 1)),
                    area.begin() + static_cast<std::ptrdiff_t>(offset));
}

template <typename T>
T get(std::span<const std::byte, kUserDefinedBytes> area, std::size_t offset) {
  T value;
  std::ranges::copy(area.subspan(offset, sizeof(T)),
                    std::as_writable_bytes(std::span(&value, 1)).begin());
  return value;
}

}  // namespace

UserDefined build_user_defined(const HvsockParameters& parameters) {
  UserDefined area{};
  put(area, kPipeTypeOffset, parameters.pipe_type);
  put(area, kIsForGuestAcceptOffset, parameters.initiator);
  put(area, kIsForGuestContainerOffset,
      static_cast<std::uint8_t>(parameters.is_for_guest_container));
  put(area, kVersionOffset, parameters.version);
  put(area, kSiloIdOffset, parameters.silo_id);
  return area;
}

HvsockParameters parse_user_defined(std::span<const std::byte, kUserDefinedBytes> area) {
  HvsockParameters parameters{
      .pipe_type = get<PipeType>(area, kPipeTypeOffset),
      .initiator = get<std::uint8_t>(area, kIsForGuestAcceptOffset) != 0 ? HvsockInitiator::kHost
                                                                         : HvsockInitiator::kGuest,
      .is_for_guest_container = get<std::uint8_t>(area, kIsForGuestContainerOffset) != 0,
      .version = get<std::uint32_t>(area, kVersionOffset)};
  if (parameters.version >= kHvsockParametersRs5) {
    parameters.silo_id = get<Guid>(area, kSiloIdOffset);
  }
  return parameters;
}

OfferChannel make_hvsock_offer(Relid relid, const Guid& service_id, const Guid& endpoint_id,
                               const HvsockParameters& parameters) {
  return {.interface_id = service_id,
          .instance_id = endpoint_id,
          .flags = OfferFlags{OfferFlag::kEnumerateDeviceInterface} | OfferFlag::kNamedPipeMode |
                   OfferFlag::kTlnpiProvider,
          .user_defined = build_user_defined(parameters),
          .relid = relid,
          .dedicated_interrupt = 1,
          .connection_id = event_connection(relid)};
}

}  // namespace vmbus::proto
