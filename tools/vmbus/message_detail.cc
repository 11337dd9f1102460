#include "tools/vmbus/message_detail.h"

#include <fmt/format.h>

#include <optional>
#include <variant>

#include "emu/protocol/address.h"
#include "emu/protocol/hvsock_offer.h"
#include "emu/protocol/message_codec.h"
#include "emu/protocol/messages.h"

namespace vmbus::tools {
namespace {

using namespace proto;

constexpr std::size_t kPageNumberBytes = 8;
constexpr std::size_t kRangeHeaderBytes = 8;  // length and offset, before a range's page numbers

std::string service_text(const Guid& service) {
  if (const auto port = port_of(service)) return fmt::format("port {}", port->value);
  return fmt::format("service {}", to_text(service).view());
}

std::string status_text(Status status) {
  return status.ok() ? "success" : fmt::format("failure 0x{:08x}", status.value);
}

std::string gpadl_text(GpadlId gpadl) { return fmt::format("GPADL 0x{:x}", gpadl.value); }

struct Describe {
  std::string operator()(const InitiateContact& message) const {
    const std::uint32_t version = message.requested_version;
    return fmt::format("version {}.{}", version >> 16, version & 0xFFFF);
  }
  std::string operator()(const InitiateContact2& message) const { return (*this)(message.contact); }

  std::string operator()(const VersionResponse& message) const {
    if (message.version_supported == 0) return "not supported";
    return message.connection_state == ConnectionState::kSuccessful ? "supported"
                                                                    : "supported, but failed";
  }
  std::string operator()(const VersionResponse2& message) const {
    return (*this)(message.response);
  }
  std::string operator()(const VersionResponse3& message) const {
    return (*this)(message.response);
  }

  std::string operator()(const OfferChannel& message) const {
    if (!is_hvsock_offer(message)) return {};
    const bool host_dials =
        parse_user_defined(message.user_defined).initiator == HvsockInitiator::kHost;
    return fmt::format("hvsocket, {}'s {}", host_dials ? "guest" : "host",
                       service_text(message.interface_id));
  }
  std::string operator()(const TlConnectRequest& message) const {
    return fmt::format("host's {}", service_text(message.service_id));
  }
  std::string operator()(const TlConnectRequest2& message) const {
    return (*this)(message.request);
  }
  std::string operator()(const TlConnectResult& message) const {
    return fmt::format("host's {}: {}", service_text(message.service_id),
                       status_text(message.status));
  }

  std::string operator()(const WithTail<GpadlHeader>& message) const {
    const GpadlHeader& header = message.fixed;
    const std::size_t headers = kRangeHeaderBytes * header.range_count;
    const std::size_t pages = header.range_buffer_bytes < headers
                                  ? 0
                                  : (header.range_buffer_bytes - headers) / kPageNumberBytes;
    return fmt::format("{}: {} pages", gpadl_text(header.gpadl_id), pages);
  }
  std::string operator()(const WithTail<GpadlBody>& message) const {
    return fmt::format("{}, {} page numbers", gpadl_text(message.fixed.gpadl_id),
                       message.tail.size() / kPageNumberBytes);
  }
  std::string operator()(const GpadlCreated& message) const {
    return fmt::format("{}: {}", gpadl_text(message.gpadl_id), status_text(message.status));
  }
  std::string operator()(const GpadlTeardown& message) const {
    return gpadl_text(message.gpadl_id);
  }
  std::string operator()(const GpadlTorndown& message) const {
    return gpadl_text(message.gpadl_id);
  }

  std::string operator()(const OpenChannel& message) const {
    return fmt::format("{}, host-to-guest ring from page {}", gpadl_text(message.ring_gpadl),
                       message.downstream_page_offset);
  }
  std::string operator()(const OpenChannelResult& message) const {
    return status_text(message.status);
  }
  std::string operator()(const ModifyChannelResponse& message) const {
    return status_text(message.status);
  }

  template <typename SaysNoMore>
  std::string operator()(const SaysNoMore& /*message*/) const {
    return {};
  }
};

}  // namespace

std::string detail_of(std::span<const std::byte> payload, Direction direction) {
  // The newest version whose layouts need no features; what it does not know stays without detail.
  constexpr Negotiated kReadAs{ProtocolVersion::kV5_3, {}};
  const DecodeResult decoded = decode(payload, direction, kReadAs);
  if (const auto* message = std::get_if<Message>(&decoded)) return std::visit(Describe{}, *message);
  return {};
}

}  // namespace vmbus::tools
