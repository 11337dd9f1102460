#include "tools/vmbus/installation.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <system_error>

namespace vmbus::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSeparators = " :\t\n";

bool has_separator(const std::string& path) {
  return path.find_first_of(kSeparators) != std::string::npos;
}

Outcome<std::string> existing(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error)) return path.string();
  return fail(kExitRunFailed,
              fmt::format("{} is missing; build it, or install vmbus again", path.string()));
}

// Made under another name first: whoever uses the link meanwhile finds it there at all times.
std::error_code replace_link(const std::string& target, const std::string& link) {
  const std::string fresh = fmt::format("{}.{}", link, ::getpid());
  std::error_code error;
  fs::remove(fresh, error);
  fs::create_symlink(target, fresh, error);
  if (!error) fs::rename(fresh, link, error);
  return error;
}

}  // namespace

std::string own_executable() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).string();
}

Outcome<Installation> find_installation(const std::string& executable) {
  const fs::path parts = fs::path(executable).parent_path().parent_path() / "lib/vmbus";
  const auto shim = existing(parts / "libvmbus_shim.so");
  if (!shim) return tl::make_unexpected(shim.error());
  const auto python = existing(parts / "python/site");
  if (!python) return tl::make_unexpected(python.error());
  return Installation{*shim, *python};
}

Outcome<std::string> preloadable(const std::string& library, const std::string& link_directory) {
  if (!has_separator(library)) return library;
  const std::size_t hash = std::hash<std::string>{}(library);  // two builds, two links
  const std::string link = fmt::format("{}/libvmbus_shim-{:016x}.so", link_directory, hash);
  if (has_separator(link)) {
    return fail(kExitRunFailed,
                fmt::format("LD_PRELOAD cannot hold '{}', nor a link in '{}': blanks and colons "
                            "separate its entries; set VMBUS_SOCKET to a path without them",
                            library, link_directory));
  }
  if (const std::error_code error = replace_link(library, link)) {
    return fail(kExitRunFailed, fmt::format("cannot make {}: {}", link, error.message()));
  }
  return link;
}

}  // namespace vmbus::tools
