#include "emu/client/service_list.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "emu/client/error.h"
#include "emu/client/guest_rules.h"
#include "emu/client/printable.h"
#include "emu/owned_fd.h"
#include "emu/protocol/address.h"

namespace vmbus::client {
namespace {

constexpr std::string_view kBlanks = " \t\r";
constexpr std::size_t kMaxFileBytes = std::size_t{8} << 20;
constexpr std::string_view kLegalServices =
    "a service GUID (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx) or a vsock port, 0 to 4294967295";

std::optional<std::uint32_t> parse_port(std::string_view word) {
  const bool hex = word.starts_with("0x") || word.starts_with("0X");
  std::uint32_t port = 0;
  const char* const end = word.data() + word.size();
  const char* const digits = word.data() + (hex ? 2 : 0);
  const auto [stop, error] = std::from_chars(digits, end, port, hex ? 16 : 10);
  return error == std::errc{} && stop == end ? std::optional(port) : std::nullopt;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string_view without_comment(std::string_view line) {
  for (std::size_t mark = line.find('#'); mark != std::string_view::npos;
       mark = line.find('#', mark + 1)) {
    if (mark == 0 || kBlanks.find(line[mark - 1]) != std::string_view::npos) {
      return line.substr(0, mark);
    }
  }
  return line;
}

std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

tl::unexpected<std::string> cannot_read(const std::string& path, std::string_view why) {
  return tl::unexpected(
      fmt::format("cannot read the list of services '{}': {}", printable(path), why));
}

}  // namespace

tl::expected<proto::Guid, std::string> parse_service(std::string_view word) {
  if (const auto port = parse_port(word)) return proto::service_id_of(proto::Port{*port});
  if (const auto id = proto::parse_guid(word); id && *id != proto::Guid{}) return *id;
  return tl::unexpected(bad_value("service", word, kLegalServices));
}

tl::expected<ListedService, std::string> make_service(std::string_view word,
                                                      std::string_view name) {
  const auto id = parse_service(word);
  if (!id) return tl::unexpected(id.error());
  if (name.size() > kMaxServiceNameBytes) {
    return tl::unexpected(bad_value("name of a service", name,
                                    fmt::format("at most {} bytes", kMaxServiceNameBytes)));
  }
  return ListedService{*id, printable(name)};
}

tl::expected<std::vector<ListedService>, std::string> parse_services(std::string_view text,
                                                                     std::string_view where) {
  std::vector<ListedService> services;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view entry = trimmed(without_comment(take_line(text)));
    if (entry.empty()) continue;
    const std::size_t end = entry.find_first_of(kBlanks);
    const std::string_view name =
        end == std::string_view::npos ? std::string_view{} : trimmed(entry.substr(end));
    auto service = make_service(entry.substr(0, end), name);
    if (!service) {
      return tl::unexpected(fmt::format("{}:{}: {}", printable(where), number, service.error()));
    }
    if (services.size() == kMaxServices) {
      return tl::unexpected(
          fmt::format("{}:{}: more than {} services", printable(where), number, kMaxServices));
    }
    services.push_back(std::move(*service));
  }
  return services;
}

tl::expected<std::vector<ListedService>, std::string> read_services(const std::string& path) {
  const emu::OwnedFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return cannot_read(path, errno_text(errno));
  std::string text;
  std::array<char, 65536> block{};
  while (true) {
    const ssize_t length = ::read(file.get(), block.data(), block.size());
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return cannot_read(path, errno_text(errno));
    if (length == 0) return parse_services(text, path);
    text.append(block.data(), static_cast<std::size_t>(length));
    if (text.size() > kMaxFileBytes) {
      return cannot_read(path, fmt::format("it has more than {} bytes", kMaxFileBytes));
    }
  }
}

}  // namespace vmbus::client
