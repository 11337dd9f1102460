// fault_roles: the programs of fault_test.py. One connection, one stream of bytes; each says on standard output
// what each call gave, so that what a process did before it was killed is known.
//
// The stream    64-bit words: 0, 1, 2, ... A byte's place in it can be told from the bytes around it.
// Output        "sent N", "got N": the call at hand gave N bytes; "end", "failed ERRNO": the last call.
//
//   fault_roles send CID PORT PIECE TOTAL HABIT        in pieces of at most PIECE bytes; TOTAL 0: until it fails
//   fault_roles receive PORT PIECE TOTAL HABIT FILE    appends what comes to FILE; TOTAL 0: until the end
//   fault_roles send-shared, receive-shared            the same, in turns with a forked child. The child's
//                                                      VMBUS_FAULT is what the variable CHILD_FAULT says
// HABIT   calm: no signal handlers, calls that wait. signals: a handler. poll: waits in poll, calls do not.
//         raw: the same, but no hook sees the poll
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Needs sys/socket.h before it.
#include <linux/vm_sockets.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/unhooked.h"

namespace {

constexpr int kExitBad = 2;

void say(const char* what, long number) {
  std::array<char, 64> line{};
  const int length = std::snprintf(line.data(), line.size(), "%s %ld\n", what, number);
  if (::write(STDOUT_FILENO, line.data(), static_cast<std::size_t>(length)) != length) {
    ::_exit(kExitBad);
  }
}

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(kExitBad);
}

sockaddr_vm address_of(const char* cid, const char* port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = static_cast<unsigned>(std::strtoul(cid, nullptr, 10));
  address.svm_port = static_cast<unsigned>(std::strtoul(port, nullptr, 10));
  return address;
}

int dial(const char* cid, const char* port) {
  const int fd = ::socket(AF_VSOCK, SOCK_STREAM, 0);
  const sockaddr_vm address = address_of(cid, port);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    give_up("connect");
  }
  return fd;
}

int accept_one(const char* port) {
  const int listener = ::socket(AF_VSOCK, SOCK_STREAM, 0);
  const sockaddr_vm address = address_of("4294967295", port);
  if (listener < 0 ||
      ::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 1) != 0) {
    give_up("listen");
  }
  const int fd = ::accept(listener, nullptr, nullptr);
  if (fd < 0) give_up("accept");
  ::close(listener);
  return fd;
}

// Two processes that take turns, each until the other is gone.
class Turns {
 public:
  // True: this is the child, which begins.
  bool fork() {
    if (::pipe(to_child_.data()) != 0 || ::pipe(to_parent_.data()) != 0) give_up("pipe");
    child_ = ::fork();
    if (child_ != 0) {
      ::close(to_child_[0]);
      ::close(to_parent_[1]);
      return false;
    }
    ::close(to_child_[1]);
    ::close(to_parent_[0]);
    if (const char* fault = std::getenv("CHILD_FAULT")) ::setenv("VMBUS_FAULT", fault, 1);
    return true;
  }
  bool is_shared() const { return child_ != -1; }
  bool is_child() const { return child_ == 0; }
  // For the other's turn to end: its end may be that.
  void wait() {
    if (!is_shared() || (is_child() && std::exchange(begins_, false))) return;
    char token = 0;
    if (is_alone_ || ::read(is_child() ? to_child_[0] : to_parent_[0], &token, 1) > 0) return;
    is_alone_ = true;
    finish();
  }
  // The parent's: how the child ended.
  void finish() {
    if (child_ > 0) ::close(std::exchange(to_child_[1], -1));  // it waits for no turn any more
    int status = 0;
    if (child_ <= 0 || ::waitpid(std::exchange(child_, -2), &status, 0) < 0) return;
    say("child-killed", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  }
  void pass() {
    if (!is_shared() || is_alone_) return;
    const ssize_t written = ::write(is_child() ? to_parent_[1] : to_child_[1], "x", 1);
    static_cast<void>(written);  // the other may be gone: the next wait() tells
  }

 private:
  std::array<int, 2> to_child_{};
  std::array<int, 2> to_parent_{};
  pid_t child_ = -1;
  bool begins_ = true;
  bool is_alone_ = false;
};

struct Task {
  int fd = -1;
  std::size_t piece = 0;
  std::size_t total = 0;
  bool polls = false;
  bool polls_raw = false;
  Turns turns;
};

void wait_for(const Task& task, short events) {
  pollfd wanted{task.fd, events, 0};
  if (task.polls_raw) {
    unhooked(SYS_ppoll, pointer_argument(&wanted), 1, 0, 0, 0);
  } else if (task.polls) {
    ::poll(&wanted, 1, -1);
  }
}

// From 1 to `piece` bytes, small ones too; the same in each run.
std::size_t next_length(std::size_t piece, unsigned& state) {
  state = state * 1'103'515'245 + 12345;
  return 1 + (state >> 4) % piece;
}

void fill(std::vector<unsigned char>& bytes, std::size_t offset) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint64_t word = (offset + i) / 8;
    bytes[i] = static_cast<unsigned char>(word >> (offset + i) % 8 * 8);
  }
}

