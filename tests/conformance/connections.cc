#include "tests/conformance/connections.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstdlib>
#include <memory>
#include <optional>

namespace vmbus::cases {
namespace {

std::unique_ptr<Peer> g_other_side;

// Ends the peer with the program, so that no case leaves one behind.
class EndPeer : public testing::Environment {
 public:
  void TearDown() override { g_other_side.reset(); }
};
[[maybe_unused]] const auto* const g_end_peer = testing::AddGlobalTestEnvironment(new EndPeer);

int family() {
  switch (setup()) {
    case kTcp:
      return AF_INET;
    case kUnix:
      return AF_UNIX;
    case kFreeBsd:
      return kFreeBsdFamily;
    case kWindows:
    case kWindowsListed:
      return AF_HYPERV;
    case kDefault:
    case kStrict:
    case kStrictListed:
    case kLoopback:
    case kVirtio:
    case kLinux5_4:
    case kLinux5_14:
    case kLinux6_12:
    case kLinux6_16:
    case kLinux2026:
      return AF_VSOCK;
  }
  std::abort();
}

int protocol() { return in(kWindows | kWindowsListed) ? HV_PROTOCOL_RAW : 0; }

Address tcp_name() {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  return Address::of(name);
}

// An abstract one: nothing is left in the file system.
Address unix_name() {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string text =
      "vmbus-case-" + std::to_string(::getpid()) + "-" + std::to_string(next_port());
  std::memcpy(name.sun_path + 1, text.data(), text.size());
  return Address::of(name).with_size(
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size()));
}

// The dialler's name for a port of the guest or of the host.
Address guest_port(std::uint32_t port) {
  return in(kWindows) ? hv_address(guest_vm_id(), service_of_port(port))
                      : vm_address(kGuestCid, port);
}
Address host_port(std::uint32_t port) {
  return in(kFreeBsd) ? hvs_address(port) : vm_address(kHostCid, port);
}

constexpr std::uint32_t kFreeBsdCid = 7;  // setup.cc

}  // namespace

// From VMBUS_VM_ID, which `vmbus run` exports.
GUID guest_vm_id() {
  const char* text = std::getenv("VMBUS_VM_ID");
  GUID id{};
  unsigned bytes[8] = {};
  if (text == nullptr || std::sscanf(text, "%8x-%4hx-%4hx-%2x%2x-%2x%2x%2x%2x%2x%2x", &id.Data1,
                                     &id.Data2, &id.Data3, &bytes[0], &bytes[1], &bytes[2],
                                     &bytes[3], &bytes[4], &bytes[5], &bytes[6], &bytes[7]) != 11) {
    std::abort();
  }
  for (int i = 0; i < 8; ++i) id.Data4[i] = static_cast<std::uint8_t>(bytes[i]);
  return id;
}

std::uint32_t port_of(const Address& name) {
  if (in(kWindows)) return name.as<SOCKADDR_HV>().ServiceId.Data1;
  if (in(kFreeBsd)) return name.as<FreeBsdName>().hvs_port;
  return name.as<sockaddr_vm>().svm_port;
}

long open_descriptors() {
  long count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

std::uint32_t next_port() {
  static std::uint32_t last = 20000;
  return ++last;
}

Socket stream(int flags) { return Socket(::socket(family(), SOCK_STREAM | flags, protocol())); }

Address fresh_name() {
  if (in(kTcp)) return tcp_name();
  if (in(kUnix)) return unix_name();
  if (in(kWindows)) return hv_address(HV_GUID_WILDCARD, service_of_port(next_port()));
  if (in(kFreeBsd)) return hvs_address(next_port());
  return vm_address(kAny, next_port());
}

Address reachable(const Address& name) {
  if (in(kPlain)) return name;
  if (in(kWindows)) return vm_address(kHostCid, port_of(name));
  return vm_address(in(kFreeBsd) ? kFreeBsdCid : kGuestCid, port_of(name));
}

Peer& other_side() {
  if (!g_other_side) g_other_side = std::make_unique<Peer>(in(kWindows) ? "guest" : "host");
  return *g_other_side;
}

RemoteSocket remote_stream(Peer& peer) { return peer.socket(in(kPlain) ? family() : AF_VSOCK); }

RemoteListener remote_listener(int backlog) {
  RemoteSocket socket = remote_stream();
  const std::uint32_t port = next_port();
  const Address bound = in(kPlain)     ? fresh_name()
                        : in(kWindows) ? vm_address(kAny, port)
                                       : vm_address(kHostCid, port);
  EXPECT_EQ(socket.bind(bound), gives(0));
  EXPECT_EQ(socket.listen(backlog), gives(0));
  const Address reached =
      in(kPlain) ? socket.name().second : (in(kWindows) ? guest_port(port) : host_port(port));
  return {std::move(socket), reached};
}

Listener listener(int backlog) {
  Socket socket = stream();
  EXPECT_EQ(socket.bind(fresh_name()), gives(0));
  EXPECT_EQ(socket.listen(backlog), gives(0));
  const Address name = socket.name().second;
  return {std::move(socket), name};
}

Connection connected() {
  const RemoteListener there = remote_listener();
  Socket here = stream();
  EXPECT_EQ(here.connect(there.reached_at), gives(0));
  return {std::move(here), there.socket.accepted()};
}

Connection accepted() {
  const Listener here = listener();
  RemoteSocket there = remote_stream();
  there.start_connect(reachable(here.name));
  Socket accepted = here.socket.accepted();
  EXPECT_EQ(there.collect().outcome, gives(0));
  return {std::move(accepted), std::move(there)};
}

Connection connected_to_windows() {
  const RemoteSocket listening = other_side().socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
  const std::uint32_t port = next_port();
  EXPECT_EQ(listening.bind(hv_address(HV_GUID_WILDCARD, service_of_port(port))), gives(0));
  EXPECT_EQ(listening.listen(), gives(0));
  Socket here = stream();
  EXPECT_EQ(here.connect(vm_address(kHostCid, port)), gives(0));
  return {std::move(here), listening.accepted()};
}

LocalConnection looped() {
  const Listener server = listener();
  Socket client = stream();
  Address target = server.name;
  if (in(kWindows)) target = hv_address(HV_GUID_LOOPBACK, server.name.as<SOCKADDR_HV>().ServiceId);
  if (!in(kWindows | kPlain)) target = vm_address(VMADDR_CID_LOCAL, port_of(server.name));
  EXPECT_EQ(client.connect(target), gives(0));
  return {std::move(client), server.socket.accepted()};
}

}  // namespace vmbus::cases
