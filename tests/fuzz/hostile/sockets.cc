#include "tests/fuzz/hostile/sockets.h"

// linux/vm_sockets.h needs sys/socket.h before it.
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace vmbus::hostile {
namespace {

sockaddr_vm address_of(std::uint32_t cid, std::uint32_t port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

int make_socket() {
  const int fd = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(kExitNoSocket, "there is no socket to be had");
  return fd;
}

}  // namespace

void fail(int status, std::string_view what) {
  std::fprintf(stderr, "%.*s (errno: %s)\n", static_cast<int>(what.size()), what.data(),
               std::strerror(errno));
  std::fflush(stderr);
  ::_exit(status);
}

void report_calls() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string call;
    std::getline(std::ifstream(task.path() / "syscall"), call);
    std::fprintf(stderr, "thread %s: call %s\n", task.path().filename().c_str(), call.c_str());
  }
}

bool is_told_to_end(std::chrono::milliseconds wait) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return ::poll(&input, 1, static_cast<int>(wait.count())) > 0;
}

int listen_on(std::uint32_t port) {
  const int listener = make_socket();
  const sockaddr_vm address = address_of(VMADDR_CID_ANY, port);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 64) != 0) {
    fail(kExitNoSocket, "cannot listen");
  }
  return listener;
}

int dial(std::uint32_t cid, std::uint32_t port) {
  const int fd = make_socket();
  const sockaddr_vm address = address_of(cid, port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

void accept_all(int listener, const std::function<void(int)>& serve) {
  while (true) {
    std::array<pollfd, 2> wanted{{{listener, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
    ::poll(wanted.data(), wanted.size(), -1);
    if (wanted[1].revents != 0) break;
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) serve(fd);
  }
  ::close(listener);
}

}  // namespace vmbus::hostile
