#include "tools/vmbus/units.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace vmbus::tools {
namespace {

TEST(Units, Bytes) {
  EXPECT_EQ(bytes_text(0), "0");
  EXPECT_EQ(bytes_text(1023), "1023");
  EXPECT_EQ(bytes_text(1024), "1.0K");
  EXPECT_EQ(bytes_text(1536), "1.5K");
  EXPECT_EQ(bytes_text(1048575), "1.0M");
  EXPECT_EQ(bytes_text(std::uint64_t{64} << 20), "64.0M");
  EXPECT_EQ(bytes_text(UINT64_MAX), "16.0E");
}

TEST(Units, Durations) {
  EXPECT_EQ(duration_text(0), "0.0 s");
  EXPECT_EQ(duration_text(9999), "9.9 s");
  EXPECT_EQ(duration_text(10000), "10 s");
  EXPECT_EQ(duration_text(182'000), "3 min 2 s");
  EXPECT_EQ(duration_text(7'500'000), "2 h 5 min");
}

TEST(Units, Percent) {
  EXPECT_EQ(percent_text(0, 0), "");
  EXPECT_EQ(percent_text(0, 4096), "0%");
  EXPECT_EQ(percent_text(8, 4096), "<1%");
  EXPECT_EQ(percent_text(2048, 4096), "50%");
  EXPECT_EQ(percent_text(4096, 4096), "100%");
}

TEST(Units, Milliseconds) {
  EXPECT_EQ(milliseconds_text(0), "0.000");
  EXPECT_EQ(milliseconds_text(123'456), "0.123");
  EXPECT_EQ(milliseconds_text(1'002'003'999), "1002.003");
}

}  // namespace
}  // namespace vmbus::tools
