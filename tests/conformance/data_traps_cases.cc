// Traps on the data path that the numbered list has no row for; from 1001 and 1041 on (case.h). Signals and
// cancellation are in interruption_cases.cc.
#include <limits.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <string_view>
#include <vector>

#include "tests/conformance/connections.h"
#include "tests/conformance/transfers.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

bool has(unsigned traits, TransferTraits wanted) { return (traits & wanted) != 0; }

// `count` pieces of one byte each, over `data` again and again.
std::vector<iovec> one_byte_pieces(std::string& data, std::size_t count) {
  std::vector<iovec> pieces;
  for (std::size_t i = 0; i < count; ++i) pieces.push_back({&data[i % data.size()], 1});
  return pieces;
}

msghdr message_of(std::vector<iovec>& pieces) {
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  return message;
}

}  // namespace

VMBUS_CASE(DataTraps, 1001, kEverywhere, "MSG_WAITALL gathers packets of all sizes") {
  const Connection connection = connected();
  const std::string data = pattern(1 + 4088 + 5 + 4089 + 8000);
  std::string read;
  WaitingCall receiving([&] {
    Received got = connection.here.receive(data.size(), MSG_WAITALL);
    read = std::move(got.data);
    return got.outcome;
  });
  std::size_t sent = 0;
  for (const std::size_t size : {1U, 4088U, 5U, 4089U, 8000U}) {
    ASSERT_EQ(connection.there.send(data.substr(sent, size)), gives(static_cast<long>(size)));
    sent += size;
  }
  EXPECT_EQ(receiving.result(), gives(static_cast<long>(data.size())));
  EXPECT_TRUE(read == data);
}

VMBUS_CASE(DataTraps, 1002, kLinux | kWindows | kPlain,
           "no call that is given no bytes sends any") {
  const Connection connection = connected();
  for (const SendCall& call : send_calls()) {
    if (!has(call.traits, kFromMemory)) continue;
    EXPECT_EQ(outcome(call.call(connection.here.fd(), "x", 0, 0)), gives(0)) << call.name;
  }
  const std::array<iovec, 2> empty{};
  EXPECT_EQ(outcome(::writev(connection.here.fd(), empty.data(), 2)), gives(0));
  EXPECT_EQ(outcome(::writev(connection.here.fd(), empty.data(), 0)), gives(0));
  const msghdr nothing{};
  EXPECT_EQ(outcome(::sendmsg(connection.here.fd(), &nothing, 0)), gives(0));
  EXPECT_EQ(connection.here.send("x"), gives(1));
  EXPECT_EQ(connection.there.receive(100).data, "x");
}

VMBUS_CASE(DataTraps, 1003, kEverywhere, "1024 pieces go out and come in; one more is refused") {
  const Connection connection = connected();
  std::string data = pattern(IOV_MAX);
  std::vector<iovec> pieces = one_byte_pieces(data, IOV_MAX);
  EXPECT_EQ(outcome(::writev(connection.here.fd(), pieces.data(), IOV_MAX)), gives(IOV_MAX));
  EXPECT_EQ(read_exactly(connection.there, IOV_MAX), data);
  const msghdr whole = message_of(pieces);
  EXPECT_EQ(outcome(::sendmsg(connection.here.fd(), &whole, 0)), gives(IOV_MAX));
  EXPECT_EQ(read_exactly(connection.there, IOV_MAX), data);

  ASSERT_EQ(connection.there.send(data), gives(IOV_MAX));
  std::string read(IOV_MAX, '\0');
  std::vector<iovec> places = one_byte_pieces(read, IOV_MAX);
  msghdr message = message_of(places);
  EXPECT_EQ(outcome(::recvmsg(connection.here.fd(), &message, MSG_WAITALL)), gives(IOV_MAX));
  EXPECT_EQ(read, data);

  std::vector<iovec> too_many = one_byte_pieces(data, IOV_MAX + 1);
  const auto one_more = static_cast<int>(too_many.size());
  const int fd = connection.here.fd();
  EXPECT_EQ(outcome(::writev(fd, too_many.data(), one_more)), fails(EINVAL));
  EXPECT_EQ(outcome(::readv(fd, too_many.data(), one_more)), fails(EINVAL));
  EXPECT_EQ(outcome(::writev(fd, too_many.data(), -one_more)), fails(EINVAL));
  msghdr long_message = message_of(too_many);
  EXPECT_EQ(outcome(::sendmsg(fd, &long_message, 0)), fails(EMSGSIZE));
  EXPECT_EQ(outcome(::recvmsg(fd, &long_message, 0)), fails(EMSGSIZE));
}

