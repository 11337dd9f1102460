#include "shim/creation.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

TEST(OwnerOf, VsockIsOursWhateverTheType) {
  EXPECT_EQ(owner_of(kAfVsock, SOCK_STREAM), Owner::kShim);
  EXPECT_EQ(owner_of(kAfVsock, SOCK_RAW), Owner::kShim);
  EXPECT_EQ(owner_of(kAfVsock, -1), Owner::kShim);
}

TEST(OwnerOf, HyperVIsOursForStreamsAlone) {
  EXPECT_EQ(owner_of(kAfHyperv, SOCK_STREAM | SOCK_CLOEXEC), Owner::kShim);
  EXPECT_EQ(owner_of(kAfHyperv, SOCK_DGRAM), Owner::kKernel);
}

TEST(OwnerOf, FortyThreeDependsOnTheGuests) {
  EXPECT_EQ(owner_of(kAfHypervFreeBsd, SOCK_STREAM | SOCK_NONBLOCK), Owner::kDaemonSays);
  EXPECT_EQ(owner_of(kAfHypervFreeBsd, SOCK_DGRAM), Owner::kKernel);
}

TEST(OwnerOf, OtherFamiliesAreTheKernels) {
  EXPECT_EQ(owner_of(AF_UNIX, SOCK_STREAM), Owner::kKernel);
  EXPECT_EQ(owner_of(AF_INET6, SOCK_DGRAM), Owner::kKernel);
}

struct Refusal {
  int family;
  int type;
  int protocol;
  int error;
};

class RefuseSocket : public testing::TestWithParam<Refusal> {};

TEST_P(RefuseSocket, GivesTheKernelsError) {
  const Refusal& row = GetParam();
  EXPECT_EQ(refuse_socket(row.family, row.type, row.protocol), row.error);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, RefuseSocket,
    testing::Values(
        Refusal{kAfVsock, SOCK_STREAM, 0, 0}, Refusal{kAfVsock, SOCK_STREAM, 40, 0},
        Refusal{kAfVsock, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, 0},
        Refusal{kAfVsock, SOCK_SEQPACKET, 0, 0}, Refusal{kAfVsock, SOCK_STREAM, 1, EPROTONOSUPPORT},
        Refusal{kAfVsock, SOCK_DGRAM, 0, ENODEV}, Refusal{kAfVsock, SOCK_RAW, 0, ESOCKTNOSUPPORT},
        Refusal{kAfVsock, SOCK_RDM, 0, ESOCKTNOSUPPORT}, Refusal{kAfVsock, 11, 0, EINVAL},
        Refusal{kAfVsock, -1, 0, EINVAL}, Refusal{kAfVsock, 0x100 | SOCK_STREAM, 0, EINVAL},
        Refusal{kAfHyperv, SOCK_STREAM, 1, 0}, Refusal{kAfHyperv, SOCK_STREAM, 0, EPROTOTYPE},
        Refusal{kAfHyperv, SOCK_STREAM, 2, EPROTONOSUPPORT},
        Refusal{kAfHypervFreeBsd, SOCK_STREAM, 0, 0}, Refusal{kAfHypervFreeBsd, SOCK_STREAM, 1, 0},
        Refusal{kAfHypervFreeBsd, SOCK_STREAM, 5, EPROTONOSUPPORT}));

}  // namespace
}  // namespace vmbus::shim
