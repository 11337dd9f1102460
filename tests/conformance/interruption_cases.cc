// Signals, time limits and cancellation in every call that waits for data; traps from 1021 on (case.h).
#include <fcntl.h>
#include <pthread.h>

#include <array>
#include <chrono>
#include <memory>
#include <vector>

#include "tests/conformance/connections.h"
#include "tests/conformance/transfers.h"
#include "tests/conformance/waiting.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;
// TCP's probes of a closed window make room for a byte now and then.
constexpr std::uint32_t kFullStaysFull = kEverywhere & ~kTcp;

Outcome receive_by(const ReceiveCall& call, const Socket& socket) {
  std::array<char, 10> data{};
  return outcome(call.call(socket.fd(), data.data(), data.size(), 0));
}

Outcome send_by(const SendCall& call, const Socket& socket) {
  return outcome(call.call(socket.fd(), "x", 1, 0));
}

void set_timeout(const Socket& socket, int option, std::chrono::milliseconds limit) {
  ASSERT_EQ(socket.set_option(SOL_SOCKET, option, as_timeval(limit)), gives(0));
}

// The call sleeps, is interrupted, and says so.
void expect_interrupted(std::function<Outcome()> call, const char* name) {
  WaitingCall waiting(std::move(call));
  EXPECT_TRUE(waiting.sleeps()) << name;
  EXPECT_TRUE(waiting.interrupt(SIGUSR1)) << name;
  EXPECT_EQ(waiting.result(), fails(EINTR)) << name;
}

// The call sleeps, handles a signal, and sleeps on until `release` lets it end with `expected`.
template <typename Release>
void expect_restarted(std::function<Outcome()> call, const char* name, Release release,
                      Outcome expected) {
  const SignalCount signals(SIGUSR1, SA_RESTART);
  WaitingCall waiting(std::move(call));
  EXPECT_TRUE(waiting.sleeps()) << name;
  waiting.signal(SIGUSR1);
  EXPECT_TRUE(eventually([&] { return signals.take() == 1; })) << name;
  EXPECT_TRUE(waiting.sleeps()) << name;
  release();
  EXPECT_EQ(waiting.result(), expected) << name;
}

void expect_cancelled(std::function<Outcome()> call, const char* name) {
  WaitingCall waiting(std::move(call));
  EXPECT_TRUE(waiting.sleeps()) << name;
  waiting.cancel();
  EXPECT_EQ(waiting.join(), std::nullopt) << name;
}

// The thread asks for its own cancellation first: the call must act on that, and do nothing.
void expect_cancelled_at_once(std::function<Outcome()> call, const char* name) {
  WaitingCall waiting([call = std::move(call)] {
    ::pthread_cancel(::pthread_self());
    return call();
  });
  EXPECT_EQ(waiting.join(), std::nullopt) << name;
}

constexpr std::size_t kFarTooMuch = 8U << 20;  // more than any stream holds

// A stream that takes no byte more.
struct Full {
  Connection connection = connected();
  std::size_t bytes = fill(connection.here);
};

}  // namespace

VMBUS_CASE(Interruption, 1021, kEverywhere, "a signal ends every receiving call with EINTR") {
  const Connection connection = connected();
  const SignalCount signals(SIGUSR1);
  for (const ReceiveCall& call : receive_calls()) {
    expect_interrupted([&] { return receive_by(call, connection.here); }, call.name);
  }
}

VMBUS_CASE(Interruption, 1022, kFullStaysFull, "a signal ends every sending call with EINTR") {
  const Full full;
  const SignalCount signals(SIGUSR1);
  for (const SendCall& call : send_calls()) {
    expect_interrupted([&] { return send_by(call, full.connection.here); }, call.name);
  }
}

VMBUS_CASE(Interruption, 1023, kEverywhere, "SA_RESTART starts every receiving call again") {
  const Connection connection = connected();
  for (const ReceiveCall& call : receive_calls()) {
    expect_restarted([&] { return receive_by(call, connection.here); }, call.name,
                     [&] { EXPECT_EQ(connection.there.send("abc"), gives(3)); }, gives(3));
  }
}

VMBUS_CASE(Interruption, 1024, kFullStaysFull, "SA_RESTART starts every sending call again") {
  const Connection connection = connected();
  for (const SendCall& call : send_calls()) {
    const std::size_t queued = fill(connection.here);
    expect_restarted([&] { return send_by(call, connection.here); }, call.name,
                     [&] { EXPECT_EQ(read_exactly(connection.there, queued).size(), queued); },
                     gives(1));
    EXPECT_EQ(connection.there.receive(100).data, "x") << call.name;
  }
}

