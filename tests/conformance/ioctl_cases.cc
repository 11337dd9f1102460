// ioctl() on sockets and on /dev/vsock: cases 295 to 304.
#include <linux/sockios.h>

#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kVintages = kLinux5_4 | kLinux6_12 | kLinux6_16 | kLinux2026;
constexpr unsigned long kGetLocalCid = IOCTL_VM_SOCKETS_GET_LOCAL_CID;

Socket device() { return Socket(::open("/dev/vsock", O_RDONLY | O_CLOEXEC)); }

// What kernels before 6.11 said to all that was not the generic layer's.
Outcome unknown() { return in(kLinux5_4) ? fails(EOPNOTSUPP) : fails(ENOTTY); }

}  // namespace

VMBUS_CASE(Options, 295, kLinux | kVintages,
           "FIONREAD without a connection: the errno tells the Linux") {
  const Outcome refused = in(kLinux6_12 | kLinux6_16) ? fails(ENOTTY) : fails(EOPNOTSUPP);
  EXPECT_EQ(stream().ioctl_int(FIONREAD), refused);
  EXPECT_EQ(listener().socket.ioctl_int(FIONREAD), refused);
}

VMBUS_CASE(Options, 296, kStrict | kNeedsRing,
           "FIONREAD tells what is left of the current packet") {
  const Connection pair = connected();
  ASSERT_EQ(pair.there.send("12345"), gives(5));
  ASSERT_EQ(pair.there.send("1234567"), gives(7));
  ASSERT_EQ(pair.here.poll(kLimit, POLLIN), POLLIN);
  EXPECT_EQ(pair.here.ioctl_int(FIONREAD), gives(5));
  ASSERT_EQ(pair.here.receive(2).outcome, gives(2));
  EXPECT_EQ(pair.here.ioctl_int(FIONREAD), gives(3));
}

VMBUS_CASE(Options, 297, kHyperV | kLinux5_4 | kLinux6_12, "SIOCOUTQ is EOPNOTSUPP on hv_sock") {
  EXPECT_EQ(stream().ioctl_int(SIOCOUTQ), fails(EOPNOTSUPP));
  EXPECT_EQ(connected().here.ioctl_int(SIOCOUTQ), fails(EOPNOTSUPP));
}

VMBUS_CASE(Options, 298, kVirtio | kPlain, "SIOCOUTQ is 0 once the peer has everything") {
  const Connection pair = connected();
  EXPECT_EQ(pair.here.ioctl_int(SIOCOUTQ), gives(0));
  ASSERT_EQ(pair.here.send(std::string(64, 'x')), gives(64));
  ASSERT_EQ(pair.there.receive_all(64).size(), 64U);
  EXPECT_TRUE(eventually([&] { return pair.here.ioctl_int(SIOCOUTQ) == gives(0); }));
}

VMBUS_CASE(Options, 299, kLinux | kFreeBsd | kWindows | kPlain,
           "FIONBIO makes calls return at once") {
  const Connection pair = connected();
  int on = 1;
  ASSERT_EQ(outcome(::ioctl(pair.here.fd(), FIONBIO, &on)), gives(0));
  EXPECT_EQ(pair.here.receive(10).outcome, fails(EAGAIN));
  EXPECT_TRUE(::fcntl(pair.here.fd(), F_GETFL) & O_NONBLOCK);
  on = 0;
  ASSERT_EQ(outcome(::ioctl(pair.here.fd(), FIONBIO, &on)), gives(0));
  EXPECT_FALSE(::fcntl(pair.here.fd(), F_GETFL) & O_NONBLOCK);
}

VMBUS_CASE(Options, 300, kLinux | kVintages, "there is no SIOCATMARK") {
  EXPECT_EQ(stream().ioctl_int(SIOCATMARK), unknown());
  EXPECT_EQ(connected().here.ioctl_int(SIOCATMARK), unknown());
}

VMBUS_CASE(Options, 301, kStrict | kLoopback | kVintages, "a Hyper-V guest does not know its CID") {
  EXPECT_EQ(device().ioctl_int(kGetLocalCid), gives(static_cast<int>(kAny)));
}

VMBUS_CASE(Options, 302, kVirtio | kDefault, "/dev/vsock tells the guest's CID") {
  EXPECT_EQ(device().ioctl_int(kGetLocalCid), gives(static_cast<int>(kGuestCid)));
}

VMBUS_CASE(Options, 303, kLinux,
           "/dev/vsock answers one ioctl and can be neither read nor sought") {
  const Socket vsock = device();
  ASSERT_GE(vsock.fd(), 0);
  EXPECT_EQ(outcome(::ioctl(vsock.fd(), kGetLocalCid, nullptr)), fails(EFAULT));
  EXPECT_EQ(vsock.ioctl_int(kGetLocalCid + 1), fails(ENOTTY));
  char byte = 0;
  EXPECT_EQ(outcome(::read(vsock.fd(), &byte, 1)), fails(EINVAL));
  EXPECT_EQ(outcome(::lseek(vsock.fd(), 0, SEEK_SET)), fails(ESPIPE));
}

VMBUS_CASE(Options, 304, kLinux | kVintages, "a socket does not answer GET_LOCAL_CID") {
  EXPECT_EQ(stream().ioctl_int(kGetLocalCid), unknown());
}

// Not in the list; a program that probes with whatever it has at hand.
VMBUS_CASE(Options, 1104, kLinux | kFreeBsd | kWindows,
           "GET_LOCAL_CID of no descriptor is EBADF, of any other file ENOTTY") {
  EXPECT_EQ(Socket().ioctl_int(kGetLocalCid), fails(EBADF));
  const Socket null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(null.ioctl_int(kGetLocalCid), fails(ENOTTY));
}

}  // namespace vmbus::cases
