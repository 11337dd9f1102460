#include "shim/user_memory.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace vmbus::shim {
namespace {

// An address that faults.
class UserMemory : public testing::Test {
 protected:
  UserMemory() : unmapped_(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  ~UserMemory() override { munmap(unmapped_, 4096); }

  void* unmapped_;
};

TEST_F(UserMemory, CopiesBothWays) {
  const int source = 42;
  int target = 0;
  EXPECT_EQ(copy_from_program(&target, &source, sizeof target), 0);
  EXPECT_EQ(target, 42);
  target = 0;
  EXPECT_EQ(copy_to_program(&target, &source, sizeof target), 0);
  EXPECT_EQ(target, 42);
}

TEST_F(UserMemory, BadPointersAreFaultsOfTheProgramsMaking) {
  int value = 0;
  EXPECT_EQ(copy_from_program(&value, unmapped_, sizeof value), EFAULT);
  EXPECT_EQ(copy_to_program(unmapped_, &value, sizeof value), EFAULT);
  EXPECT_EQ(copy_from_program(&value, nullptr, sizeof value), EFAULT);
}

TEST_F(UserMemory, NothingToCopyNeedsNoPointer) {
  EXPECT_EQ(copy_from_program(nullptr, unmapped_, 0), 0);
}

TEST_F(UserMemory, ReadableIsWhatLiesOnMappedPagesAlone) {
  long page = ::sysconf(_SC_PAGESIZE);
  auto* pages = static_cast<std::byte*>(::mmap(nullptr, static_cast<std::size_t>(3 * page),
                                               PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(pages, MAP_FAILED);
  ::mprotect(pages + page, static_cast<std::size_t>(page), PROT_NONE);
  const auto size = static_cast<std::size_t>(page);
  EXPECT_TRUE(is_readable(pages, size));
  EXPECT_TRUE(is_readable(pages + page - 1, 1));
  EXPECT_FALSE(is_readable(pages, size + 1));
  EXPECT_FALSE(is_readable(pages + 2 * page - 1, 2));
  EXPECT_FALSE(is_readable(pages, 3 * size)) << "a hole in the middle";
  EXPECT_TRUE(is_readable(pages + 2 * page, size));
  EXPECT_FALSE(is_readable(nullptr, 1));
  EXPECT_TRUE(is_readable(nullptr, 0));
  EXPECT_FALSE(is_readable(pages, ~std::size_t{0})) << "beyond the end of memory";
  ::munmap(pages, 3 * size);
}

TEST_F(UserMemory, ALengthMustNotBeNegative) {
  const auto negative = static_cast<socklen_t>(-1);
  const socklen_t good = 16;
  socklen_t length = 0;
  EXPECT_EQ(read_length(&negative, &length), EINVAL);
  EXPECT_EQ(read_length(&good, &length), 0);
  EXPECT_EQ(length, 16U);
  EXPECT_EQ(read_length(nullptr, &length), EFAULT);
}

TEST_F(UserMemory, AShortBufferGetsTheBeginningAndTheFullLength) {
  const std::array<char, 16> name = {'n', 'a', 'm', 'e'};
  std::array<char, 16> buffer{};
  socklen_t length = 2;
  EXPECT_EQ(store_truncated(buffer.data(), 2, &length, name.data(), name.size()), 0);
  EXPECT_EQ(length, 16U);
  EXPECT_EQ(std::memcmp(buffer.data(), "na\0\0", 4), 0);
}

}  // namespace
}  // namespace vmbus::shim