VMBUS_CASE(Interruption, 1025, kEverywhere,
           "with SO_RCVTIMEO set, not even SA_RESTART starts a receive again") {
  const Connection connection = connected();
  set_timeout(connection.here, SO_RCVTIMEO, kLimit);
  const SignalCount signals(SIGUSR1, SA_RESTART);
  for (const ReceiveCall& call : receive_calls()) {
    expect_interrupted([&] { return receive_by(call, connection.here); }, call.name);
  }
}

VMBUS_CASE(Interruption, 1026, kFullStaysFull,
           "with SO_SNDTIMEO set, not even SA_RESTART starts a send again") {
  const Full full;
  set_timeout(full.connection.here, SO_SNDTIMEO, kLimit);
  const SignalCount signals(SIGUSR1, SA_RESTART);
  for (const SendCall& call : send_calls()) {
    expect_interrupted([&] { return send_by(call, full.connection.here); }, call.name);
  }
}

VMBUS_CASE(Interruption, 1027, kEverywhere, "SO_RCVTIMEO ends every receiving call with EAGAIN") {
  const Connection connection = connected();
  set_timeout(connection.here, SO_RCVTIMEO, 50ms);
  for (const ReceiveCall& call : receive_calls()) {
    EXPECT_EQ(receive_by(call, connection.here), fails(EAGAIN)) << call.name;
  }
}

VMBUS_CASE(Interruption, 1028, kFullStaysFull, "SO_SNDTIMEO ends every sending call with EAGAIN") {
  const Full full;
  set_timeout(full.connection.here, SO_SNDTIMEO, 50ms);
  for (const SendCall& call : send_calls()) {
    EXPECT_EQ(send_by(call, full.connection.here), fails(EAGAIN)) << call.name;
  }
}

VMBUS_CASE(Interruption, 1029, kEverywhere,
           "pthread_cancel ends every receiving call, and takes no byte") {
  const Connection connection = connected();
  for (const ReceiveCall& call : receive_calls()) {
    if ((call.traits & kCancellable) == 0) continue;
    expect_cancelled([&] { return receive_by(call, connection.here); }, call.name);
  }
  EXPECT_EQ(connection.there.send("abc"), gives(3));
  EXPECT_EQ(connection.here.receive(10).data, "abc");
}

VMBUS_CASE(Interruption, 1030, kFullStaysFull,
           "pthread_cancel ends every sending call, and adds no byte") {
  const Full full;
  for (const SendCall& call : send_calls()) {
    if ((call.traits & kCancellable) == 0) continue;
    expect_cancelled([&] { return send_by(call, full.connection.here); }, call.name);
  }
  EXPECT_EQ(read_exactly(full.connection.there, full.bytes), std::string(full.bytes, 'f'));
  EXPECT_EQ(full.connection.here.send("y"), gives(1));
  EXPECT_EQ(full.connection.there.receive(100).data, "y");
}

VMBUS_CASE(Interruption, 1031, kEverywhere,
           "pthread_cancel ends accept, and the listener accepts on") {
  const Listener here = listener();
  expect_cancelled([&] { return here.socket.accept(); }, "accept4");
  expect_cancelled([&] { return outcome(::accept(here.socket.fd(), nullptr, nullptr)); }, "accept");
  RemoteSocket there = remote_stream();
  there.start_connect(reachable(here.name));
  EXPECT_GE(here.socket.accepted().fd(), 0);
  EXPECT_EQ(there.collect().outcome, gives(0));
}

VMBUS_CASE(Interruption, 1032, kEverywhere,
           "a cancellation that is pending acts in every receiving and sending call") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.send("abc"), gives(3));
  ASSERT_NE(connection.here.poll(kLimit, POLLIN), 0);
  for (const ReceiveCall& call : receive_calls()) {
    if ((call.traits & kCancellable) == 0) continue;
    if ((call.traits & kFromMemory) == 0) continue;  // it makes other calls before
    expect_cancelled_at_once([&] { return receive_by(call, connection.here); }, call.name);
  }
  EXPECT_EQ(connection.here.receive(10).data, "abc");
  for (const SendCall& call : send_calls()) {
    if ((call.traits & kCancellable) == 0) continue;
    if ((call.traits & kFromMemory) == 0) continue;
    expect_cancelled_at_once([&] { return send_by(call, connection.here); }, call.name);
  }
  EXPECT_EQ(connection.here.send("y"), gives(1));
  EXPECT_EQ(connection.there.receive(100).data, "y");
}

