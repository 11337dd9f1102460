#include "tests/stress/progress.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/hostile/sockets.h"

namespace vmbus::stress {

Progress& Progress::in(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  void* base = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || base == MAP_FAILED) hostile::fail(hostile::kExitNoSocket, "no file of progress");
  ::close(fd);
  return *static_cast<Progress*>(base);
}

}  // namespace vmbus::stress
