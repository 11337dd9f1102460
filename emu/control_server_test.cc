#include "emu/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <vector>

#include "emu/client/record.h"
#include "emu/client/unix_socket.h"

namespace vmbus::emu {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

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
  void on_client_gone(const Client& client) override { gone.push_back(client); }

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

control::Request hello(std::string program = "test",
                       std::uint32_t protocol = proto::kControlProtocol) {
  control::Request request;
  request.mutable_hello()->set_protocol(protocol);
  request.mutable_hello()->set_program(std::move(program));
  return request;
}

control::Request get_status() {
  control::Request request;
  request.mutable_get_status();
  return request;
}

control::Request listen_request() {
  control::Request request;
  request.mutable_listen()->set_backlog(1);
  return request;
}

control::Request adopt() {
  control::Request request;
  request.mutable_adopt();
  return request;
}

struct SocketPair {
  OwnedFd near;
  OwnedFd far;
};

SocketPair make_pair(int type) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {OwnedFd(ends[0]), OwnedFd(ends[1])};
}

// Whether the last copy of the other end is closed.
bool is_hung_up(const OwnedFd& end) {
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
      loop_->run_once(0ms);
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

// ---- Hello --------------------------------------------------------------------------------------

TEST_F(ControlServerTest, HelloGetsWelcomeAndTheTable) {
  const OwnedFd socket = dial();
  const Answer answer = ask(socket, hello("socat"));
  EXPECT_EQ(answer.reply.error(), 0);
  EXPECT_EQ(answer.reply.welcome().bus_id(), 42U);
  EXPECT_TRUE(answer.attachment);
  ASSERT_EQ(handler_.welcomed.size(), 1U);
  EXPECT_EQ(handler_.welcomed[0].program, "socat");
  EXPECT_EQ(handler_.welcomed[0].pid, ::getpid());
}

TEST_F(ControlServerTest, AnotherProtocolIsRefusedWithTheReasonAndClosed) {
  const OwnedFd socket = dial();
  const Answer answer = ask(socket, hello("old", proto::kControlProtocol + 1));
  EXPECT_EQ(answer.reply.error(), EPROTO);
  EXPECT_THAT(answer.reply.explanation(), HasSubstr("control protocol"));
  EXPECT_EQ(take(socket)->reply.error(), EPIPE);
  EXPECT_TRUE(handler_.gone.empty()) << "it was never welcomed";
}

TEST_F(ControlServerTest, WhoDoesNotStartWithHelloIsClosed) {
  const OwnedFd socket = dial();
  EXPECT_EQ(ask(socket, get_status()).reply.error(), EPROTO);
  EXPECT_EQ(take(socket)->reply.error(), EPIPE);
  EXPECT_TRUE(handler_.handled.empty());
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ControlServerTest, ASecondHelloIsABadRequest) {
  const OwnedFd socket = greeted();
  EXPECT_EQ(ask(socket, hello()).reply.error(), EPROTO);
  EXPECT_EQ(ask(socket, get_status()).reply.error(), 0);
}

TEST_F(ControlServerTest, AProgramsNameIsMadeFitForATerminal) {
  const OwnedFd socket = greeted("evil\x1b[2J\n" + std::string(100, 'x'));
  const std::string& name = handler_.welcomed.at(0).program;
  EXPECT_EQ(name.substr(0, 11), "evil?[2J?xx");
  EXPECT_EQ(name.size(), 63U);
}

TEST_F(ControlServerTest, AnotherUserIsRefusedAndCounted) {
  start(::geteuid() + 1);
  const OwnedFd socket = dial();
  EXPECT_EQ(take(socket)->reply.error(), EPIPE);
  EXPECT_EQ(count(Counter::kStrangersRefused), 1U);
  EXPECT_EQ(server_->connections(), 0U);
}

// ---- requests and their descriptors -------------------------------------------------------------

TEST_F(ControlServerTest, ARequestReachesTheHandlerAndItsReplyComesBack) {
  handler_.respond = [](HandlerReply& reply) {
    reply.message.mutable_created_socket()->set_entry(7);
    reply.attachment = OwnedFd(::eventfd(0, EFD_CLOEXEC));
  };
  const OwnedFd socket = greeted();
  const Answer answer = ask(socket, get_status());
  EXPECT_EQ(answer.reply.created_socket().entry(), 7U);
  EXPECT_TRUE(answer.attachment);
  EXPECT_EQ(handler_.bodies.at(0), control::Request::kGetStatus);
}

TEST_F(ControlServerTest, AReplyThatSaysNothingButDoneIsStillARecord) {
  const OwnedFd socket = greeted();
  EXPECT_EQ(ask(socket, get_status()).reply.error(), 0);
}

TEST_F(ControlServerTest, TheDescriptorOfARequestIsHandedOnAndClosedByTheEnd) {
  const OwnedFd socket = greeted();
  SocketPair carrier = make_pair(SOCK_STREAM);
  EXPECT_EQ(ask(socket, listen_request(), carrier.near.get()).reply.error(), 0);
  EXPECT_TRUE(handler_.had_carrier.at(0));
  carrier.near.reset();
  EXPECT_TRUE(is_hung_up(carrier.far)) << "the server kept a copy";
}

TEST_F(ControlServerTest, ADescriptorNobodyAskedForIsClosedAndTheRequestAnswered) {
  const OwnedFd socket = greeted();
  SocketPair pair = make_pair(SOCK_STREAM);
  EXPECT_EQ(ask(socket, get_status(), pair.near.get()).reply.error(), 0);
  EXPECT_FALSE(handler_.had_carrier.at(0));
  pair.near.reset();
  EXPECT_TRUE(is_hung_up(pair.far));
}

TEST_F(ControlServerTest, ARequestWithoutTheDescriptorItNeedsIsBad) {
  const OwnedFd socket = greeted();
  EXPECT_EQ(ask(socket, listen_request()).reply.error(), EPROTO);
  EXPECT_TRUE(handler_.handled.empty());
  EXPECT_EQ(count(Counter::kBadRequests), 1U);
  EXPECT_EQ(ask(socket, get_status()).reply.error(), 0) << "the connection stays";
}

TEST_F(ControlServerTest, TwoDescriptorsAreBadAndNeitherIsKept) {
  const OwnedFd socket = greeted();
  SocketPair pair = make_pair(SOCK_STREAM);
  const std::string bytes = listen_request().SerializeAsString();
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(2 * sizeof(int));
  const std::array<int, 2> both = {pair.near.get(), pair.near.get()};
  std::copy_n(reinterpret_cast<const unsigned char*>(both.data()), sizeof both, CMSG_DATA(header));
  ASSERT_GT(::sendmsg(socket.get(), &message, 0), 0);
  EXPECT_EQ(take(socket)->reply.error(), EPROTO);
  EXPECT_TRUE(handler_.handled.empty());
  pair.near.reset();
  EXPECT_TRUE(is_hung_up(pair.far));
  EXPECT_EQ(ask(socket, get_status()).reply.error(), 0) << "the connection stays";
}

TEST_F(ControlServerTest, GarbageAndOverlongRecordsAreBadAndTheConnectionStays) {
  const OwnedFd socket = greeted();
  EXPECT_EQ(ask(socket, std::string_view("\xff\xff\xff garbage")).reply.error(), EPROTO);
  EXPECT_EQ(ask(socket, std::string(proto::kMaxControlBytes + 1, '\0')).reply.error(), EPROTO);
  EXPECT_EQ(ask(socket, std::string_view("\xfa\x07\x00", 3)).reply.error(), EPROTO);  // field 127
  EXPECT_EQ(count(Counter::kBadRequests), 3U);
  EXPECT_EQ(ask(socket, get_status()).reply.error(), 0);
}

TEST_F(ControlServerTest, AClientThatSendsNothingButBadRequestsIsClosed) {
  const OwnedFd socket = greeted();
  for (std::uint32_t i = 0; i < ControlServer::kMaxBadRequests; ++i)
    ASSERT_EQ(ask(socket, std::string_view("\xff")).reply.error(), EPROTO);
  EXPECT_EQ(take(socket)->reply.error(), EPIPE);
  EXPECT_EQ(handler_.gone.size(), 1U);
}

TEST_F(ControlServerTest, ALongExplanationIsCutToWhatTheShimHolds) {
  handler_.respond = [](HandlerReply& reply) {
    reply.message.set_error(EINVAL);
    reply.message.set_explanation(std::string(1000, 'x'));
  };
  const OwnedFd socket = greeted();
  EXPECT_EQ(ask(socket, get_status()).reply.explanation().size(), 255U);
}

// ---- Adopt --------------------------------------------------------------------------------------

TEST_F(ControlServerTest, AnAdoptedConnectionIsAClientOfItsOwnAndAdoptHasNoAnswer) {
  const OwnedFd parent = greeted("parent");
  SocketPair child = make_pair(SOCK_SEQPACKET);
  send(parent, adopt(), child.far.get());
  child.far.reset();
  EXPECT_FALSE(take(parent)) << "the answer would reach another process";
  EXPECT_EQ(ask(child.near, hello("child")).reply.welcome().bus_id(), 42U);
  EXPECT_EQ(server_->connections(), 2U);
  EXPECT_EQ(handler_.welcomed.at(1).program, "child");
}

TEST_F(ControlServerTest, OnlyAConnectionCanBeAdopted) {
  const OwnedFd parent = greeted();
  const SocketPair stream = make_pair(SOCK_STREAM);
  send(parent, adopt(), stream.far.get());
  send(parent, adopt(), listener_.get());
  send(parent, adopt(), STDIN_FILENO);
  send(parent, adopt());
  EXPECT_FALSE(take(parent));
  EXPECT_EQ(server_->connections(), 1U);
  EXPECT_EQ(count(Counter::kBadRequests), 4U);
}

TEST_F(ControlServerTest, AClientWhoseAdoptsAreAllBadIsClosed) {
  const OwnedFd socket = greeted();
  for (std::uint32_t i = 0; i < ControlServer::kMaxBadRequests; ++i) {
    EXPECT_EQ(server_->connections(), 1U);
    send(socket, adopt(), STDIN_FILENO);
    settle();
  }
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ControlServerTest, TwoAdoptedEndsOfOnePairDoNotTalkForEver) {
  const OwnedFd liar = greeted();
  const SocketPair loop = make_pair(SOCK_SEQPACKET);
  // Each end finds a Hello first; what it answers is the next request of the other.
  send(loop.near, hello());
  send(loop.far, hello());
  send(liar, adopt(), loop.near.get());
  send(liar, adopt(), loop.far.get());
  for (int i = 0; i < 20; ++i) settle();
  EXPECT_EQ(handler_.welcomed.size(), 3U) << "both were admitted";
  const std::uint64_t requests = count(Counter::kRequests);
  EXPECT_LE(requests, 2 * ControlServer::kMaxBadRequests + 10);
  settle();
  EXPECT_EQ(count(Counter::kRequests), requests);
}

// ---- clients that come, go, and do not read -----------------------------------------------------

TEST_F(ControlServerTest, AClientThatClosesIsGone) {
  OwnedFd socket = greeted();
  socket.reset();
  settle();
  ASSERT_EQ(handler_.gone.size(), 1U);
  EXPECT_EQ(handler_.gone[0].id, handler_.welcomed[0].id);
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ControlServerTest, RequestsSentBeforeClosingAreServed) {
  OwnedFd socket = greeted();
  send(socket, get_status());
  socket.reset();
  settle();
  EXPECT_EQ(handler_.handled.size(), 1U);
  EXPECT_EQ(handler_.gone.size(), 1U);
}

TEST_F(ControlServerTest, ABurstOfConnectionsIsAcceptedWhole) {
  std::vector<OwnedFd> sockets;
  for (int i = 0; i < 100; ++i) sockets.push_back(dial());
  settle();
  EXPECT_EQ(server_->connections(), 100U);
}

TEST_F(ControlServerTest, AClientThatDoesNotReadHoldsUpOnlyItselfAndLosesNothing) {
  const OwnedFd idle = greeted("idle");
  std::size_t sent = 0;
  // Its queue towards us and ours towards it fill up.
  for (;; settle()) {
    const int error =
        client::send_record(idle.get(), get_status().SerializeAsString(), -1, MSG_DONTWAIT);
    if (error == EAGAIN) break;
    ASSERT_EQ(error, 0);
    ++sent;
  }
  const OwnedFd other = greeted("other");
  EXPECT_EQ(ask(other, get_status()).reply.error(), 0);
  std::size_t answered = 0;
  while (take(idle)) ++answered;
  EXPECT_EQ(answered, sent);
  EXPECT_EQ(ask(idle, get_status()).reply.error(), 0) << "it is heard again";
}

TEST_F(ControlServerTest, AWaitingReplyKeepsItsAttachment) {
  const OwnedFd idle = greeted();
  handler_.respond = [](HandlerReply& reply) {
    reply.attachment = OwnedFd(::eventfd(0, EFD_CLOEXEC));
  };
  std::size_t sent = 0;
  for (; sent < 2000; settle(), ++sent) {
    if (client::send_record(idle.get(), get_status().SerializeAsString(), -1, MSG_DONTWAIT) != 0)
      break;
  }
  std::size_t with_attachment = 0;
  while (const auto answer = take(idle)) with_attachment += answer->attachment ? 1 : 0;
  EXPECT_EQ(with_attachment, sent);
}

TEST_F(ControlServerTest, AGreedyClientDoesNotKeepOthersWaiting) {
  const OwnedFd greedy = greeted("greedy");
  const OwnedFd modest = greeted("modest");
  for (int i = 0; i < 64; ++i) send(greedy, get_status());
  send(modest, get_status());
  const auto is_modest = [](const Client& client) { return client.program == "modest"; };
  while (std::none_of(handler_.handled.begin(), handler_.handled.end(), is_modest))
    loop_->run_once(1s);
  EXPECT_LT(handler_.handled.size(), 64U);
}

// ---- a full descriptor table --------------------------------------------------------------------

// The descriptor table of this process is full until this goes.
class FullTable {
 public:
  FullTable() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const OwnedFd lowest_free(::dup(STDIN_FILENO));
    rlimit low = before_;
    low.rlim_cur = static_cast<rlim_t>(lowest_free.get());
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  }
  ~FullTable() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FullTable(const FullTable&) = delete;
  FullTable& operator=(const FullTable&) = delete;

 private:
  rlimit before_{};
};

