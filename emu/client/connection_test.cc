#include "emu/client/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "emu/client/record.h"
#include "emu/client/unix_socket.h"
#include "emu/protocol/carrier.h"

namespace vmbus::client {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// What a scripted daemon does with one connection.
using Script = std::function<void(int socket)>;

control::Request receive(int socket) {
  std::array<char, proto::kMaxControlBytes> buffer{};
  const auto record = receive_record(socket, buffer, 0);
  control::Request request;
  if (record) request.ParseFromArray(buffer.data(), static_cast<int>(record->size));
  return request;
}

void send(int socket, const control::Reply& reply, int attachment = -1) {
  EXPECT_EQ(send_record(socket, reply.SerializeAsString(), attachment, 0), 0);
}

void welcome(int socket) {
  EXPECT_TRUE(receive(socket).has_hello());
  control::Reply reply;
  reply.mutable_welcome()->set_bus_id(42);
  send(socket, reply);
}

class ConnectionTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "vmbus-connection-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    bus_ = BusPath{root_ + "/bus"};
  }
  void TearDown() override {
    if (daemon_.joinable()) daemon_.join();
    std::filesystem::remove_all(root_);
  }

  void listen() {
    listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind_unix(listener_.get(), bus_.socket), 0);
    ASSERT_EQ(::listen(listener_.get(), 8), 0);
  }
  // Plays the daemon: one script a connection, then it stops listening.
  void play(std::vector<Script> scripts) {
    listen();
    daemon_ = std::thread([this, scripts = std::move(scripts)] {
      for (const Script& script : scripts) {
        const emu::OwnedFd socket(::accept(listener_.get(), nullptr, nullptr));
        script(socket.get());
      }
    });
  }

  std::string root_;
  BusPath bus_;
  emu::OwnedFd listener_;
  std::thread daemon_;
};

TEST_F(ConnectionTest, ConnectingExchangesHelloAndWelcome) {
  std::string program;
  play({[&](int socket) {
    const control::Request hello = receive(socket);
    program = hello.hello().program();
    EXPECT_EQ(hello.hello().protocol(), proto::kControlProtocol);
    control::Reply reply;
    reply.mutable_welcome()->set_bus_id(42);
    send(socket, reply);
  }});
  const auto connection = connect(bus_, "vmbus ps");
  ASSERT_TRUE(connection) << connection.error().explanation;
  EXPECT_EQ(connection->welcome().bus_id(), 42U);
  daemon_.join();
  EXPECT_EQ(program, "vmbus ps");
}

TEST_F(ConnectionTest, NoSocketAndADeadSocketMeanThatNobodyListens) {
  const auto none = connect(bus_, "test");
  ASSERT_FALSE(none);
  EXPECT_TRUE(nobody_listens(none.error()));
  EXPECT_THAT(none.error().explanation, HasSubstr(bus_.socket));
  EXPECT_THAT(none.error().explanation, HasSubstr("vmbus run"));
  listen();
  listener_.reset();
  const auto dead = connect(bus_, "test");
  ASSERT_FALSE(dead);
  EXPECT_TRUE(nobody_listens(dead.error()));
}

TEST_F(ConnectionTest, WhatIsNoSocketIsSaidToBeThere) {
  struct Obstacle {
    const char* words;
    std::function<void()> make;
  };
  const std::array<Obstacle, 3> obstacles = {
      Obstacle{"is a file, not", [&] { std::ofstream(bus_.socket) << "x"; }},
      Obstacle{"is a directory, not", [&] { std::filesystem::create_directory(bus_.socket); }},
      Obstacle{"is a link that leads to no bus",
               [&] { std::filesystem::create_symlink("nowhere", bus_.socket); }}};
  for (const auto& [words, make] : obstacles) {
    make();
    const auto connection = connect(bus_, "test");
    ASSERT_FALSE(connection) << words;
    EXPECT_FALSE(nobody_listens(connection.error())) << "no daemon can be started there";
    EXPECT_TRUE(is_no_socket(connection.error()));
    EXPECT_THAT(connection.error().explanation, HasSubstr(words));
    std::filesystem::remove(bus_.socket);
  }
}

TEST_F(ConnectionTest, ASocketOfAnotherKindIsNoBus) {
  listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind_unix(listener_.get(), bus_.socket), 0);
  ASSERT_EQ(::listen(listener_.get(), 8), 0);
  const auto connection = connect(bus_, "test");
  ASSERT_FALSE(connection);
  EXPECT_FALSE(nobody_listens(connection.error()));
  EXPECT_THAT(connection.error().explanation, HasSubstr("not a vmbusd socket"));
}

