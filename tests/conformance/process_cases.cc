// Several threads, several clients and races: cases 310 to 313, and the queue's traps.
#include <array>
#include <thread>
#include <vector>

#include "tests/conformance/connections.h"
#include "tests/conformance/waiting.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;
constexpr std::size_t kBlock = 4088;  // hv_sock's largest packet

// In pieces, as MSG_WAITALL of more than a packet is refused on Hyper-V.
std::string receive_exactly(const RemoteSocket& there, std::size_t size) {
  std::string all;
  while (all.size() < size) {
    const Received part = there.receive(size - all.size());
    if (part.outcome.value <= 0) break;
    all += part.data;
  }
  return all;
}

// How much of it was sent: FreeBSD's send ends short where others wait.
std::size_t send_all(const Socket& socket, std::string_view data) {
  std::size_t sent = 0;
  while (sent < data.size()) {
    const Outcome part = socket.send(data.substr(sent));
    if (part.value <= 0) break;
    sent += static_cast<std::size_t>(part.value);
  }
  return sent;
}

void send_blocks(const Socket& socket, char letter, int count) {
  const std::string block(kBlock, letter);
  for (int i = 0; i < count; ++i) EXPECT_EQ(socket.send(block), gives(kBlock));
}

bool is_one_letter(std::string_view block) {
  return block.find_first_not_of(block.front()) == std::string_view::npos;
}

}  // namespace

VMBUS_CASE(Process, 310, kEverywhere, "blocks of two threads are not mixed within a packet") {
  const Connection pair = connected();
  // Four blocks are less than a 24 KiB ring, so that each is one packet.
  constexpr int kEach = 2;
  for (int round = 0; round < 20; ++round) {
    std::thread other([&] { send_blocks(pair.here, 'b', kEach); });
    send_blocks(pair.here, 'a', kEach);
    other.join();
    const std::string all = receive_exactly(pair.there, 2 * kEach * kBlock);
    ASSERT_EQ(all.size(), 2 * kEach * kBlock);
    for (std::size_t start = 0; start < all.size(); start += kBlock)
      ASSERT_TRUE(is_one_letter(std::string_view(all).substr(start, kBlock))) << start;
  }
}

VMBUS_CASE(Process, 311, kEverywhere, "one thread receives while another's send is blocked") {
  constexpr std::size_t kMuch = 4U << 20;  // more than lies between the two
  const Connection pair = connected();
  std::size_t sent = 0;
  std::thread sender([&] { sent = send_all(pair.here, std::string(kMuch, 'h')); });
  // There nothing is received before everything is sent: only the receiver here can move it.
  pair.there.start_send(std::string(kMuch, 't'));
  std::size_t received = 0;
  while (received < kMuch) {
    const Received part = pair.here.receive(65536);
    if (part.outcome.value <= 0) break;
    received += part.data.size();
  }
  EXPECT_EQ(received, kMuch);
  EXPECT_EQ(pair.there.collect().outcome, gives(kMuch));
  EXPECT_EQ(receive_exactly(pair.there, kMuch).size(), kMuch);
  sender.join();
  EXPECT_EQ(sent, kMuch);
}

VMBUS_CASE(Process, 312, kEverywhere, "a hundred clients are served") {
  const Listener here = listener(128);
  std::vector<RemoteSocket> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(remote_stream());
    ASSERT_EQ(clients.back().connect(reachable(here.name)), gives(0)) << i;
  }
  std::vector<Socket> served;
  for (int i = 0; i < 100; ++i) served.push_back(here.socket.accepted());
  // Whether the queue is one or not, each server finds its client by what it says.
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(clients[static_cast<std::size_t>(i)].send(std::string(1, static_cast<char>(i))),
              gives(1));
  for (const Socket& server : served) {
    const Received byte = server.receive(1);
    ASSERT_EQ(byte.outcome, gives(1));
    EXPECT_EQ(server.send(byte.data), gives(1));
  }
  for (int i = 0; i < 100; ++i) {
    const RemoteSocket& client = clients[static_cast<std::size_t>(i)];
    EXPECT_EQ(client.receive(1).data, std::string(1, static_cast<char>(i)));
  }
}

