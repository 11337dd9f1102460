#include "emu/report_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace vmbus::emu {

tl::expected<OwnedFd, int> make_report_file(const google::protobuf::MessageLite& report) {
  OwnedFd file(::memfd_create("vmbus-report", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || !report.SerializeToFileDescriptor(file.get())) return tl::unexpected(errno);
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) return tl::unexpected(errno);
  return file;
}

}  // namespace vmbus::emu