// A record of the shared stream is told by its number, in the high half of its words.
void fill_record(std::vector<unsigned char>& bytes, std::uint64_t number) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint64_t word = number << 32 | i / 8;
    bytes[i] = static_cast<unsigned char>(word >> i % 8 * 8);
  }
}

// Until all is sent, or a call fails: false.
bool send_all(const Task& task, const std::vector<unsigned char>& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    wait_for(task, POLLOUT);
    const ssize_t count = ::send(task.fd, bytes.data() + done, bytes.size() - done,
                                 MSG_NOSIGNAL | (task.polls ? MSG_DONTWAIT : 0));
    if (count < 0 && errno == EAGAIN) continue;
    if (count < 0) {
      say("failed", errno);
      return false;
    }
    say("sent", count);
    done += static_cast<std::size_t>(count);
  }
  return true;
}

void send_stream(const Task& task) {
  unsigned state = 1;
  for (std::size_t done = 0; task.total == 0 || done < task.total;) {
    const std::size_t length = next_length(task.piece, state);
    std::vector<unsigned char> bytes(task.total == 0 ? length
                                                     : std::min(length, task.total - done));
    fill(bytes, done);
    if (!send_all(task, bytes)) return;
    done += bytes.size();
  }
  say("end", 0);
}

// Parent and child: each has every second record. TOTAL is their number.
void send_records(Task& task) {
  unsigned state = 1;
  for (std::uint64_t number = 0; number < task.total; ++number) {
    std::vector<unsigned char> bytes(next_length(task.piece, state));
    const bool is_childs = number % 2 == 0;
    if (is_childs != task.turns.is_child()) continue;
    task.turns.wait();
    fill_record(bytes, number);
    say(is_childs ? "child-begins" : "parent-begins", static_cast<long>(number));
    if (!send_all(task, bytes)) return;
    say(is_childs ? "child-ends" : "parent-ends", static_cast<long>(number));
    task.turns.pass();
  }
}

ssize_t receive_some(const Task& task, unsigned char* bytes, std::size_t length) {
  while (true) {
    wait_for(task, POLLIN);
    const ssize_t count = ::recv(task.fd, bytes, length, task.polls ? MSG_DONTWAIT : 0);
    if (count >= 0 || errno != EAGAIN) return count;
  }
}

void receive_stream(Task& task, int file) {
  unsigned state = 1;
  std::vector<unsigned char> bytes(task.piece);
  for (std::size_t done = 0; task.total == 0 || done < task.total;) {
    const std::size_t length = next_length(task.piece, state);
    task.turns.wait();
    const ssize_t count = receive_some(task, bytes.data(), length);
    if (count <= 0) return say(count == 0 ? "end" : "failed", count == 0 ? 0 : errno);
    if (::write(file, bytes.data(), static_cast<std::size_t>(count)) != count) give_up("write");
    say(task.turns.is_shared() && task.turns.is_child() ? "child-got" : "got", count);
    done += static_cast<std::size_t>(count);
    task.turns.pass();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + 1, argv + argc);
  if (words.size() < 6) give_up("usage");
  const bool sends = words[0].starts_with("send");
  const char* const* rest = argv + (sends ? 4 : 3);  // PIECE TOTAL HABIT
  Task task;
  task.piece = std::strtoul(rest[0], nullptr, 10);
  task.total = std::strtoul(rest[1], nullptr, 10);
  const std::string_view habit = rest[2];
  task.polls_raw = habit == "raw";
  task.polls = habit == "poll" || task.polls_raw;
  if (habit == "signals") ::signal(SIGUSR1, [](int) {});
  ::signal(SIGPIPE, SIG_IGN);  // of the turns' pipes
  task.fd = sends ? dial(argv[2], argv[3]) : accept_one(argv[2]);
  const bool is_shared = words[0].ends_with("-shared");
  if (is_shared) task.turns.fork();
  if (sends) {
    is_shared ? send_records(task) : send_stream(task);
  } else {
    const int file = ::open(rest[3], O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (file < 0) give_up("open");
    receive_stream(task, file);
  }
  ::close(task.fd);
  if (task.turns.is_shared() && !task.turns.is_child()) task.turns.finish();
  return 0;
}
