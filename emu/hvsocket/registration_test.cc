// Registered services (row registration): who needs them, and what a changed list changes.
#include <cerrno>

#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

constexpr std::uint32_t kPort = 5000;

class Registration : public testing::Test {
 protected:
  static constexpr const char* kListed = "registration=listed";

  ServiceRegistry& services() { return bus.sockets().host().services(); }
  TestSocket listed(const std::string& partition, const std::string& profile = "default") {
    return bus.socket(partition, proto::kFamilyVsock, profile, kListed);
  }
  TestSocket host_listener(const std::string& quirks = "") {
    TestSocket socket = bus.socket("host", proto::kFamilyVsock, "default", quirks);
    EXPECT_EQ(socket.bind(vsock(kHostCid, kPort)), 0);
    EXPECT_EQ(socket.listen(), 0);
    return socket;
  }

  TestBus bus;
  proto::Guid service = proto::service_id_of(proto::Port{kPort});
};

TEST_F(Registration, WithoutAListEveryServiceCounts) {
  const TestSocket server = host_listener(kListed);
  EXPECT_EQ(listed("guest").connect(vsock(kHostCid, kPort)), 0);
  for (const char* profile : {"strict", "windows"}) {
    TestSocket socket = bus.socket("host", proto::kFamilyVsock, profile);
    EXPECT_EQ(socket.bind(vsock(kHostCid, kPort + 1)), 0) << profile;
  }
}

TEST_F(Registration, AnEmptyListIsAList) {
  services().establish();
  EXPECT_EQ(listed("host").bind(vsock(kHostCid, kPort)), EACCES);
  EXPECT_EQ(bus.socket("host").bind(vsock(kHostCid, kPort)), 0) << "registration=any";
}

// Case 65: bound on the host under every name that virtual machines are served by.
TEST_F(Registration, AnUnlistedServiceCannotBeBoundOnTheHost) {
  services().add(service, "");
  const proto::Guid other = proto::service_id_of(proto::Port{kPort + 1});
  for (const proto::Guid& vm_id :
       {proto::kHvGuidWildcard, proto::kHvGuidChildren, bus.guest().config().vm_id}) {
    TestSocket socket = bus.socket("host", proto::kFamilyHyperV, "windows");
    EXPECT_EQ(socket.bind(proto::hyperv_address(vm_id, other)), EACCES);
    EXPECT_EQ(socket.bind(proto::hyperv_address(vm_id, service)), 0);
  }
  TestSocket loopback = bus.socket("host", proto::kFamilyHyperV, "windows");
  EXPECT_EQ(loopback.bind(proto::hyperv_address(proto::kHvGuidLoopback, other)), 0);
}

TEST_F(Registration, AGuestBindsWhatItLikes) {
  services().establish();
  TestSocket server = listed("guest", "strict");
  EXPECT_EQ(server.bind(vsock(kAnyCid, kPort)), 0);
  EXPECT_EQ(server.listen(), 0);
}

// Case 135: the host answers no, which a strict guest does not hear.
TEST_F(Registration, AGuestsConnectToAnUnlistedServiceIsRefused) {
  const TestSocket server = host_listener();
  services().establish();
  EXPECT_EQ(listed("guest").connect(vsock(kHostCid, kPort)), ECONNRESET);
  TestSocket strict = listed("guest", "strict");
  EXPECT_EQ(strict.connect(vsock(kHostCid, kPort)), EINPROGRESS);
  bus.settle();
  EXPECT_EQ(strict.state().state, EndpointState::kConnecting) << "until its time limit";
  EXPECT_EQ(bus.socket("guest").connect(vsock(kHostCid, kPort)), 0) << "registration=any";
}

TEST_F(Registration, AListenersRowIsEnough) {
  const TestSocket server = host_listener(kListed);
  services().establish();  // taken off the list while it listens
  EXPECT_EQ(bus.socket("guest").connect(vsock(kHostCid, kPort)), ECONNRESET);
  services().add(service, "again");
  EXPECT_EQ(bus.socket("guest").connect(vsock(kHostCid, kPort)), 0);
}

TEST_F(Registration, TheHostReachesAGuestByListedServicesAlone) {
  TestSocket server = bus.socket("guest");
  ASSERT_EQ(server.bind(vsock(kAnyCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  services().establish();
  const std::uint32_t cid = bus.guest().config().cid;
  EXPECT_EQ(listed("host").connect(vsock(cid, kPort)), ECONNRESET);
  TestSocket strict = listed("host", "strict");
  EXPECT_EQ(strict.connect(vsock(cid, kPort)), EINPROGRESS);
  bus.settle();
  EXPECT_EQ(strict.state().state, EndpointState::kConnecting) << "until its time limit";
  strict.close();
  EXPECT_EQ(bus.socket("host").connect(vsock(cid, kPort)), 0) << "registration=any";
}

TEST_F(Registration, AGuestsListedListenerIsNotReachedEither) {
  TestSocket server = listed("guest");
  ASSERT_EQ(server.bind(vsock(kAnyCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  services().establish();
  EXPECT_EQ(bus.socket("host").connect(vsock(bus.guest().config().cid, kPort)), ECONNRESET);
}

TEST_F(Registration, ANearbyListenerDoesNotStandInForAnUnlistedHost) {
  TestSocket server = bus.socket("auto");
  ASSERT_EQ(server.bind(vsock(kAnyCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  services().establish();
  EXPECT_EQ(listed("auto").connect(vsock(kHostCid, kPort)), ECONNRESET);
  EXPECT_EQ(bus.socket("auto").connect(vsock(kHostCid, kPort)), 0);
}

TEST_F(Registration, InsideOnePartitionNothingNeedsToBeListed) {
  TestSocket server = listed("guest");
  ASSERT_EQ(server.bind(vsock(kAnyCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  services().establish();
  EXPECT_EQ(listed("guest").connect(vsock(proto::kCidLocal.value, kPort)), 0);
}

TEST_F(Registration, WhatIsConnectedStays) {
  services().add(service, "");
  TestSocket server = host_listener(kListed);
  auto [client, accepted] = bus.connect_pair(listed("guest"), server, vsock(kHostCid, kPort));
  EXPECT_TRUE(services().remove(service));
  EXPECT_FALSE(services().remove(service));
  client.send("still");
  EXPECT_EQ(accepted.recv(), "still");
}

TEST_F(Registration, ADroppedListIsNone) {
  services().add(service, "");
  services().drop();
  EXPECT_FALSE(services().has_list());
  EXPECT_TRUE(services().is_registered(proto::service_id_of(proto::Port{1})));
}

}  // namespace
}  // namespace vmbus::emu
