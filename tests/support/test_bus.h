// TestBus: a whole bus in one process, without control connections and shim: loop, guests, both
// halves, sockets, pump. A TestSocket is what a program has: the end A of a carrier, and the
// requests its shim would send.
//
// Nothing here sleeps or times: settle() turns the loop until it has nothing left to do.
#ifndef VMBUS_TESTS_SUPPORT_TEST_BUS_H_
#define VMBUS_TESTS_SUPPORT_TEST_BUS_H_

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "emu/counters.h"
#include "emu/event_loop.h"
#include "emu/hvsocket/socket_requests.h"
#include "emu/hvsocket/sockets.h"
#include "emu/message_log.h"

namespace vmbus::emu {

class TestBus;

// One program's socket. Destroying it is its last close.
class TestSocket {
 public:
  TestSocket(TestBus& bus, OwnedFd a) : bus_(&bus), a_(std::move(a)) {}

  int a() const { return a_.get(); }
  Socket& state() const;
  // 0 or the errno of the call.
  int bind(const proto::Address& address, bool privileged = true);
  int listen(int backlog = 8);
  int connect(const proto::Address& address, bool nonblocking = false);
  int shutdown(int how);
  // Takes one waiting connection; empty when none waits.
  TestSocket accept();
  bool valid() const { return static_cast<bool>(a_); }
  void close();

  std::size_t send(std::string_view bytes);  // without blocking: what A took
  std::string recv();                        // everything there is
  bool at_end();                             // end of file is next
  short readiness() const;                   // poll() now

 private:
  TestBus* bus_;
  OwnedFd a_;
};

class TestBus {
 public:
  explicit TestBus(LoopChoice choice = LoopChoice::kEpoll) {
    auto loop = EventLoop::create(choice);
    EXPECT_TRUE(loop.has_value());
    loop_ = std::move(*loop);
    auto registry = EndpointRegistry::create(1);
    EXPECT_TRUE(registry.has_value());
    sockets_ = std::make_unique<Sockets>(*loop_, std::move(*registry), counters_, messages_);
    requests_ = std::make_unique<SocketRequests>(*sockets_);
    loop_->set_settle([this] {
      if (sockets_->settle()) loop_->post([] {});
    });
    add_guest("guest");
  }

  Guest& add_guest(const std::string& name) {
    GuestSpec spec;
    spec.name = name;
    auto added = sockets_->guests().add(spec);
    EXPECT_TRUE(added.has_value());
    return **added;
  }

  TestSocket socket(const std::string& partition = "auto",
                    std::uint32_t family = proto::kFamilyVsock,
                    const std::string& profile = "default", const std::string& quirks = "") {
    const std::uint32_t protocol = family == proto::kFamilyHyperV ? 1 : 0;
    auto born = requests_->create({.family = family,
                                   .type = SOCK_STREAM,
                                   .protocol = protocol,
                                   .partition = partition,
                                   .profile = profile,
                                   .quirks = quirks,
                                   .pid = 0,
                                   .program = "test"});
    EXPECT_TRUE(born.has_value());
    return TestSocket(*this, std::move(born->a));
  }
  TestSocket hyperv(const std::string& partition = "auto") {
    return socket(partition, proto::kFamilyHyperV);
  }

  // Turns the loop until a turn finds nothing to do.
  void settle() {
    for (int quiet = 0; quiet < 3; ++quiet) loop_->run_once(std::chrono::nanoseconds(0));
  }
  // Turns the loop until `condition` holds; fails the test after a generous while.
  template <typename Condition>
  void settle_until(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << "the condition never came true";
      loop_->run_once(std::chrono::milliseconds(10));
    }
  }

  // A connected pair: first the dialer's end, then the accepted one.
  std::pair<TestSocket, TestSocket> connect_pair(TestSocket dialer, TestSocket& listener,
                                                 const proto::Address& target) {
    EXPECT_EQ(dialer.connect(target), 0);
    settle();
    TestSocket accepted = listener.accept();
    EXPECT_TRUE(accepted.valid());
    return {std::move(dialer), std::move(accepted)};
  }

  Sockets& sockets() { return *sockets_; }
  SocketRequests& requests() { return *requests_; }
  Counters& counters() { return counters_; }
  MessageLog& messages() { return messages_; }
  Guest& guest() { return sockets_->guests().default_guest(); }
  std::size_t open_sockets() const { return sockets_->all().size(); }

 private:
  Counters counters_;
  MessageLog messages_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Sockets> sockets_;
  std::unique_ptr<SocketRequests> requests_;
};

inline proto::Address vsock(std::uint32_t cid, std::uint32_t port) {
  return proto::vsock_address(proto::Cid{cid}, proto::Port{port});
}
inline constexpr std::uint32_t kAnyCid = proto::kCidAny.value;
inline constexpr std::uint32_t kHostCid = proto::kCidHost.value;

inline Socket& TestSocket::state() const { return *bus_->sockets().find(socket_cookie(a_.get())); }

inline int TestSocket::bind(const proto::Address& address, bool privileged) {
  const proto::RawAddress raw = proto::to_raw(address);
  return bus_->requests().bind(state(), raw.bytes(), privileged);
}

inline int TestSocket::listen(int backlog) {
  return bus_->requests().listen(state(), a_.get(), backlog);
}

inline int TestSocket::connect(const proto::Address& address, bool nonblocking) {
  const proto::RawAddress raw = proto::to_raw(address);
  return bus_->requests().connect(state(), a_.get(), raw.bytes(), nonblocking);
}

inline int TestSocket::shutdown(int how) {
  return bus_->requests().shutdown(state(), a_.get(), how);
}

inline TestSocket TestSocket::accept() {
  unsigned char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  int fd = -1;
  if (::recvmsg(a_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1) {
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr) std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    EXPECT_EQ(byte, proto::kAcceptByte);
  }
  return TestSocket(*bus_, OwnedFd(fd));
}

inline void TestSocket::close() {
  a_.reset();
  bus_->settle();
}

inline std::size_t TestSocket::send(std::string_view bytes) {
  const ssize_t length = ::send(a_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  bus_->settle();
  return length > 0 ? static_cast<std::size_t>(length) : 0;
}

inline std::string TestSocket::recv() {
  std::string all;
  std::array<char, 65536> block;
  while (true) {
    bus_->settle();
    const ssize_t length = ::recv(a_.get(), block.data(), block.size(), MSG_DONTWAIT);
    if (length <= 0) return all;
    all.append(block.data(), static_cast<std::size_t>(length));
  }
}

inline bool TestSocket::at_end() {
  bus_->settle();
  char byte = 0;
  return ::recv(a_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

inline short TestSocket::readiness() const {
  pollfd entry{a_.get(), static_cast<short>(POLLIN | POLLOUT | POLLRDHUP | POLLPRI), 0};
  EXPECT_GE(::poll(&entry, 1, 0), 0);
  return entry.revents;
}

}  // namespace vmbus::emu

#endif  // VMBUS_TESTS_SUPPORT_TEST_BUS_H_
