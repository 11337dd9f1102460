// The send family when the stream is full: cases 168 to 178 and 190. Those of the rings' exact sizes
// hold in RING (case.h).
#include "tests/conformance/connections.h"
#include "tests/conformance/transfers.h"
#include "tests/conformance/waiting.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;
constexpr std::size_t kFarTooMuch = 8U << 20;  // more than any stream holds

// Non-blocking sends of `size` bytes until EAGAIN: how many bytes went out.
std::size_t send_until_full(const Socket& socket, std::size_t size) {
  const std::string block(size, 'b');
  std::size_t total = 0;
  Outcome sent = socket.send(block, MSG_DONTWAIT);
  for (; sent.ok(); sent = socket.send(block, MSG_DONTWAIT)) {
    total += static_cast<std::size_t>(sent.value);
  }
  EXPECT_EQ(sent, fails(EAGAIN));
  return total;
}

void set_send_timeout(const Socket& socket, std::chrono::milliseconds limit) {
  ASSERT_EQ(socket.set_option(SOL_SOCKET, SO_SNDTIMEO, as_timeval(limit)), gives(0));
}

// An accepted connection whose listener asked for buffers of `bytes`.
Connection accepted_with_buffers(int bytes) {
  const Listener listening = listener();
  EXPECT_EQ(listening.socket.set_option(SOL_SOCKET, SO_SNDBUF, bytes), gives(0));
  EXPECT_EQ(listening.socket.set_option(SOL_SOCKET, SO_RCVBUF, bytes), gives(0));
  RemoteSocket dialler = remote_stream();
  dialler.start_connect(reachable(listening.name));
  Socket here = listening.socket.accepted();
  EXPECT_EQ(dialler.collect().outcome, gives(0));
  return {std::move(here), std::move(dialler)};
}

}  // namespace

VMBUS_CASE(Send, 168, kStrict | kLinux5_14 | kNeedsRing,
           "a client's 24 KiB ring takes 24344 bytes in one large send") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.set_nonblocking(), gives(0));
  EXPECT_EQ(connection.here.send(std::string(64 * 1024, 'x')), gives(in(kStrict) ? 24344 : 20280));
}

VMBUS_CASE(Send, 169, kStrict | kLinux5_14 | kNeedsRing,
           "a client's 24 KiB ring takes 613 sends of one byte") {
  const Connection connection = connected();
  EXPECT_EQ(send_until_full(connection.here, 1), in(kStrict) ? 613U : 511U);
}

VMBUS_CASE(Send, 170, kStrict | kNeedsRing,
           "an accepted connection's ring is as large as its listener's buffers") {
  const Connection connection = accepted();
  const std::size_t total = send_until_full(connection.here, 64 * 1024);
  EXPECT_GT(total, 200000U);
  EXPECT_LT(total, 208896U) << "the data area: 212992 less the header page";
}

VMBUS_CASE(Send, 171, kStrict | kNeedsRing,
           "an accepted connection's ring is never larger than 256 KiB") {
  const Connection connection = accepted_with_buffers(1 << 20);
  const std::size_t total = send_until_full(connection.here, 64 * 1024);
  EXPECT_GT(total, 240U * 1024);
  EXPECT_LT(total, 256U * 1024);
}

VMBUS_CASE(Send, 172, kEverywhere, "a full stream shows no OUT, until the peer has read") {
  const Connection connection = connected();
  const std::size_t total = fill(connection.here);
  EXPECT_EQ(connection.here.poll(0ms, POLLOUT), 0);
  EXPECT_EQ(read_exactly(connection.there, total).size(), total);
  EXPECT_EQ(connection.here.poll(kLimit, POLLOUT), POLLOUT);
}

VMBUS_CASE(Send, 173, kStrict | kNeedsRing,
           "the host may send again once the guest has read everything, not before") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.set_nonblocking(), gives(0));
  const std::string packet(1000, 'p');
  std::size_t queued = 0;
  for (Outcome sent = connection.there.send(packet); sent.ok();
       sent = connection.there.send(packet)) {
    queued += static_cast<std::size_t>(sent.value);
  }
  EXPECT_EQ(connection.there.poll(0ms, POLLOUT), 0);
  EXPECT_EQ(read_exactly(connection.here, packet.size()), packet);
  EXPECT_EQ(connection.there.poll(0ms, POLLOUT), 0) << "one packet less";
  read_exactly(connection.here, queued - packet.size());
  EXPECT_EQ(connection.there.poll(kLimit, POLLOUT), POLLOUT);
}