// Not for TCP: a client whose handshake ends as the listener goes may never hear of it.
VMBUS_CASE(Process, 313, kLinux | kFreeBsd | kWindows | kUnix,
           "a connect that races with the listener's close ends, and leaves nothing behind") {
  static_cast<void>(other_side());
  const long before = open_descriptors();
  int connected_rounds = 0;
  for (int round = 0; round < 1000; ++round) {
    Listener here = listener();
    RemoteSocket there = remote_stream();
    if (!in(kPlain)) {
      ASSERT_EQ(limit_connect(there, std::chrono::milliseconds(4)), gives(0));
    }
    there.start_connect(reachable(here.name));
    // The close comes now early, now late, and now when the connection waits to be accepted.
    for (int turn = 0; turn < round % 40; ++turn) static_cast<void>(here.socket.poll({}, POLLIN));
    if (round % 8 == 0) {
      ASSERT_NE(here.socket.poll(kLimit, POLLIN), 0);
    }
    here.socket.close();
    const Outcome result = there.collect().outcome;
    if (!result.ok()) continue;
    ++connected_rounds;
    const Outcome end = there.receive(1).outcome;
    ASSERT_EQ(end, in(kPlain) ? fails(ECONNRESET) : gives(0)) << "a child that nobody closed";
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_GE(connected_rounds, 1000 / 8);
}

// ---- what has no row in the list ----------------------------------------------------------------

VMBUS_CASE(Process, 1101, kHyperV | kFreeBsd,
           "two hundred clients at once get through a queue of four") {
  constexpr std::size_t kClients = 200;
  const RemoteListener there = remote_listener(4);
  std::vector<Socket> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(stream(SOCK_NONBLOCK));
    ASSERT_EQ(clients.back().connect(there.reached_at), fails(EINPROGRESS)) << i;
  }
  std::vector<RemoteSocket> served;
  while (served.size() < kClients) {
    served.push_back(there.socket.accepted());
    ASSERT_GE(served.back().fd(), 0) << served.size();
  }
  for (const Socket& client : clients) {
    ASSERT_EQ(client.poll(kLimit, POLLOUT), POLLOUT);
    EXPECT_EQ(client.so_error(), gives(0));
  }
}

VMBUS_CASE(Process, 1109, kHyperV | kFreeBsd,
           "two hundred clients of the host at once get through a guest's queue of four") {
  constexpr std::size_t kClients = 200;
  const Listener here = listener(4);
  std::vector<RemoteSocket> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(remote_stream());
    ASSERT_EQ(clients.back().set_nonblocking(), gives(0));
    ASSERT_EQ(clients.back().connect(reachable(here.name)), fails(EINPROGRESS)) << i;
  }
  std::vector<Socket> served;
  while (served.size() < kClients) {
    served.push_back(here.socket.accepted());
    ASSERT_GE(served.back().fd(), 0) << served.size();
  }
  for (const RemoteSocket& client : clients) {
    ASSERT_EQ(client.poll(kLimit, POLLOUT), POLLOUT);
    EXPECT_EQ(client.so_error(), gives(0));
  }
}

VMBUS_CASE(Process, 1102, kLinux, "a refused non-blocking connect says EINPROGRESS first") {
  const Socket here = stream(SOCK_NONBLOCK);
  ASSERT_EQ(limit_connect(here, std::chrono::milliseconds(100)), gives(0));
  ASSERT_EQ(here.connect(vm_address(kHostCid, next_port())), fails(EINPROGRESS));
  EXPECT_EQ(here.poll(kLimit, POLLOUT) & POLLOUT, POLLOUT);
  EXPECT_EQ(here.so_error(), gives(in(kStrict) ? ETIMEDOUT : ECONNRESET));
  EXPECT_EQ(here.so_error(), gives(0)) << "it is told once";
}

VMBUS_CASE(Process, 1107, kEverywhere, "accept() truncates a name and tells its whole length") {
  const Listener here = listener();
  const RemoteSocket there = remote_stream();
  ASSERT_EQ(there.connect(reachable(here.name)), gives(0));
  std::array<unsigned char, 128> name;
  name.fill(0xee);
  socklen_t size = 1;
  const Socket taken(::accept(here.socket.fd(), reinterpret_cast<sockaddr*>(name.data()), &size));
  ASSERT_GE(taken.fd(), 0);
  EXPECT_EQ(size, taken.peer_name().second.size);
  EXPECT_NE(name[0], 0xee);
  EXPECT_EQ(name[1], 0xee);
}

}  // namespace vmbus::cases
