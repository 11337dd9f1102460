// SOCK_SEQPACKET under profile virtio: records stay what they are, across a channel and inside a guest.

#include "emu/records.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

struct Record {
  std::string bytes;
  bool is_last = false;  // of a message: MSG_EOR
  friend bool operator==(const Record&, const Record&) = default;
};

class Records : public testing::Test {
 protected:
  TestSocket socket(const std::string& partition, int type = SOCK_SEQPACKET,
                    const std::string& profile = "virtio") {
    auto born = bus.requests().create({.family = proto::kFamilyVsock,
                                       .type = static_cast<std::uint32_t>(type),
                                       .partition = partition,
                                       .profile = profile});
    EXPECT_TRUE(born.has_value());
    return TestSocket(bus, std::move(born->a));
  }
  TestSocket listener(const std::string& partition, const proto::Address& address,
                      int type = SOCK_SEQPACKET) {
    TestSocket made = socket(partition, type);
    EXPECT_EQ(made.bind(address), 0);
    EXPECT_EQ(made.listen(), 0);
    return made;
  }
  std::pair<TestSocket, TestSocket> pair() {
    TestSocket host = listener("host", vsock(kHostCid, 6000));
    auto ends = bus.connect_pair(socket("guest"), host, vsock(kHostCid, 6000));
    // As the shim does once an attempt is over.
    const int room = proto::kRecordSendBufferBytes;
    ::setsockopt(ends.first.a(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return ends;
  }
  // Sends one record as the shim does, and lets it cross.
  bool send(const TestSocket& from, const Record& record) {
    const OwnedFd mark(::eventfd(0, EFD_CLOEXEC));
    const auto bytes = std::as_bytes(std::span(record.bytes));
    const bool sent = send_attached(from.a(), bytes, record.is_last ? mark.get() : -1) == 0;
    bus.settle();
    return sent;
  }
  std::optional<Record> receive(const TestSocket& from) {
    std::string bytes(proto::kMaxRecordBytes, '\0');
    iovec data{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    const ssize_t length = ::recvmsg(from.a(), &message, MSG_DONTWAIT);
    bus.settle();
    if (length < 0) return std::nullopt;
    bytes.resize(static_cast<std::size_t>(length));
    return Record{bytes, (message.msg_flags & MSG_CTRUNC) != 0};
  }

  TestBus bus;
};

TEST_F(Records, KeepTheirBoundsAndTheirEnds) {
  auto [guest, host] = pair();
  const Record sent[] = {
      {"one", false}, {"two", true}, {std::string(100'000, 'x'), false}, {"four", true}};
  for (const Record& record : sent) ASSERT_TRUE(send(guest, record));
  for (const Record& record : sent) EXPECT_EQ(receive(host), record);
  EXPECT_EQ(receive(host), std::nullopt);
}

TEST_F(Records, CrossInTheOtherDirectionToo) {
  auto [guest, host] = pair();
  ASSERT_TRUE(send(host, {"answer", true}));
  EXPECT_EQ(receive(guest), (Record{"answer", true}));
}

TEST_F(Records, MayBeAsLongAsTheDefaultBuffer) {
  auto [guest, host] = pair();
  const Record longest{std::string(262144, 'y'), true};
  ASSERT_TRUE(send(guest, longest));
  EXPECT_EQ(receive(host), longest);
}

TEST_F(Records, WaitInTheReceiversBuffer) {
  auto [guest, host] = pair();
  const std::uint64_t room = 2 << 20;
  const auto value = std::as_bytes(std::span(&room, 1));
  for (const int option : {2, 0}) {  // the maximum first
    ASSERT_EQ(bus.requests().set_option(host.state(), proto::kFamilyVsock, option, value), 0);
  }
  EXPECT_EQ(guest.state().peer_buffer_size, room);
  // More than rings and carriers hold.
  const int count = 128;
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(send(guest, {std::string(16384, static_cast<char>('a' + i % 26)), false})) << i;
  }
  for (int i = 0; i < count; ++i) {
    const auto record = receive(host);
    ASSERT_TRUE(record.has_value()) << i;
    EXPECT_EQ(record->bytes, std::string(16384, static_cast<char>('a' + i % 26)));
  }
}

TEST_F(Records, SentBeforeTheEndArriveBeforeIt) {
  auto [guest, host] = pair();
  ASSERT_TRUE(send(guest, {"last words", true}));
  ASSERT_TRUE(send(guest, {"and more", false}));
  ASSERT_EQ(guest.shutdown(SHUT_WR), 0);
  bus.settle();
  EXPECT_EQ(receive(host), (Record{"last words", true}));
  EXPECT_EQ(receive(host), (Record{"and more", false}));
  EXPECT_EQ(receive(host), (Record{"", false}));
  EXPECT_EQ(guest.readiness() & POLLOUT, 0);
}

TEST_F(Records, SentBeforeACloseArriveBeforeItsEnd) {
  auto [guest, host] = pair();
  ASSERT_TRUE(send(host, {"unread", false}));
  ASSERT_TRUE(send(guest, {"goodbye", false}));
  guest.close();
  bus.settle();
  EXPECT_EQ(receive(host), (Record{"goodbye", false}));
  EXPECT_EQ(receive(host), (Record{"", false}));
}

TEST_F(Records, FindNoListenerForStreams) {
  TestSocket host = listener("host", vsock(kHostCid, 6000), SOCK_STREAM);
  EXPECT_EQ(socket("guest").connect(vsock(kHostCid, 6000)), ECONNRESET);
  TestSocket guest = listener("guest", vsock(kAnyCid, 6001), SOCK_STREAM);
  EXPECT_EQ(socket("host").connect(vsock(3, 6001)), ECONNRESET);
  EXPECT_EQ(socket("guest").connect(vsock(1, 6001)), ECONNRESET);
}

TEST_F(Records, AreNotForHyperV) {
  TestSocket host = listener("host", vsock(kHostCid, 6000));
  EXPECT_EQ(socket("guest", SOCK_SEQPACKET, "strict").connect(vsock(kHostCid, 6000)),
            ESOCKTNOSUPPORT);
}

TEST_F(Records, WithoutLengthAreNonsense) {
  auto [guest, host] = pair();
  host.state().inbox.assign(sizeof(RecordHeader), std::byte{0});
  EXPECT_FALSE(give_records(host.state()));
}

TEST_F(Records, ThatClaimMoreThanAnyHasAreNotWaitedFor) {
  auto [guest, host] = pair();
  const RecordHeader claim{0xFFFFFFFF, 0};
  const auto bytes = std::as_bytes(std::span(&claim, 1));
  host.state().inbox.assign(bytes.begin(), bytes.end());
  EXPECT_FALSE(give_records(host.state()));
}

}  // namespace
}  // namespace vmbus::emu
