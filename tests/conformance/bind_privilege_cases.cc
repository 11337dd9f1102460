// bind() to the ports below 1024: cases 43 to 47, and 59 of FreeBSD, which has no such rule.
//
// The program may be anybody's. To be nobody in particular, the cases give up CAP_NET_BIND_SERVICE
// for a while; to be privileged they ask a process to which quirk `low-ports=any` gives the right.
#include <cstdlib>

#include "tests/conformance/connections.h"
#include "tests/support/fewer_capabilities.h"

namespace vmbus::cases {
namespace {

class Unprivileged : public test::FewerCapabilities {
 public:
  Unprivileged() : FewerCapabilities({CAP_NET_BIND_SERVICE}) {}
};

// A process of the same guest that may bind any port.
class Privileged : public Peer {
 public:
  Privileged() : Peer("guest", {quirks()}) {}

 private:
  static std::string quirks() {
    const char* own = std::getenv("VMBUS_QUIRKS");
    const bool none = own == nullptr || *own == '\0';
    return std::string("VMBUS_QUIRKS=") + (none ? "" : std::string(own) + ",") + "low-ports=any";
  }
};

Outcome binds(std::uint32_t cid, std::uint32_t port) {
  return stream().bind(vm_address(cid, port));
}

}  // namespace

VMBUS_CASE(Bind, 43, kLinux | kLoopback, "a port below 1024 is EACCES without the capability") {
  const Unprivileged here;
  EXPECT_EQ(binds(kAny, 80), fails(EACCES));
}

VMBUS_CASE(Bind, 44, kLinux | kLoopback, "port 0 is a port below 1024, not a wildcard") {
  const Unprivileged here;
  EXPECT_EQ(binds(kAny, 0), fails(EACCES));
}

VMBUS_CASE(Bind, 45, kLinux | kLoopback, "a CID of somebody else is noticed before the port") {
  const Unprivileged here;
  EXPECT_EQ(binds(99, 80), fails(EADDRNOTAVAIL));
}

VMBUS_CASE(Bind, 46, kLinux | kLoopback, "a taken port below 1024 is EACCES, not EADDRINUSE") {
  Privileged owner;
  const RemoteSocket taken = owner.socket(AF_VSOCK);
  ASSERT_EQ(taken.bind(vm_address(kAny, 80)), gives(0));
  const RemoteSocket second = owner.socket(AF_VSOCK);
  EXPECT_EQ(second.bind(vm_address(kAny, 80)), fails(EADDRINUSE));
  const Unprivileged here;
  EXPECT_EQ(binds(kAny, 80), fails(EACCES));
}

VMBUS_CASE(Bind, 47, kLinux | kLoopback, "whoever may, binds 1023; everybody binds 1024") {
  Privileged owner;
  {
    const RemoteSocket low = owner.socket(AF_VSOCK);
    EXPECT_EQ(low.bind(vm_address(kAny, 1023)), gives(0));
    const RemoteSocket high = owner.socket(AF_VSOCK);
    EXPECT_EQ(high.bind(vm_address(kAny, 1024)), gives(0));
  }
  const Unprivileged here;
  EXPECT_EQ(binds(kAny, 1023), fails(EACCES));
  EXPECT_EQ(binds(kAny, 1024), gives(0));
}

VMBUS_CASE(Bind, 59, kFreeBsd, "FreeBSD has no privileged ports") {
  const Unprivileged here;
  const Socket socket = stream();
  EXPECT_EQ(socket.bind(hvs_address(80)), gives(0));
}

}  // namespace vmbus::cases
