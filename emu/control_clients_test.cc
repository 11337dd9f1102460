// Clients of the control server: adopted, gone, idle, greedy, and where the descriptor table is full.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "emu/control_server.h"
#include "tests/support/control_fixture.h"
#include "tests/support/fewer_capabilities.h"

namespace vmbus::emu {
namespace {

using namespace std::chrono_literals;

using ControlClientsTest = ControlServerTest;

// ---- Adopt --------------------------------------------------------------------------------------

TEST_F(ControlClientsTest, AnAdoptedConnectionIsAClientOfItsOwnAndAdoptHasNoAnswer) {
  const OwnedFd parent = greeted("parent");
  SocketPair child = make_pair(SOCK_SEQPACKET);
  send(parent, adopt(), child.far.get());
  child.far.reset();
  EXPECT_FALSE(take(parent)) << "the answer would reach another process";
  EXPECT_EQ(ask(child.near, hello("child")).reply.welcome().bus_id(), 42U);
  EXPECT_EQ(server_->connections(), 2U);
  EXPECT_EQ(handler_.welcomed.at(1).program, "child");
}

TEST_F(ControlClientsTest, OnlyAConnectionCanBeAdopted) {
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

TEST_F(ControlClientsTest, AClientWhoseAdoptsAreAllBadIsClosed) {
  const OwnedFd socket = greeted();
  for (std::uint32_t i = 0; i < ControlServer::kMaxBadRequests; ++i) {
    EXPECT_EQ(server_->connections(), 1U);
    send(socket, adopt(), STDIN_FILENO);
    settle();
  }
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ControlClientsTest, TwoAdoptedEndsOfOnePairDoNotTalkForEver) {
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

TEST_F(ControlClientsTest, AClientThatClosesIsGone) {
  OwnedFd socket = greeted();
  socket.reset();
  settle();
  ASSERT_EQ(handler_.gone.size(), 1U);
  EXPECT_EQ(handler_.gone[0].id, handler_.welcomed[0].id);
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ControlClientsTest, RequestsSentBeforeClosingAreServed) {
  OwnedFd socket = greeted();
  send(socket, get_status());
  socket.reset();
  settle();
  EXPECT_EQ(handler_.handled.size(), 1U);
  EXPECT_EQ(handler_.gone.size(), 1U);
}

TEST_F(ControlClientsTest, ABurstOfConnectionsIsAcceptedWhole) {
  std::vector<OwnedFd> sockets;
  sockets.reserve(100);
  for (int i = 0; i < 100; ++i) sockets.push_back(dial());
  settle();
  EXPECT_EQ(server_->connections(), 100U);
}

TEST_F(ControlClientsTest, AClientThatDoesNotReadHoldsUpOnlyItselfAndLosesNothing) {
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

TEST_F(ControlClientsTest, AWaitingReplyKeepsItsAttachment) {
  const OwnedFd idle = greeted();
  handler_.respond = [](HandlerReply& reply) {
    reply.attachment = OwnedFd(::eventfd(0, EFD_CLOEXEC));
  };
  const std::size_t sent = ask_until_full(idle);
  std::size_t with_attachment = 0;
  while (const auto answer = take(idle)) with_attachment += answer->attachment ? 1 : 0;
  EXPECT_EQ(with_attachment, sent);
}

// The kernel limits what one user may have on its way, but for the privileged.
class CrowdedWay {
 public:
  CrowdedWay() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit_), 0);
    const rlimit low{kLimit, limit_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    EXPECT_EQ(fill(), ETOOMANYREFS);
  }
  ~CrowdedWay() { ::setrlimit(RLIMIT_NOFILE, &limit_); }
  CrowdedWay(const CrowdedWay&) = delete;
  CrowdedWay& operator=(const CrowdedWay&) = delete;

 private:
  static constexpr rlim_t kLimit = 128;

  // Why no more went in.
  int fill() const {
    int error = 0;
    while (error == 0)
      error = client::send_record(way_.near.get(), "x", STDIN_FILENO, MSG_DONTWAIT);
    return error;
  }

  test::FewerCapabilities unprivileged_{CAP_SYS_RESOURCE, CAP_SYS_ADMIN};
  SocketPair way_ = make_pair(SOCK_STREAM);
  rlimit limit_{};
};

TEST_F(ControlClientsTest, WhereTooManyDescriptorsAreOnTheirWayAnAnswerGoesWithoutASpare) {
  const OwnedFd socket = greeted();
  handler_.respond = [](HandlerReply& reply) {
    reply.message.mutable_spare()->set_entry(7);
    reply.attachment = OwnedFd(::eventfd(0, EFD_CLOEXEC));
  };
  const CrowdedWay crowded;
  const Answer answer = ask(socket, get_status());
  EXPECT_EQ(answer.reply.error(), 0);
  EXPECT_FALSE(answer.reply.has_spare());
  EXPECT_FALSE(answer.attachment);
}

TEST_F(ControlClientsTest, WhereTooManyDescriptorsAreOnTheirWayAnAnswerThatNeedsOneSaysSo) {
  const OwnedFd socket = greeted();
  handler_.respond = [](HandlerReply& reply) {
    reply.attachment = OwnedFd(::eventfd(0, EFD_CLOEXEC));
  };
  const CrowdedWay crowded;
  EXPECT_EQ(ask(socket, get_status()).reply.error(), ENFILE);
}

TEST_F(ControlClientsTest, AGreedyClientDoesNotKeepOthersWaiting) {
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

TEST_F(ControlClientsTest, AFullTableStillServesNewClientsAndCarriers) {
  handler_.welcome_attaches = false;  // in this test a client's descriptors would be ours too
  const SocketPair carrier = make_pair(SOCK_STREAM);
  const OwnedFd socket = dial();  // waits in the listener's queue
  const FullTable full;
  EXPECT_EQ(ask(socket, hello()).reply.error(), 0);
  EXPECT_EQ(ask(socket, listen_request(), carrier.near.get()).reply.error(), 0);
  EXPECT_TRUE(handler_.had_carrier.at(0));
  EXPECT_LT(::dup(STDIN_FILENO), 0) << "the reserve is not for others";
}

TEST_F(ControlClientsTest, ClientsThatTheReserveHasNoRoomForAreAcceptedLater) {
  handler_.welcome_attaches = false;
  const std::size_t reserved = server_->reserve().held();
  std::vector<OwnedFd> sockets;
  sockets.reserve(reserved);
  for (std::size_t i = 0; i < reserved; ++i) sockets.push_back(dial());
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