VMBUS_CASE(DataTraps, 1004, kEverywhere,
           "no receiving call loses a byte to a buffer that is not there") {
  const Connection connection = connected();
  const HalfMapped memory;
  for (const ReceiveCall& call : receive_calls()) {
    if (!has(call.traits, kFromMemory)) continue;
    ASSERT_EQ(connection.there.send("abcde"), gives(5));
    EXPECT_EQ(outcome(call.call(connection.here.fd(), memory.bad(), 5, 0)), fails(EFAULT))
        << call.name;
    EXPECT_EQ(connection.here.receive(10).data, "abcde") << call.name;
  }
}

VMBUS_CASE(DataTraps, 1005, kEverywhere, "no sending call sends from a buffer that is not there") {
  const Connection connection = connected();
  const HalfMapped memory;
  for (const SendCall& call : send_calls()) {
    if (!has(call.traits, kFromMemory)) continue;
    EXPECT_EQ(outcome(call.call(connection.here.fd(), memory.bad(), 5, 0)), fails(EFAULT))
        << call.name;
  }
  EXPECT_EQ(connection.here.send("x"), gives(1));
  EXPECT_EQ(connection.there.receive(100).data, "x");
}

VMBUS_CASE(DataTraps, 1006, kEverywhere, "a buffer that ends too soon loses and invents no byte") {
  const Connection connection = connected();
  const HalfMapped memory;
  const std::size_t page = HalfMapped::page_size();
  const std::string data = pattern(2 * page);

  ASSERT_EQ(connection.there.send(data), gives(static_cast<long>(data.size())));
  std::string read;
  while (read.size() < data.size()) {
    const Outcome got = outcome(::recv(connection.here.fd(), memory.good(), 2 * page, 0));
    if (got.ok()) {
      read.append(memory.good(), static_cast<std::size_t>(got.value));
    } else {
      EXPECT_EQ(got, fails(EFAULT));
      read += read_exactly(connection.here, data.size() - read.size());
    }
  }
  EXPECT_TRUE(read == data);

  std::copy_n(data.begin(), page, memory.good());
  const Outcome sent = outcome(::send(connection.here.fd(), memory.good(), 2 * page, 0));
  const std::size_t went_out = sent.ok() ? static_cast<std::size_t>(sent.value) : 0;
  EXPECT_TRUE(sent.ok() || sent == fails(EFAULT)) << sent;
  EXPECT_LE(went_out, page);
  EXPECT_EQ(connection.here.send("x"), gives(1));
  EXPECT_TRUE(read_exactly(connection.there, went_out) == data.substr(0, went_out));
  EXPECT_EQ(connection.there.receive(100).data, "x");
}

VMBUS_CASE(DataTraps, 1007, kEverywhere,
           "headers and lists of pieces that are not there are EFAULT") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.send("abcde"), gives(5));
  const int fd = connection.here.fd();
  const HalfMapped memory;
  auto* const no_pieces = reinterpret_cast<iovec*>(memory.bad());
  auto* const no_message = reinterpret_cast<msghdr*>(memory.bad());
  auto* const no_messages = reinterpret_cast<mmsghdr*>(memory.bad());
  EXPECT_EQ(outcome(::writev(fd, no_pieces, 2)), fails(EFAULT));
  EXPECT_EQ(outcome(::readv(fd, no_pieces, 2)), fails(EFAULT));
  EXPECT_EQ(outcome(::sendmsg(fd, no_message, 0)), fails(EFAULT));
  EXPECT_EQ(outcome(::recvmsg(fd, no_message, 0)), fails(EFAULT));
  EXPECT_EQ(outcome(::sendmmsg(fd, no_messages, 1, 0)), fails(EFAULT));
  EXPECT_EQ(outcome(::recvmmsg(fd, no_messages, 1, 0, nullptr)), fails(EFAULT));
  EXPECT_EQ(connection.here.receive(10).data, "abcde");
}

VMBUS_CASE(DataTraps, 1008, kEverywhere,
           "recvfrom cannot say how long the sender's name is: EFAULT, EINVAL") {
  const Connection connection = accepted();
  const HalfMapped memory;
  Address sender;
  char byte = 0;
  ASSERT_EQ(connection.there.send("xyz"), gives(3));
  auto* const nowhere = reinterpret_cast<socklen_t*>(memory.bad());
  const int fd = connection.here.fd();
  EXPECT_EQ(outcome(::recvfrom(fd, &byte, 1, 0, sender.get(), nowhere)), fails(EFAULT));
  auto negative = static_cast<socklen_t>(-1);
  EXPECT_EQ(outcome(::recvfrom(fd, &byte, 1, 0, sender.get(), &negative)), fails(EINVAL));
  EXPECT_EQ(connection.here.receive(10).data, "z") << "the data were taken, as on every socket";
}

