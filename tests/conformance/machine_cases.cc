// What happens to a guest from outside: pause, migration, a reset of its device. Cases 323 to 326.
#include <array>

#include "tests/conformance/connections.h"
#include "tests/conformance/vmbus_command.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kGuestsThatEnd = kStrict | kFreeBsd;  // the guest's end is here

Outcome migrate() { return gives(vmbus({"vm", "migrate", guest_name()})); }
Outcome reset_device() { return gives(vmbus({"vm", "reset-device", guest_name()})); }

// The host's end is an AF_HYPERV socket.
Connection connected_to_hyperv() {
  if (!in(kFreeBsd)) return connected_to_windows();
  const RemoteSocket listening = other_side().socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
  const std::uint32_t port = next_port();
  EXPECT_EQ(listening.bind(hv_address(HV_GUID_WILDCARD, service_of_port(port))), gives(0));
  EXPECT_EQ(listening.listen(), gives(0));
  Socket here = stream();
  EXPECT_EQ(here.connect(hvs_address(port)), gives(0));
  return {std::move(here), listening.accepted()};
}

Outcome ask_to_stay(const RemoteSocket& host_end) {
  return host_end.set_option(HV_PROTOCOL_RAW, HVSOCKET_CONNECTED_SUSPEND, std::uint32_t{1});
}

void expect_data(const Connection& pair) {
  EXPECT_EQ(pair.here.send("to the host"), gives(11));
  EXPECT_EQ(pair.there.receive_all(11), "to the host");
  EXPECT_EQ(pair.there.send("to the guest"), gives(12));
  EXPECT_EQ(pair.here.receive(12, MSG_WAITALL).data, "to the guest");
}

// A guest's end whose channel was withdrawn.
void expect_end(const Connection& pair) {
  EXPECT_EQ(pair.here.receive(10).outcome, gives(0));
  EXPECT_EQ(pair.here.send("?"), fails(EPIPE));
  EXPECT_EQ(pair.here.so_error(), gives(0));
}

void expect_reset(const Connection& pair) {
  EXPECT_EQ(pair.here.receive(10).outcome, fails(ECONNRESET));
  EXPECT_EQ(pair.here.so_error(), gives(ECONNRESET));
  EXPECT_EQ(pair.here.so_error(), gives(0)) << "it is told once";
}

}  // namespace

VMBUS_CASE(Machine, 323, kGuestsThatEnd,
           "a guest's pause ends its connections, its listeners go on") {
  const Listener listening = listener();
  const std::array pairs{connected(), accepted()};
  ASSERT_EQ(pairs[0].there.send("unread"), gives(6));
  ASSERT_EQ(pairs[0].here.poll(kLimit, POLLIN), POLLIN);
  Pause().resume();
  EXPECT_EQ(pairs[0].here.receive(10).data, "unread");
  for (const Connection& pair : pairs) {
    expect_end(pair);
    EXPECT_EQ(pair.there.receive(10).outcome, fails(ECONNRESET));
  }
  const RemoteSocket there = remote_stream();
  there.start_connect(reachable(listening.name));
  const Connection later{listening.socket.accepted(), {}};
  EXPECT_EQ(there.collect().outcome, gives(0));
  EXPECT_EQ(later.here.send("x"), gives(1));
  EXPECT_EQ(there.receive_all(1), "x");
  expect_data(connected());
}

VMBUS_CASE(Machine, 324, kGuestsThatEnd,
           "HVSOCKET_CONNECTED_SUSPEND on the host keeps a connection over a pause") {
  const Connection kept = connected_to_hyperv();
  ASSERT_EQ(ask_to_stay(kept.there), gives(0));
  const Connection other = connected_to_hyperv();
  Pause().resume();
  expect_data(kept);
  expect_end(other);
}

VMBUS_CASE(Machine, 325, kVirtio, "a reset device gives its connections ECONNRESET") {
  const Listener listening = listener();
  const Connection pair = connected();
  const Connection waiting = accepted();
  WaitingCall receive([&] { return waiting.here.receive(10).outcome; });
  ASSERT_TRUE(receive.sleeps());
  ASSERT_EQ(reset_device(), gives(0));
  EXPECT_EQ(receive.result(), fails(ECONNRESET)) << "one that waits hears it, too";
  EXPECT_TRUE((pair.here.poll() & POLLERR) != 0);
  expect_reset(pair);
  EXPECT_TRUE((pair.here.poll() & POLLERR) == 0) << "the error was taken";
  expect_data(connected());
  const RemoteSocket there = remote_stream();
  EXPECT_EQ(there.connect(reachable(listening.name)), gives(0));
}

VMBUS_CASE(Machine, 326, kGuestsThatEnd,
           "a migration ends old connections, asked to stay or not, and new ones succeed") {
  const Connection asked = connected_to_hyperv();
  ASSERT_EQ(ask_to_stay(asked.there), gives(0));
  const std::array pairs{connected(), accepted()};
  ASSERT_EQ(migrate(), gives(0));
  expect_end(asked);
  for (const Connection& pair : pairs) expect_end(pair);
  expect_data(connected());
  expect_data(accepted());
}

VMBUS_CASE(Machine, 1323, kVirtio, "virtio: a pause and a migration reset the device") {
  const Connection paused = connected();
  Pause().resume();
  expect_reset(paused);
  const Connection migrated = connected();
  ASSERT_EQ(migrate(), gives(0));
  expect_reset(migrated);
  expect_data(connected());
}

VMBUS_CASE(Machine, 1324, kDefault, "profile default: neither pause nor migration ends anything") {
  const std::array pairs{connected(), accepted()};
  Pause pause;
  ASSERT_EQ(pairs[0].here.send("written"), gives(7));
  ASSERT_EQ(pairs[1].there.send("meanwhile"), gives(9));
  pause.resume();
  EXPECT_EQ(pairs[0].there.receive_all(7), "written");
  EXPECT_EQ(pairs[1].here.receive(9, MSG_WAITALL).data, "meanwhile");
  ASSERT_EQ(migrate(), gives(0));
  for (const Connection& pair : pairs) expect_data(pair);
}

VMBUS_CASE(Machine, 1325, kLinux | kFreeBsd,
           "connects from and to a paused guest go on when it does") {
  const Listener listening = listener();
  const RemoteListener there = remote_listener();
  Pause pause;
  const Socket here = stream(SOCK_NONBLOCK);
  EXPECT_EQ(here.connect(there.reached_at), fails(EINPROGRESS));
  const RemoteSocket dialler = remote_stream();
  EXPECT_EQ(dialler.set_nonblocking(), gives(0));
  EXPECT_EQ(dialler.connect(reachable(listening.name)), fails(EINPROGRESS));
  EXPECT_EQ(here.poll(), 0);
  EXPECT_EQ(listening.socket.poll(), 0);
  pause.resume();
  EXPECT_EQ(here.poll(kLimit, POLLOUT), POLLOUT);
  EXPECT_EQ(here.so_error(), gives(0));
  const Socket accepted = listening.socket.accepted();
  EXPECT_EQ(dialler.poll(kLimit, POLLOUT), POLLOUT);
  EXPECT_EQ(dialler.so_error(), gives(0));
}

}  // namespace vmbus::cases