TEST_F(ControlServerTest, AFullTableStillServesNewClientsAndCarriers) {
  handler_.welcome_attaches = false;  // in this test a client's descriptors would be ours too
  const SocketPair carrier = make_pair(SOCK_STREAM);
  const OwnedFd socket = dial();  // waits in the listener's queue
  const FullTable full;
  EXPECT_EQ(ask(socket, hello()).reply.error(), 0);
  EXPECT_EQ(ask(socket, listen_request(), carrier.near.get()).reply.error(), 0);
  EXPECT_TRUE(handler_.had_carrier.at(0));
  EXPECT_LT(::dup(STDIN_FILENO), 0) << "the reserve is not for others";
}

TEST_F(ControlServerTest, ClientsThatTheReserveHasNoRoomForAreAcceptedLater) {
  handler_.welcome_attaches = false;
  std::vector<OwnedFd> sockets;
  for (std::size_t i = 0; i < ControlServer::kReservedDescriptors; ++i) sockets.push_back(dial());
  {
    const FullTable full;
    settle();
    EXPECT_GT(server_->connections(), 0U);
    EXPECT_LT(server_->connections(), sockets.size());
    EXPECT_EQ(ask(sockets[0], hello()).reply.error(), 0) << "those that came in are served";
  }
  while (server_->connections() < sockets.size()) loop_->run_once(1s);
}

}  // namespace
}  // namespace vmbus::emu
