// The checker of live rings finds what it is for: each rule broken once, in a ring laid out by hand.
#include "tests/stress/live_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace vmbus::stress {
namespace {

constexpr std::uint32_t kPage = 4096;
constexpr std::uint32_t kDataBytes = 2 * kPage;
constexpr std::uint32_t kLargest = 2048;

class LiveRings : public testing::Test {
 protected:
  std::uint32_t& control(std::uint32_t offset) {
    return reinterpret_cast<std::uint32_t*>(memory_.data())[offset / 4];
  }
  std::uint64_t& word(std::uint32_t index) {
    return reinterpret_cast<std::uint64_t*>(memory_.data() + kPage)[index % kDataBytes / 8];
  }
  std::uint32_t& write_index() { return control(0); }
  std::uint32_t& read_index() { return control(4); }

  static std::uint32_t body_bytes(std::uint32_t payload) { return 24 + (payload + 7) / 8 * 8; }

  // Everything of one packet but its announcement; returns where the next one starts.
  std::uint32_t lay_out(std::uint32_t start, std::uint32_t payload) {
    word(start) = 6 | 2 << 16 | std::uint64_t{body_bytes(payload) / 8} << 32;
    word(start + 8) = 0;
    word(start + 16) = 1 | std::uint64_t{payload} << 32;
    for (std::uint32_t i = 0; i < payload; ++i) byte(start + 24 + i) = 0xA5;
    for (std::uint32_t i = payload; i % 8 != 0; ++i) byte(start + 24 + i) = 0;
    const std::uint32_t end = start + body_bytes(payload);
    word(end) = std::uint64_t{start} << 32;
    return (end + 8) % kDataBytes;
  }

  // A ring with two packets in it, the second one around the end of the data pages.
  void SetUp() override {
    control(64) = 1;
    first_ = read_index() = kDataBytes - 120;
    second_ = lay_out(first_, 13);
    write_index() = lay_out(second_, 200);
  }

  // One that was slow says nothing, so it is taken again.
  Look look() const {
    const LiveRing ring(memory_.data(), memory_.data() + kPage, kDataBytes, kLargest);
    Look look = ring.look();
    while (look.outcome == Outcome::kOvertaken) look = ring.look();
    return look;
  }
  void expect_fault(std::string_view what) const {
    const Look seen = look();
    EXPECT_EQ(seen.outcome, Outcome::kFault);
    EXPECT_EQ(seen.what, what);
  }

  std::uint32_t first_ = 0;
  std::uint32_t second_ = 0;

 private:
  unsigned char& byte(std::uint32_t index) {
    return reinterpret_cast<unsigned char*>(memory_.data() + kPage)[index % kDataBytes];
  }

  std::vector<std::byte> memory_ = std::vector<std::byte>(kPage + kDataBytes);
};

TEST_F(LiveRings, WholePacketsAreFine) {
  const Look seen = look();
  EXPECT_EQ(seen.outcome, Outcome::kFine) << seen.what;
  EXPECT_EQ(seen.packets, 2U);
  EXPECT_EQ(seen.payload_bytes, 213U);
}

TEST_F(LiveRings, WhatIsNotAnnouncedMayBeAnything) {
  word(write_index()) = ~std::uint64_t{0};
  EXPECT_EQ(look().outcome, Outcome::kFine);
}

TEST_F(LiveRings, APacketAnnouncedBeforeItStandsThereIsAFault) {
  const std::uint32_t third = write_index();
  write_index() = third + 48;
  expect_fault("the type is not in-band data");
  EXPECT_EQ(look().index, third);
  lay_out(third, 9);
  EXPECT_EQ(look().packets, 3U);
}

TEST_F(LiveRings, AnOldPacketUnderANewIndexIsAFault) {
  // Of the lap before: right in itself, but of another length.
  const std::uint32_t third = write_index();
  lay_out(third, 100);
  write_index() = third + 48;
  expect_fault("the packet goes on behind write_index");
}

TEST_F(LiveRings, IndicesAreJudged) {
  write_index() += 4;
  expect_fault("write_index is no index");
  write_index() = kDataBytes;
  expect_fault("write_index is no index");
  read_index() = kDataBytes + 8;
  expect_fault("read_index is no index");
}

TEST_F(LiveRings, AReadIndexInThePacketIsAFault) {
  read_index() = second_ + 24;
  expect_fault("the type is not in-band data");
}

TEST_F(LiveRings, AWriteIndexInThePacketIsAFault) {
  write_index() -= 8;
  expect_fault("the packet goes on behind write_index");
  write_index() = second_ + 16;
  expect_fault("less than a packet is readable");
}

TEST_F(LiveRings, TheControlPageIsJudged) {
  control(32) = 1;
  expect_fault("a reserved word of the control page is not 0");
  control(32) = 0;
  control(64) = 2;
  expect_fault("a feature bit that nobody knows");
  control(64) = 1;
  control(12) = kDataBytes;
  expect_fault("pending_send_size can never be satisfied");
  control(12) = 64;
  control(64) = 0;
  expect_fault("pending_send_size without its feature bit");
}

TEST_F(LiveRings, TheDescriptorIsJudged) {
  const std::uint64_t right = word(second_);
  const auto expect = [&](std::uint64_t bits, std::string_view what) {
    word(second_) = right ^ bits;
    expect_fault(what);
  };
  expect(1, "the type is not in-band data");
  expect(std::uint64_t{1} << 16, "data_offset8 is not the descriptor's length");
  expect(std::uint64_t{1} << 48, "flags are set");
  expect(std::uint64_t{28 ^ 2} << 32, "length8 leaves no place for a pipe header");
  expect(std::uint64_t{28 ^ 29} << 32, "the packet goes on behind write_index");
  expect(std::uint64_t{28 ^ 27} << 32, "length8 is not what the pipe header's length makes it");
}

TEST_F(LiveRings, ThePipeHeaderIsJudged) {
  word(first_ + 16) = 2 | std::uint64_t{13} << 32;
  expect_fault("the pipe header's type is not data");
  word(first_ + 16) = 1 | std::uint64_t{8} << 32;
  expect_fault("length8 is not what the pipe header's length makes it");
  word(first_ + 16) = 1 | std::uint64_t{12} << 32;
  expect_fault("the padding is not 0");
  word(first_ + 16) = 1 | std::uint64_t{kLargest + 1} << 32;
  expect_fault("more payload than a packet may have");
}

TEST_F(LiveRings, TheTrailerIsJudged) {
  const std::uint32_t trailer = second_ - 8;
  word(trailer) = std::uint64_t{first_} << 32 | 1;
  expect_fault("the trailer's low half is not 0");
  word(trailer) = std::uint64_t{second_} << 32;
  expect_fault("the trailer is not the packet's start");
}

TEST_F(LiveRings, NothingComesBehindTheEnd) {
  write_index() = lay_out(write_index(), 0);
  EXPECT_TRUE(look().has_end);
  write_index() = lay_out(write_index(), 1);
  expect_fault("a packet behind the end of the stream");
}

}  // namespace
}  // namespace vmbus::stress