TEST_F(ConnectionTest, ADaemonThatLeftBeforeHelloIsTriedOnceMore) {
  play({[](int) {}, welcome});
  EXPECT_TRUE(connect(bus_, "test"));
}

TEST_F(ConnectionTest, ButNotForEver) {
  play({[](int) {}, [](int) {}});
  const auto connection = connect(bus_, "test");
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ECONNRESET);
}

TEST_F(ConnectionTest, AStuckDaemonGivesATimeoutNotAHang) {
  listen();  // and nobody accepts
  const auto connection = connect(bus_, "test", 50ms);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ETIMEDOUT);
  EXPECT_THAT(connection.error().explanation, HasSubstr("does not answer"));
}

TEST_F(ConnectionTest, AnErrorReplyIsAnErrorWithItsExplanation) {
  play({[](int socket) {
    welcome(socket);
    control::Reply reply;
    receive(socket);
    reply.set_error(EEXIST);
    reply.set_explanation("there is a guest 'db' already");
    send(socket, reply);
    receive(socket);
    reply.set_error(EBUSY);
    reply.clear_explanation();
    send(socket, reply);
  }});
  auto connection = connect(bus_, "test");
  ASSERT_TRUE(connection);
  control::Request request;
  request.mutable_vm_add()->set_name("db");
  auto reply = connection->request(request);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, EEXIST);
  EXPECT_EQ(reply.error().explanation, "there is a guest 'db' already");
  reply = connection->request(request);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().explanation, errno_text(EBUSY));
}

TEST_F(ConnectionTest, ADaemonThatEndsInTheMiddleIsSaidToHaveEnded) {
  play({welcome});
  auto connection = connect(bus_, "test");
  ASSERT_TRUE(connection);
  daemon_.join();
  control::Request request;
  request.mutable_stop();
  const auto reply = connection->request(request);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ECONNRESET);
  EXPECT_THAT(reply.error().explanation, HasSubstr("has ended"));
}

TEST_F(ConnectionTest, AnAnswerThatDoesNotParseIsAnotherProtocol) {
  play({[](int socket) {
    receive(socket);
    EXPECT_EQ(send_record(socket, "\xff\xff", -1, 0), 0);
  }});
  const auto connection = connect(bus_, "test");
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, EPROTO);
}

TEST_F(ConnectionTest, DescriptorsTravelBothWays) {
  play({[](int socket) {
    welcome(socket);
    std::array<char, 256> buffer{};
    const auto record = receive_record(socket, buffer, 0);
    control::Reply reply;
    reply.set_answered(true);
    send(socket, reply, record->descriptor.get());  // back to where it came from
  }});
  auto connection = connect(bus_, "test");
  ASSERT_TRUE(connection);
  const emu::OwnedFd file(::memfd_create("there and back", MFD_CLOEXEC));
  control::Request request;
  request.mutable_identify();
  emu::OwnedFd back;
  ASSERT_TRUE(connection->request(request, file.get(), &back));
  ASSERT_TRUE(back);
  ASSERT_EQ(::write(back.get(), "x", 1), 1);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_END), 1);
}

TEST_F(ConnectionTest, AReportIsReadFromTheFileThatTheReplyCarries) {
  play({[](int socket) {
    welcome(socket);
    receive(socket);
    control::StatusReport report;
    report.set_socket_path(std::string(100'000, 'p'));  // more than a record holds
    const emu::OwnedFd file(::memfd_create("report", MFD_CLOEXEC));
    EXPECT_TRUE(report.SerializeToFileDescriptor(file.get()));
    control::Reply reply;
    reply.set_answered(true);
    send(socket, reply, file.get());
    receive(socket);
    send(socket, reply);
  }});
  auto connection = connect(bus_, "test");
  ASSERT_TRUE(connection);
  control::Request request;
  request.mutable_get_status();
  control::StatusReport report;
  ASSERT_TRUE(connection->request_report(request, &report));
  EXPECT_EQ(report.socket_path().size(), 100'000U);
  EXPECT_EQ(connection->request_report(request, &report).error().code, EPROTO) << "no file came";
}

TEST_F(ConnectionTest, APathTooLongForAnAddressWorks) {
  std::string deep = root_;
  for (int i = 0; i < 4; ++i) {
    deep += "/" + std::string(60, 'd');
    ASSERT_EQ(::mkdir(deep.c_str(), 0700), 0);
  }
  bus_ = BusPath{deep + "/bus"};
  play({welcome});
  EXPECT_TRUE(connect(bus_, "test"));
  EXPECT_TRUE(std::filesystem::is_socket(bus_.socket));
}

TEST_F(ConnectionTest, TheSocketFileIsForItsOwnerAlone) {
  listen();
  EXPECT_EQ(std::filesystem::status(bus_.socket).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

}  // namespace
}  // namespace vmbus::client
