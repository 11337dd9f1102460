#include "tools/vmbus/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "emu/owned_fd.h"
#include "tools/vmbus/elf_file.h"

namespace vmbus::tools {
namespace {

constexpr int kMaxInterpreters = 4;  // scripts that name scripts; the kernel's own limit
constexpr std::size_t kMaxScriptLine = 255;
constexpr const char* kDefaultPath = "/bin:/usr/bin";

bool is_executable_file(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// Set-user-ID, set-group-ID or file capabilities that give something to whom we are.
bool gains_rights(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return false;
  const bool sets_user = (status.st_mode & S_ISUID) != 0 && status.st_uid != ::geteuid();
  const bool sets_group = (status.st_mode & S_ISGID) != 0 && status.st_gid != ::getegid();
  const bool has_capabilities =
      ::geteuid() != 0 && ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
  return sets_user || sets_group || has_capabilities;
}

// Mapped, not read: of a large program, only a few pages matter.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const emu::OwnedFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    const auto bytes = static_cast<std::size_t>(status.st_size);
    void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (mapped != MAP_FAILED) content_ = {static_cast<const char*>(mapped), bytes};
  }
  ~MappedFile() {
    if (!content_.empty()) ::munmap(const_cast<char*>(content_.data()), content_.size());
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view content() const { return content_; }

 private:
  std::string_view content_;
};

// "#!/usr/bin/python3 -u" -> "/usr/bin/python3"; empty when the file is no script.
std::string script_interpreter(const std::string& path) {
  const MappedFile file(path);
  std::string_view line = file.content().substr(0, kMaxScriptLine);
  if (!line.starts_with("#!")) return {};
  line = line.substr(2, line.find('\n') - 2);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return std::string(line.substr(0, line.find_first_of(" \t")));
}

std::string final_interpreter(std::string path) {
  for (int i = 0; i < kMaxInterpreters; ++i) {
    std::string interpreter = script_interpreter(path);
    if (interpreter.empty()) break;
    path = std::move(interpreter);
  }
  return path;
}

}  // namespace

std::optional<std::string> find_program(const std::string& name, const char* path_variable) {
  if (name.find('/') != std::string::npos) return name;
  std::string_view folders = path_variable == nullptr ? kDefaultPath : path_variable;
  while (true) {
    const std::size_t end = std::min(folders.find(':'), folders.size());
    const std::string_view folder = folders.substr(0, end);
    std::string candidate = folder.empty() ? name : fmt::format("{}/{}", folder, name);
    if (is_executable_file(candidate)) return candidate;
    if (end == folders.size()) return std::nullopt;
    folders.remove_prefix(end + 1);
  }
}

Program inspect_program(const std::string& path) {
  Program program;
  program.path = final_interpreter(path);
  const MappedFile content(program.path);
  const ElfFile file(content.content());
  if (!file.is_elf()) return program;
  if (!file.is_native()) {
    program.preload = Preload::kOtherMachine;
  } else if (!file.has_interpreter()) {
    program.preload = Preload::kStatic;
  } else if (gains_rights(program.path)) {
    program.preload = Preload::kPrivileged;
  }
  for (const std::string& library : file.needed()) {
    if (library.starts_with("libasan.so")) program.sanitizer = library;
  }
  return program;
}

std::string preload_warning(const Program& program) {
  const auto warn = [&](std::string_view why) {
    return fmt::format(
        "{} {}, so the shim cannot be loaded into it: its AF_VSOCK and AF_HYPERV "
        "sockets are the kernel's own, not this bus's",
        program.path, why);
  };
  switch (program.preload) {
    case Preload::kReaches:
      return {};
    case Preload::kStatic:
      return warn("is linked statically");
    case Preload::kOtherMachine:
      return warn("is built for another processor or word size");
    case Preload::kPrivileged:
      return warn("gains rights when it starts (set-user-ID, set-group-ID or capabilities)");
  }
  return {};
}

}  // namespace vmbus::tools
