#include "emu/client/bus_path.h"

#include <fmt/format.h>
#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "emu/client/bus_lock.h"
#include "emu/client/unix_socket.h"

namespace vmbus::client {
namespace {

constexpr std::string_view kPrivatePrefix = "private-";

// Room for ".lock" and ".log" after the socket's own name.
constexpr std::size_t kMaxPathBytes = PATH_MAX - 16;

tl::expected<BusPath, Error> checked(std::string_view source, std::string path) {
  const auto bad = [&](std::string_view why) {
    return tl::unexpected(Error{EINVAL, fmt::format("{} '{}': {}", source, path, why)});
  };
  const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
  if (path.size() > kMaxPathBytes) return bad("longer than a path may be");
  if (name.empty() || name == "." || name == "..") return bad("names a directory; add a file name");
  if (name.size() > kMaxSocketNameBytes)
    return bad(fmt::format("the file name is longer than {} bytes", kMaxSocketNameBytes));
  return BusPath{std::move(path)};
}

// Unset and empty mean the same, as everywhere in the environment.
std::string_view variable(const VariableLookup& lookup, const char* name) {
  const char* value = lookup(name);
  return value == nullptr ? std::string_view{} : std::string_view(value);
}

}  // namespace

tl::expected<BusPath, Error> resolve_bus_path(std::string_view given,
                                              const VariableLookup& lookup) {
  if (!given.empty()) {
    std::error_code error;
    const auto absolute = std::filesystem::absolute(given, error);
    if (error) return tl::unexpected(Error{error.value(), "cannot tell the working directory"});
    return checked("socket path", absolute.string());
  }
  if (const std::string_view path = variable(lookup, "VMBUS_SOCKET"); !path.empty()) {
    if (path.front() != '/') {
      return tl::unexpected(Error{
          EINVAL, fmt::format("VMBUS_SOCKET '{}': want an absolute path, like /tmp/my/bus", path)});
    }
    return checked("VMBUS_SOCKET", std::string(path));
  }
  // Relative values are to be ignored, says the XDG base directory specification.
  if (const std::string_view path = variable(lookup, "XDG_RUNTIME_DIR"); path.starts_with('/'))
    return checked("XDG_RUNTIME_DIR", fmt::format("{}/vmbus/bus", path));
  return BusPath{fmt::format("/tmp/vmbus-{}/bus", ::geteuid())};
}

tl::expected<BusPath, Error> make_private_bus(const BusPath& usual) {
  const auto parent = open_bus_directory(usual);
  if (!parent) return tl::unexpected(parent.error());
  const std::string where = lasting_directory(usual);
  std::string directory = fmt::format("{}/{}XXXXXX", where, kPrivatePrefix);
  if (::mkdtemp(directory.data()) == nullptr) {
    const int error = errno;
    return tl::unexpected(
        Error{error, fmt::format("cannot make a directory in {}: {}", where, errno_text(error))});
  }
  return BusPath{directory + "/bus"};
}

bool is_private_bus(const BusPath& bus) {
  const std::string directory = bus.directory();
  return std::string_view(directory).substr(directory.rfind('/') + 1).starts_with(kPrivatePrefix);
}

std::string lasting_directory(const BusPath& bus) {
  if (!is_private_bus(bus)) return bus.directory();
  // Not one that others can write to, where somebody mounted a private bus alone.
  const BusPath outer{bus.directory().substr(0, bus.directory().rfind('/')) + "/bus"};
  return open_bus_directory(outer) ? outer.directory() : bus.directory();
}

void remove_private_bus(const BusPath& bus) {
  ::unlink(bus.socket.c_str());
  ::unlink(bus.lock().c_str());
  ::unlink(bus.log().c_str());
  ::rmdir(bus.directory().c_str());
}

}  // namespace vmbus::client
