// bind() by FreeBSD's and by Windows' rules: cases 57 to 67; 59 is bind_privilege_cases.cc.
#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

Outcome binds(const Address& name) { return stream().bind(name); }

GUID fresh_service() { return service_of_port(next_port()); }

bool same(const GUID& one, const GUID& other) { return std::memcmp(&one, &other, sizeof one) == 0; }

}  // namespace

VMBUS_CASE(Bind, 57, kFreeBsd, "FreeBSD: a port that is bound is EADDRINUSE") {
  const Address name = fresh_name();
  const Socket first = stream();
  ASSERT_EQ(first.bind(name), gives(0));
  EXPECT_EQ(binds(name), fails(EADDRINUSE));
}

VMBUS_CASE(Bind, 58, kFreeBsd, "FreeBSD: a connection keeps its listener's port taken") {
  Listener old = listener();
  RemoteSocket client = remote_stream();
  ASSERT_EQ(client.connect(reachable(old.name)), gives(0));
  Socket connection = old.socket.accepted();
  ASSERT_EQ(old.socket.close(), gives(0));
  EXPECT_EQ(binds(old.name), fails(EADDRINUSE));
  ASSERT_EQ(connection.close(), gives(0));
  ASSERT_EQ(client.close(), gives(0));
  EXPECT_TRUE(eventually([&] { return binds(old.name).ok(); }));
}

VMBUS_CASE(Bind, 60, kFreeBsd, "FreeBSD: a name of another length than 20 is EINVAL") {
  for (const socklen_t size : {16U, 19U, 21U, 36U})
    EXPECT_EQ(binds(fresh_name().with_size(size)), fails(EINVAL)) << size;
}

VMBUS_CASE(Bind, 61, kFreeBsd, "FreeBSD: another family in the name is EAFNOSUPPORT") {
  auto name = fresh_name().as<FreeBsdName>();
  name.sa_family = AF_INET;
  EXPECT_EQ(binds(Address::of(name)), fails(EAFNOSUPPORT));
}

VMBUS_CASE(Bind, 62, kWindows, "Windows: (LOOPBACK, service) is the name it was bound to") {
  const Address name = hv_address(HV_GUID_LOOPBACK, fresh_service());
  const Socket socket = stream();
  ASSERT_EQ(socket.bind(name), gives(0));
  const Address shown = socket.name().second;
  EXPECT_EQ(shown.size, name.size);
  EXPECT_EQ(std::memcmp(&shown.storage, &name.storage, name.size), 0);
}

VMBUS_CASE(Bind, 63, kWindows, "Windows: the name of a listener is EADDRINUSE") {
  const Address name = hv_address(HV_GUID_LOOPBACK, fresh_service());
  const Socket server = stream();
  ASSERT_EQ(server.bind(name), gives(0));
  ASSERT_EQ(server.listen(), gives(0));
  EXPECT_EQ(binds(name), fails(EADDRINUSE));
}

VMBUS_CASE(Bind, 64, kWindows, "Windows: the same service under another VmId is another name") {
  const GUID service = fresh_service();
  const Socket server = stream();
  ASSERT_EQ(server.bind(hv_address(HV_GUID_LOOPBACK, service)), gives(0));
  ASSERT_EQ(server.listen(), gives(0));
  const Socket other = stream();
  EXPECT_EQ(other.bind(hv_address(HV_GUID_WILDCARD, service)), gives(0));
  EXPECT_EQ(other.listen(), gives(0));
}

VMBUS_CASE(Bind, 66, kWindows, "Windows: a registered service, a port's or not, can be bound") {
  const GUID other{0xa5201c21, 0x2770, 0x4c11, {0xa6, 0x8e, 0xf1, 0x82, 0xed, 0xb2, 0x92, 0x20}};
  for (const GUID& service : {fresh_service(), other}) {
    const Socket server = stream();
    EXPECT_EQ(server.bind(hv_address(HV_GUID_WILDCARD, service)), gives(0));
    EXPECT_EQ(server.listen(), gives(0));
  }
}

VMBUS_CASE(Bind, 67, kWindows, "Windows: a client bound to no name at all gets a fresh one") {
  const Listener server = listener();
  const GUID service = server.name.as<SOCKADDR_HV>().ServiceId;
  const Socket client = stream();
  ASSERT_EQ(client.bind(hv_address(HV_GUID_ZERO, GUID{})), gives(0));
  ASSERT_EQ(client.connect(hv_address(HV_GUID_LOOPBACK, service)), gives(0));
  const auto name = client.name().second.as<SOCKADDR_HV>();
  EXPECT_TRUE(same(name.VmId, HV_GUID_CHILDREN));
  EXPECT_FALSE(same(name.ServiceId, GUID{}));
  EXPECT_FALSE(same(name.ServiceId, service));
}

}  // namespace vmbus::cases
