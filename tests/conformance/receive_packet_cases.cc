// The recv family where several packets are there, or one that does not fit: cases 199 to 204 and 228.
#include <sys/ioctl.h>

#include "tests/conformance/connections.h"
#include "tests/conformance/transfers.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

// `first` and `second`, sent one after the other, are both there to be read.
void two_arrive(const Connection& connection, std::string_view first, std::string_view second) {
  ASSERT_EQ(connection.there.send(first), gives(static_cast<long>(first.size())));
  ASSERT_EQ(connection.there.send(second), gives(static_cast<long>(second.size())));
  const auto both = static_cast<long>(first.size() + second.size());
  ASSERT_TRUE(eventually([&] { return connection.here.ioctl_int(FIONREAD).value == both; }));
}

}  // namespace

// In profile default the daemon may have brought both to the carrier before the first receive, where packets have no
// ends (docs/limitations.md); strict shows them there one by one.
VMBUS_CASE(Receive, 199, kStrict | kNeedsRing, "a receive ends with its packet") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.send("12345"), gives(5));
  ASSERT_EQ(connection.there.send("1234567"), gives(7));
  EXPECT_EQ(connection.here.receive(100).data, "12345");
  EXPECT_EQ(connection.here.receive(100).data, "1234567");
}

VMBUS_CASE(Receive, 200, kEverywhere, "MSG_WAITALL goes on over the end of a packet") {
  const Connection connection = connected();
  WaitingCall receiving([&] { return connection.here.receive(12, MSG_WAITALL).outcome; });
  ASSERT_EQ(connection.there.send("12345"), gives(5));
  EXPECT_TRUE(receiving.sleeps());
  ASSERT_EQ(connection.there.send("1234567"), gives(7));
  EXPECT_EQ(receiving.result(), gives(12));
}

VMBUS_CASE(Receive, 201, kEverywhere, "what a receive leaves of a packet is the next one's") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.send("0123456789"), gives(10));
  EXPECT_EQ(read_exactly(connection.here, 4), "0123");
  EXPECT_EQ(connection.here.receive(100).data, "456789");
}

VMBUS_CASE(Receive, 202, kLinux, "MSG_WAITALL for more than the transport ever holds is ENOMEM") {
  const Connection connection = connected();
  const std::size_t least = in(kVirtio) ? 262144 : 16385;
  EXPECT_EQ(connection.here.receive(least, MSG_WAITALL).outcome, fails(ENOMEM));
  EXPECT_EQ(connection.here.receive(least - 1, MSG_WAITALL | MSG_DONTWAIT).outcome, fails(EAGAIN));
  EXPECT_EQ(connection.here.receive(1, MSG_DONTWAIT).outcome, fails(EAGAIN)) << "unharmed";
}

VMBUS_CASE(Receive, 203, kEverywhere, "MSG_WAITALL for 16384 bytes waits for them") {
  const Connection connection = connected();
  const std::string data = pattern(16384);
  std::string read;
  WaitingCall receiving([&] {
    Received got = connection.here.receive(16384, MSG_WAITALL);
    read = std::move(got.data);
    return got.outcome;
  });
  for (std::size_t sent = 0; sent < data.size(); sent += 4096) {
    ASSERT_EQ(connection.there.send(data.substr(sent, 4096)), gives(4096));
  }
  EXPECT_EQ(receiving.result(), gives(16384));
  EXPECT_TRUE(read == data);
}

VMBUS_CASE(Receive, 204, kVirtio | kPlain, "a receive takes several packets at once") {
  const Connection connection = connected();
  two_arrive(connection, "0123456789", "abcdefghij");
  EXPECT_EQ(connection.here.receive(100).data, "0123456789abcdefghij");
}

VMBUS_CASE(Receive, 228, kFreeBsd, "FreeBSD: a receive takes several packets at once") {
  const Connection connection = connected();
  two_arrive(connection, "12345", "1234567");
  EXPECT_EQ(connection.here.receive(100).data, "123451234567");
}

}  // namespace vmbus::cases
