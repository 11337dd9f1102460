// What most cases start from, whatever the setup: sockets, listeners, connections to a Peer.
#ifndef VMBUS_TESTS_CONFORMANCE_CONNECTIONS_H_
#define VMBUS_TESTS_CONFORMANCE_CONNECTIONS_H_

#include <chrono>

#include "tests/conformance/case.h"
#include "tests/conformance/peer.h"
#include "tests/conformance/socket.h"

namespace vmbus::cases {

// Longer than anything takes that is to happen; only a hang reaches it.
inline constexpr std::chrono::seconds kLimit{60};

// A port that no other case of this run uses.
std::uint32_t next_port();
// The port in a name; of an AF_HYPERV name, the one its service stands for. REQUIRES: not kPlain.
std::uint32_t port_of(const Address& name);

// The VM id of the guest called "guest".
GUID guest_vm_id();

// Descriptors of this process below 1024.
long open_descriptors();

// A fresh socket of the setup's own family (kTcp: AF_INET, kUnix: AF_UNIX, kFreeBsd: 43, kWindows:
// AF_HYPERV, else AF_VSOCK).
Socket stream(int flags = 0);

// A name to bind to, not used by another case.
Address fresh_name();
// The name under which the Peer reaches a listener that bound `name` here.
Address reachable(const Address& name);

// In the setup's other partition: the host, or the guest where the cases run on the host. In a plain
// setup just another process.
Peer& other_side();
// Its sockets: AF_VSOCK; in a plain setup as stream().
RemoteSocket remote_stream(Peer& peer = other_side());

// A listener there, and the name under which this process reaches it.
struct RemoteListener {
  RemoteSocket socket;
  Address reached_at;
};
RemoteListener remote_listener(int backlog = 16);

// Here a listener that listens.
struct Listener {
  Socket socket;
  Address name;  // as bound
};
Listener listener(int backlog = 16);

struct Connection {
  Socket here;
  RemoteSocket there;
};
// This process dialled.
Connection connected();
// The other side dialled.
Connection accepted();

// This process, a guest, dialled an AF_HYPERV listener of the host.
Connection connected_to_windows();

// Both ends in this process, through the partition's loopback. REQUIRES: kDefault, kLoopback,
// kVirtio, kWindows or kPlain.
struct LocalConnection {
  Socket client;
  Socket server;
};
LocalConnection looped();

// Until `condition` holds, up to kLimit. False: it never did.
template <typename Condition>
[[nodiscard]] bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_CONNECTIONS_H_