VMBUS_CASE(DataTraps, 1009, kEverywhere, "two threads that receive share the stream's bytes") {
  const Connection connection = connected();
  constexpr std::size_t kTotal = 1 << 20;
  const auto count_bytes = [&] {
    long total = 0;
    while (true) {
      const Received got = connection.here.receive(3000);
      if (got.data.empty()) return got.outcome.ok() ? gives(total) : got.outcome;
      total += got.outcome.value;
    }
  };
  WaitingCall first(count_bytes);
  WaitingCall second(count_bytes);
  EXPECT_EQ(connection.there.send(std::string(kTotal, 'x')), gives(kTotal));
  EXPECT_EQ(connection.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(first.result().value + second.result().value, static_cast<long>(kTotal));
}

VMBUS_CASE(DataTraps, 1010, kLinux | kFreeBsd | kWindows | kUnix,
           "two threads that send do not mix their small blocks") {
  const Connection connection = connected();
  constexpr std::size_t kBlock = 1000;
  constexpr int kRounds = 400;
  const auto send_blocks = [&](char first_letter) {
    return [&connection, first_letter] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string block(kBlock, static_cast<char>(first_letter + i % 26));
        const Outcome sent = connection.here.send(block);
        if (sent != gives(kBlock)) return sent;
      }
      return gives(0);
    };
  };
  WaitingCall first(send_blocks('a'));
  WaitingCall second(send_blocks('A'));
  const std::string read = read_exactly(connection.there, 2 * kRounds * kBlock);
  EXPECT_EQ(first.result(), gives(0));
  EXPECT_EQ(second.result(), gives(0));
  std::size_t mixed = 0;
  for (std::size_t i = 0; i < read.size(); i += kBlock) {
    mixed += read.substr(i, kBlock) == std::string(kBlock, read[i]) ? 0 : 1;
  }
  EXPECT_EQ(mixed, 0U);
}

VMBUS_CASE(DataTraps, 1011, kLinux | kFreeBsd | kPlain,
           "SHUT_RD ends the receives of all threads") {
  const Connection connection = connected();
  const auto receive = [&] { return connection.here.receive(1).outcome; };
  WaitingCall first(receive);
  WaitingCall second(receive);
  EXPECT_TRUE(first.sleeps());
  EXPECT_TRUE(second.sleeps());
  EXPECT_EQ(connection.here.shutdown(SHUT_RD), gives(0));
  EXPECT_EQ(first.result(), gives(0));
  EXPECT_EQ(second.result(), gives(0));
}

VMBUS_CASE(DataTraps, 1012, kEverywhere,
           "closing the descriptor does not end another thread's receive") {
  Connection connection = connected();
  std::string read;
  const int fd = connection.here.fd();
  WaitingCall receiving([&, fd] {
    read.resize(10);
    return outcome(::recv(fd, read.data(), read.size(), 0));
  });
  EXPECT_TRUE(receiving.sleeps());
  EXPECT_EQ(connection.here.close(), gives(0));
  EXPECT_EQ(connection.there.send("late"), gives(4));
  EXPECT_EQ(receiving.result(), gives(4));
  EXPECT_EQ(read.substr(0, 4), "late");
}

VMBUS_CASE(DataTraps, 1013, kLinux | kFreeBsd | kPlain,
           "every sending call raises SIGPIPE once with EPIPE") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  for (const SendCall& call : send_calls()) {
    const SignalCount pipes(SIGPIPE);
    EXPECT_EQ(outcome(call.call(connection.here.fd(), "x", 1, 0)), fails(EPIPE)) << call.name;
    EXPECT_EQ(pipes.take(), 1) << call.name;
    if (!has(call.traits, kTakesFlags)) continue;
    EXPECT_EQ(outcome(call.call(connection.here.fd(), "x", 1, MSG_NOSIGNAL)), fails(EPIPE))
        << call.name;
    EXPECT_EQ(pipes.take(), 0) << call.name;
  }
}

VMBUS_CASE(DataTraps, 1014, kLinux | kFreeBsd | kPlain,
           "SIGPIPE is for the thread that sent, and for no other") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  sigset_t pipe_only;
  sigset_t before;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &pipe_only, &before), 0);
  bool pending_there = false;
  WaitingCall sending([&] {  // the mask is inherited
    const Outcome sent = connection.here.send("x", 0);
    sigset_t pending;
    sigpending(&pending);
    pending_there = sigismember(&pending, SIGPIPE) == 1;
    return sent;
  });
  EXPECT_EQ(sending.result(), fails(EPIPE));
  EXPECT_TRUE(pending_there);
  sigset_t pending_here;
  sigpending(&pending_here);
  EXPECT_EQ(sigismember(&pending_here, SIGPIPE), 0);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

