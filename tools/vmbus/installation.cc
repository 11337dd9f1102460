#include "tools/vmbus/installation.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <system_error>

namespace vmbus::tools {
namespace {

namespace fs = std::filesystem;

// A variable that lists paths.
struct PathList {
  const char* variable;
  const char* separators;
  const char* separators_in_words;

  bool can_hold(const std::string& path) const {
    return path.find_first_of(separators) == std::string::npos;
  }
};

constexpr PathList kPreload{"LD_PRELOAD", " :\t\n", "blanks and colons"};
constexpr PathList kPythonPath{"PYTHONPATH", ":", "colons"};

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

// `name`: with a place for the target's hash, as two builds need two links.
Outcome<std::string> link_to(const std::string& target, const std::string& directory,
                             fmt::format_string<std::size_t> name, const PathList& list) {
  std::string link =
      fmt::format("{}/{}", directory, fmt::format(name, std::hash<std::string>{}(target)));
  if (!list.can_hold(link)) {
    return fail(kExitRunFailed,
                fmt::format("{} cannot hold '{}', nor a link in '{}': {} separate its entries; set "
                            "VMBUS_SOCKET to a path without them",
                            list.variable, target, directory, list.separators_in_words));
  }
  if (const std::error_code error = replace_link(target, link)) {
    return fail(kExitRunFailed, fmt::format("cannot make {}: {}", link, error.message()));
  }
  return link;
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
  if (kPreload.can_hold(library)) return library;
  return link_to(library, link_directory, "libvmbus_shim-{:016x}.so", kPreload);
}

Outcome<std::string> importable(const std::string& folder, const std::string& link_directory) {
  if (kPythonPath.can_hold(folder)) return folder;
  const fs::path path(folder);
  auto link = link_to(path.parent_path(), link_directory, "python-{:016x}", kPythonPath);
  if (!link) return link;
  return (fs::path(*link) / path.filename()).string();
}

}  // namespace vmbus::tools