VMBUS_CASE(Interruption, 1033, kEverywhere,
           "a cancellation that is pending keeps connect from connecting and close from closing") {
  const RemoteListener there = remote_listener();
  const Socket dialling = stream();
  expect_cancelled_at_once([&] { return dialling.connect(there.reached_at); }, "connect");
  EXPECT_EQ(dialling.connect(there.reached_at), gives(0)) << "the first";

  const int fd = dialling.fd();
  expect_cancelled_at_once([fd] { return outcome(::close(fd)); }, "close");
  EXPECT_EQ(dialling.peer_name().second.storage.ss_family, there.reached_at.storage.ss_family)
      << "still what it was";
  EXPECT_EQ(dialling.send("x"), gives(1));
  EXPECT_EQ(there.socket.accepted().receive(10).data, "x");
}

VMBUS_CASE(Interruption, 1034, kStrict | kDefault, "pthread_cancel ends a connect that waits") {
  const RemoteListener full = remote_listener(0);
  const Socket first = stream();
  ASSERT_EQ(first.connect(full.reached_at), gives(0)) << "takes the queue's only place";
  const Socket second = stream();
  expect_cancelled([&] { return second.connect(full.reached_at); }, "connect");
}

VMBUS_CASE(Interruption, 1035, kLinux | kWindows | kUnix,
           "a signal ends a send that has begun with what went out, SA_RESTART or not") {
  const Connection connection = connected();
  const SignalCount signals(SIGUSR1, SA_RESTART);
  WaitingCall sending([&] { return connection.here.send(std::string(kFarTooMuch, 'x')); });
  EXPECT_TRUE(sending.sleeps());
  EXPECT_TRUE(sending.interrupt(SIGUSR1));
  const auto sent = static_cast<std::size_t>(sending.result().value);
  EXPECT_LT(sent, kFarTooMuch);
  EXPECT_EQ(read_exactly(connection.there, sent).size(), sent);
  EXPECT_EQ(connection.here.send("y"), gives(1));
  EXPECT_EQ(connection.there.receive(100).data, "y") << "the count was exact";
}

VMBUS_CASE(Interruption, 1036, kFullStaysFull,
           "an own SHUT_WR ends another thread's send with EPIPE") {
  Full full;
  WaitingCall sending([&] { return full.connection.here.send("x"); });
  EXPECT_TRUE(sending.sleeps());
  EXPECT_EQ(full.connection.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(sending.result(), fails(EPIPE));
  EXPECT_EQ(full.connection.here.close(), gives(0));  // FreeBSD's SHUT_WR alone tells nobody
  EXPECT_EQ(read_exactly(full.connection.there, full.bytes + 1), std::string(full.bytes, 'f'));
}

VMBUS_CASE(Interruption, 1037, kLinux | kWindows | kUnix,
           "an own SHUT_WR ends another thread's large send with what went out") {
  const Connection connection = connected();
  WaitingCall sending([&] { return connection.here.send(std::string(kFarTooMuch, 'x')); });
  EXPECT_TRUE(sending.sleeps());
  EXPECT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  const auto sent = static_cast<std::size_t>(sending.result().value);
  EXPECT_LT(sent, kFarTooMuch);
  EXPECT_EQ(read_exactly(connection.there, kFarTooMuch).size(), sent);
}

VMBUS_CASE(Interruption, 1038, kLinux | kWindows | kUnix,
           "pthread_cancel ends a send that has begun, and what went out went out") {
  const Connection connection = connected();
  const long before = open_descriptors();
  expect_cancelled([&] { return connection.here.send(std::string(kFarTooMuch, 'x')); }, "send");
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  const std::string read = read_exactly(connection.there, kFarTooMuch);
  EXPECT_GT(read.size(), 0U);
  EXPECT_LT(read.size(), kFarTooMuch);
}

VMBUS_CASE(Interruption, 1039, kLinux,
           "a cancellation that is pending keeps open from opening /dev/vsock") {
  expect_cancelled_at_once([] { return outcome(::open("/dev/vsock", O_RDONLY)); }, "open");
}

}  // namespace vmbus::cases