VMBUS_CASE(DataTraps, 1015, kLinux | kWindows | kPlain,
           "1024 pieces of many sizes go out whole, however slowly they are read") {
  const Connection connection = connected();
  std::string data = pattern(2 << 20);
  std::vector<iovec> pieces;
  std::size_t start = 0;
  for (std::size_t i = 0; i + 1 < IOV_MAX; ++i) {
    const std::size_t size = i * 3 % 4001;  // among them empty ones
    pieces.push_back({data.data() + start, size});
    start += size;
  }
  pieces.push_back({data.data() + start, data.size() - start});
  const msghdr message = message_of(pieces);
  WaitingCall sending([&] { return outcome(::sendmsg(connection.here.fd(), &message, 0)); });
  EXPECT_TRUE(read_exactly(connection.there, data.size()) == data);
  EXPECT_EQ(sending.result(), gives(static_cast<long>(data.size())));
}

VMBUS_CASE(DataTraps, 1016, kEverywhere, "a large send that does not wait sends what fits") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.set_nonblocking(), gives(0));
  constexpr std::size_t kFarTooMuch = 8U << 20;
  const Outcome sent = connection.here.send(std::string(kFarTooMuch, 'x'));
  EXPECT_GT(sent.value, 0);
  EXPECT_LT(sent.value, static_cast<long>(kFarTooMuch));
  const std::size_t total = static_cast<std::size_t>(sent.value) + fill(connection.here);
  EXPECT_EQ(connection.here.send(std::string(kFarTooMuch, 'x')), fails(EAGAIN));
  EXPECT_EQ(read_exactly(connection.there, total).size(), total);
}

VMBUS_CASE(DataTraps, 1017, kLinux | kWindows | kUnix,
           "a sendfile that loses its peer says how much went out") {
  Connection connection = connected();
  constexpr std::size_t kFarTooMuch = 8U << 20;
  const Socket file(::memfd_create("file", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.fd(), kFarTooMuch), 0);
  off_t position = 0;
  WaitingCall sending(
      [&] { return outcome(::sendfile(connection.here.fd(), file.fd(), &position, kFarTooMuch)); });
  EXPECT_EQ(read_exactly(connection.there, 1 << 20).size(), 1U << 20);
  EXPECT_TRUE(sending.sleeps());
  EXPECT_EQ(connection.there.close(), gives(0));
  const Outcome sent = sending.result();
  EXPECT_GE(sent.value, 1 << 20);
  EXPECT_LT(sent.value, static_cast<long>(kFarTooMuch));
  EXPECT_EQ(position, sent.value);
}

VMBUS_CASE(DataTraps, 1018, kLinux | kWindows | kPlain,
           "closing the descriptor does not end another thread's send") {
  const std::string data = pattern(8U << 20);
  for (const SendCall& call : send_calls()) {
    if (std::string_view(call.name) == "splice") continue;  // no more at once than a pipe holds
    Connection connection = connected();
    WaitingCall sending([&, fd = connection.here.fd()] {
      return outcome(call.call(fd, data.data(), data.size(), 0));
    });
    EXPECT_TRUE(sending.sleeps()) << call.name;
    EXPECT_EQ(connection.here.close(), gives(0));
    EXPECT_TRUE(read_exactly(connection.there, data.size()) == data) << call.name;
    EXPECT_EQ(sending.result(), gives(static_cast<long>(data.size()))) << call.name;
    EXPECT_EQ(connection.there.receive(1).outcome, gives(0)) << "and then it is closed";
  }
}

VMBUS_CASE(DataTraps, 1019, kLinux | kWindows | kPlain,
           "a send goes on with its file when another takes the descriptor's number") {
  const Connection connection = connected();
  const Connection other = connected();
  const std::string data = pattern(8U << 20);
  WaitingCall sending([&] { return connection.here.send(data); });
  EXPECT_TRUE(sending.sleeps());
  ASSERT_EQ(outcome(::dup2(other.here.fd(), connection.here.fd())), gives(connection.here.fd()));
  EXPECT_TRUE(read_exactly(connection.there, data.size()) == data);
  EXPECT_EQ(sending.result(), gives(static_cast<long>(data.size())));
  EXPECT_EQ(connection.here.send("x"), gives(1));
  EXPECT_EQ(other.there.receive(10).data, "x");
}

VMBUS_CASE(DataTraps, 1020, kLinux | kWindows | kPlain,
           "a child does not keep what another thread of its parent was sending on") {
  Connection connection = connected();
  const std::string data = pattern(8U << 20);
  WaitingCall sending([&] { return connection.here.send(data); });
  EXPECT_TRUE(sending.sleeps());
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(connection.here.fd());
    while (true) ::pause();
  }
  EXPECT_TRUE(read_exactly(connection.there, data.size()) == data);
  EXPECT_EQ(sending.result(), gives(static_cast<long>(data.size())));
  EXPECT_EQ(connection.here.close(), gives(0));
  EXPECT_EQ(connection.there.receive(1).outcome, gives(0));
  ::kill(child, SIGKILL);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

}  // namespace vmbus::cases