VMBUS_CASE(Send, 174, kEverywhere & ~kTcp,
           "SO_SNDTIMEO ends a send that nothing fits of with EAGAIN") {
  const Connection connection = connected();
  fill(connection.here);
  set_send_timeout(connection.here, 200ms);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(connection.here.send("x"), fails(EAGAIN));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 190ms);
}

VMBUS_CASE(Send, 175, kEverywhere, "SO_SNDTIMEO ends a send that fits in part with the part") {
  const Connection connection = connected();
  set_send_timeout(connection.here, 200ms);
  const Outcome sent = connection.here.send(std::string(kFarTooMuch, 'x'));
  ASSERT_TRUE(sent.ok()) << sent;
  EXPECT_GT(sent.value, 0);
  EXPECT_LT(sent.value, static_cast<long>(kFarTooMuch));
  EXPECT_EQ(read_exactly(connection.there, static_cast<std::size_t>(sent.value)).size(),
            static_cast<std::size_t>(sent.value));
  if (in(kFreeBsd)) return;  // a large send is short there, full or not
  EXPECT_EQ(connection.here.send("x"), gives(1));
  EXPECT_EQ(connection.there.receive(100).data, "x") << "the count was exact";
}

VMBUS_CASE(Send, 176, kLinux | kWindows | kPlain,
           "a blocking send waits until everything is queued") {
  const Connection connection = connected();
  const std::string data = pattern(1 << 20);
  WaitingCall sending([&] { return connection.here.send(data); });
  std::string read;
  while (read.size() < data.size()) {
    const std::string some = connection.there.receive(7000).data;
    if (some.empty()) break;
    read += some;
  }
  EXPECT_EQ(sending.result(), gives(1 << 20));
  EXPECT_TRUE(read == data);
}

VMBUS_CASE(Send, 177, kLinux | kWindows | kUnix,
           "a blocked send that loses its peer says how much went out, then EPIPE") {
  Connection connection = connected();
  const SignalCount pipes(SIGPIPE);
  WaitingCall sending([&] { return connection.here.send(std::string(kFarTooMuch, 'x'), 0); });
  EXPECT_EQ(read_exactly(connection.there, 1 << 20).size(), 1U << 20);
  EXPECT_TRUE(sending.sleeps());
  EXPECT_EQ(connection.there.close(), gives(0));
  const Outcome sent = sending.result();
  EXPECT_GE(sent.value, 1 << 20);
  EXPECT_LT(sent.value, static_cast<long>(kFarTooMuch));
  EXPECT_EQ(pipes.take(), 0) << "a part went out: no error yet";
  EXPECT_EQ(connection.here.send("x", 0), fails(in(kWindows) ? ECONNRESET : EPIPE));
  EXPECT_EQ(pipes.take(), in(kWindows) ? 0 : 1);
}

VMBUS_CASE(Send, 178, kEverywhere & ~kTcp,
           "a signal ends a blocked send: EINTR, or what went out") {
  const Connection connection = connected();
  const SignalCount signals(SIGUSR1);
  if (!in(kFreeBsd)) {  // where a send that fits in part does not wait
    WaitingCall in_part([&] { return connection.here.send(std::string(kFarTooMuch, 'x')); });
    EXPECT_TRUE(in_part.sleeps());
    EXPECT_TRUE(in_part.interrupt(SIGUSR1));
    EXPECT_GT(in_part.result().value, 0);
    EXPECT_LT(in_part.result().value, static_cast<long>(kFarTooMuch));
  }
  fill(connection.here);
  WaitingCall nothing([&] { return connection.here.send("x"); });
  EXPECT_TRUE(nothing.sleeps());
  EXPECT_TRUE(nothing.interrupt(SIGUSR1));
  EXPECT_EQ(nothing.result(), fails(EINTR));
}

VMBUS_CASE(Send, 190, kFreeBsd, "FreeBSD: a blocking send that does not fit comes back short") {
  const Connection connection = connected();
  const Outcome sent = connection.here.send(std::string(kFarTooMuch, 'x'));
  EXPECT_GT(sent.value, 0);
  EXPECT_LT(sent.value, static_cast<long>(kFarTooMuch));
  const auto short_count = static_cast<std::size_t>(sent.value);
  EXPECT_EQ(read_exactly(connection.there, short_count).size(), short_count);
}

}  // namespace vmbus::cases
