#include "emu/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/support/control_fixture.h"

namespace vmbus::emu {
namespace {

using testing::HasSubstr;

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

TEST_F(ControlServerTest, AProgramsNameMayBeInAnyEncoding) {
  const OwnedFd latin = greeted("caf\xe9");
  const OwnedFd cut = greeted(std::string(62, 'x') + "\u00e9");
  ASSERT_EQ(handler_.welcomed.size(), 2U);
  EXPECT_EQ(handler_.welcomed[0].program, "caf?");
  EXPECT_EQ(handler_.welcomed[1].program, std::string(62, 'x'));
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

TEST_F(ControlServerTest, ALongExplanationIsNotCutWithinACharacter) {
  handler_.respond = [](HandlerReply& reply) {
    reply.message.set_error(EINVAL);
    reply.message.set_explanation(std::string(254, 'x') + "\u00e9");
  };
  const OwnedFd socket = greeted();
  EXPECT_EQ(ask(socket, get_status()).reply.explanation(), std::string(254, 'x'));
}

}  // namespace
}  // namespace vmbus::emu
