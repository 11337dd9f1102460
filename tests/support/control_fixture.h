// A ControlServer with a handler that notes what it is asked, and clients that speak raw records to it.
#ifndef VMBUS_TESTS_SUPPORT_CONTROL_FIXTURE_H_
#define VMBUS_TESTS_SUPPORT_CONTROL_FIXTURE_H_

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "emu/client/record.h"
#include "emu/client/unix_socket.h"
#include "emu/control_server.h"

namespace vmbus::emu {

// Notes what it is asked and answers "done", with what `respond` adds.
class RecordingHandler : public ControlHandler {
 public:
  HandlerReply welcome(const Client& client) override {
    welcomed.push_back(client);
    HandlerReply reply;
    reply.message.mutable_welcome()->set_bus_id(42);
    if (welcome_attaches) reply.attachment = OwnedFd(::eventfd(0, EFD_CLOEXEC));
    return reply;
  }
  HandlerReply handle(const Client& client, const control::Request& request,
                      OwnedFd carrier) override {
    handled.push_back(client);
    bodies.push_back(request.body_case());
    had_carrier.push_back(static_cast<bool>(carrier));
    HandlerReply reply;
    if (respond) respond(reply);
    return reply;
  }
  void on_rung() override { ++rung; }
  void on_client_gone(const Client& client) override { gone.push_back(client); }

  int rung = 0;
  std::vector<Client> welcomed, handled, gone;
  std::vector<control::Request::BodyCase> bodies;
  std::vector<bool> had_carrier;
  std::function<void(HandlerReply&)> respond;
  bool welcome_attaches = true;
};

struct Answer {
  control::Reply reply;
  OwnedFd attachment;
};

inline control::Request hello(std::string program = "test",
                              std::uint32_t protocol = proto::kControlProtocol) {
  control::Request request;
  request.mutable_hello()->set_protocol(protocol);
  request.mutable_hello()->set_program(std::move(program));
  return request;
}

inline control::Request get_status() {
  control::Request request;
  request.mutable_get_status();
  return request;
}

inline control::Request listen_request() {
  control::Request request;
  request.mutable_listen()->set_backlog(1);
  return request;
}

inline control::Request adopt() {
  control::Request request;
  request.mutable_adopt();
  return request;
}

struct SocketPair {
  OwnedFd near;
  OwnedFd far;
};

inline SocketPair make_pair(int type) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {OwnedFd(ends[0]), OwnedFd(ends[1])};
}

// Whether the last copy of the other end is closed.
inline bool is_hung_up(const OwnedFd& end) {
  pollfd wanted{end.get(), 0, 0};
  ::poll(&wanted, 1, 0);
  return (wanted.revents & POLLHUP) != 0;
}

class ControlServerTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "vmbus-control-XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ASSERT_EQ(client::bind_unix(listener_.get(), path()), 0);
    ASSERT_EQ(::listen(listener_.get(), 128), 0);
    start(::geteuid());
  }
  void TearDown() override {
    server_.reset();
    ::unlink(path().c_str());
    ::rmdir(directory_.c_str());
  }

  std::string path() const { return directory_ + "/bus"; }
  void start(uid_t owner) {
    server_.reset();
    server_.emplace(*loop_, listener_.get(), handler_, counters_, owner);
  }

  // Turns the loop until nothing happens any more.
  void settle() {
    constexpr int kQuietTurns = 3;
    for (int quiet = 0; quiet < kQuietTurns; ++quiet) {
      const auto before = std::pair(server_->connections(), count(Counter::kRequests));
      loop_->run_once(std::chrono::nanoseconds::zero());
      if (before != std::pair(server_->connections(), count(Counter::kRequests))) quiet = -1;
    }
  }
  OwnedFd dial() {
    auto socket = client::connect_unix(path(), 0);
    EXPECT_TRUE(socket);
    return socket ? std::move(*socket) : OwnedFd();
  }
  static void send(const OwnedFd& socket, std::string_view bytes, int descriptor = -1) {
    EXPECT_EQ(client::send_record(socket.get(), bytes, descriptor, MSG_DONTWAIT), 0);
  }
  static void send(const OwnedFd& socket, const control::Request& request, int descriptor = -1) {
    send(socket, request.SerializeAsString(), descriptor);
  }
  // What has arrived; nullopt: nothing. A closed connection gives an answer with error EPIPE.
  std::optional<Answer> take(const OwnedFd& socket) {
    settle();
    std::array<char, proto::kMaxControlBytes> buffer{};
    auto record = client::receive_record(socket.get(), buffer, MSG_DONTWAIT);
    if (!record && record.error() == EAGAIN) return std::nullopt;
    Answer answer;
    if (!record || record->size == 0) {
      answer.reply.set_error(EPIPE);
      return answer;
    }
    EXPECT_TRUE(answer.reply.ParseFromArray(buffer.data(), static_cast<int>(record->size)));
    answer.attachment = std::move(record->descriptor);
    return answer;
  }
  template <typename Request>
  Answer ask(const OwnedFd& socket, const Request& request, int descriptor = -1) {
    send(socket, request, descriptor);
    auto answer = take(socket);
    if (!answer) {
      ADD_FAILURE() << "no answer";
      return {};
    }
    return std::move(*answer);
  }
  // Requests whose answers are not read, until there is no room for another one. How many.
  std::size_t ask_until_full(const OwnedFd& idle) {
    std::size_t sent = 0;
    for (; sent < 2000; settle(), ++sent) {
      const std::string request = get_status().SerializeAsString();
      if (client::send_record(idle.get(), request, -1, MSG_DONTWAIT) != 0) break;
    }
    return sent;
  }
  OwnedFd greeted(std::string program = "test") {
    OwnedFd socket = dial();
    EXPECT_EQ(ask(socket, hello(std::move(program))).reply.error(), 0);
    return socket;
  }
  std::uint64_t count(Counter counter) const { return counters_.value(counter); }

  std::string directory_;
  std::unique_ptr<EventLoop> loop_ = std::move(*EventLoop::create(LoopChoice::kAuto));
  OwnedFd listener_;
  RecordingHandler handler_;
  Counters counters_;
  std::optional<ControlServer> server_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_TESTS_SUPPORT_CONTROL_FIXTURE_H_
