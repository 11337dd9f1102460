// Descriptors that are inherited, copied and passed on: cases 305 to 309.
#include <sys/wait.h>

#include <array>
#include <functional>

#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

// A child process that runs `body` and exits with what it returns; told and heard over a pair.
class Child {
 public:
  using Body = std::function<int(const Socket& parent)>;
  explicit Child(const Body& body) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
    parent_end_ = Socket(pair[0]);
    Socket child_end(pair[1]);
    pid_ = ::fork();
    if (pid_ != 0) return;
    parent_end_.close();
    ::_exit(body(child_end));
  }
  ~Child() {
    parent_end_.close();
    if (pid_ > 0) wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  const Socket& channel() const { return parent_end_; }
  // Its exit status; -1 if it did not exit.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  Socket parent_end_;
};

void wait_for_word(const Socket& channel) {
  char word = 0;
  (void)::read(channel.fd(), &word, 1);
}

bool pass_descriptor(const Socket& over, int fd) {
  char byte = 'f';
  iovec data{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  *header = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return ::sendmsg(over.fd(), &message, 0) == 1;
}

Socket take_descriptor(const Socket& over) {
  char byte = 0;
  iovec data{&byte, 1};
  int fd = -1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(over.fd(), &message, MSG_CMSG_CLOEXEC) != 1) return Socket();
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr) std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return Socket(fd);
}

// Starts a shell with `connection` as its descriptor 3, and nothing else of ours but the channel as
// its input.
int run_shell(const Socket& channel, const Socket& connection, const char* script) {
  ::dup2(channel.fd(), STDIN_FILENO);
  if (connection.fd() != 3) ::dup2(connection.fd(), 3);
  ::execl("/bin/sh", "sh", "-c", script, nullptr);
  return 127;
}

}  // namespace

VMBUS_CASE(Descriptors, 305, kEverywhere,
           "a child's copy keeps the connection after the parent's close") {
  Connection pair = connected();
  Child child([&](const Socket& parent) {
    wait_for_word(parent);
    const bool sent = pair.here.send("from the child") == gives(14);
    wait_for_word(parent);
    return sent ? 0 : 1;
  });
  ASSERT_EQ(pair.here.close(), gives(0));
  ASSERT_EQ(child.channel().send("s"), gives(1));
  EXPECT_EQ(pair.there.receive(100).data, "from the child");
  EXPECT_EQ(pair.there.poll(), POLLOUT | POLLWRNORM) << "not at its end";
  ASSERT_EQ(child.channel().send("e"), gives(1));
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(pair.there.receive(100).outcome, gives(0));
}

VMBUS_CASE(Descriptors, 306, kEverywhere,
           "dup2() onto a socket closes it and gives the other two numbers") {
  const Connection kept = connected();
  const Connection replaced = connected();
  ASSERT_EQ(outcome(::dup2(kept.here.fd(), replaced.here.fd())), gives(replaced.here.fd()));
  EXPECT_EQ(replaced.there.receive(10).outcome, gives(0));
  EXPECT_EQ(kept.here.send("by its own "), gives(11));
  EXPECT_EQ(replaced.here.send("by the other"), gives(12));
  EXPECT_EQ(kept.there.receive_all(23), "by its own by the other");
  EXPECT_EQ(kept.here.peer_name().second.size, replaced.here.peer_name().second.size);
}

VMBUS_CASE(Descriptors, 307, kEverywhere,
           "exec closes a close-on-exec socket, and the peer sees the end") {
  Connection pair = connected();
  const Child child([&](const Socket& parent) {
    ::fcntl(pair.here.fd(), F_SETFD, FD_CLOEXEC);
    ::dup2(parent.fd(), STDIN_FILENO);
    ::execl("/bin/cat", "cat", nullptr);  // until this test ends
    return 127;
  });
  ASSERT_EQ(pair.here.close(), gives(0));
  EXPECT_EQ(pair.there.receive(10).outcome, gives(0));
}

VMBUS_CASE(Descriptors, 308, kEverywhere, "a program that inherits a connection continues it") {
  Connection pair = connected();
  Child child([&](const Socket& parent) {
    return run_shell(parent, pair.here, "read word <&3 && echo \"got $word\" >&3");
  });
  ASSERT_EQ(pair.here.close(), gives(0));
  ASSERT_EQ(pair.there.send("a word\n"), gives(7));
  EXPECT_EQ(pair.there.receive_all(11), "got a word\n");
  EXPECT_EQ(pair.there.receive(10).outcome, gives(0));
  EXPECT_EQ(child.wait(), 0);
}

VMBUS_CASE(Descriptors, 309, kEverywhere,
           "a connection passed over an AF_UNIX socket is the receiver's") {
  Child child([](const Socket& parent) {
    const Socket passed = take_descriptor(parent);
    const bool named = passed.peer_name().first == gives(0);
    const bool echoed = passed.send(passed.receive(100).data) == gives(4);
    return named && echoed ? 0 : 1;
  });
  Connection pair = connected();
  ASSERT_TRUE(pass_descriptor(child.channel(), pair.here.fd()));
  ASSERT_EQ(pair.here.close(), gives(0));
  ASSERT_EQ(pair.there.send("echo"), gives(4));
  EXPECT_EQ(pair.there.receive(100).data, "echo");
  EXPECT_EQ(pair.there.receive(100).outcome, gives(0));
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace vmbus::cases
