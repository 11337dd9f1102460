#include "emu/protocol/endpoint_table.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>

#include "ringbuf/shared_word.h"

namespace vmbus::proto {
namespace {

Endpoint image_of(std::uint32_t number) {
  Endpoint image{};
  image.generation = number;
  image.cookie = number;
  image.peer_name.fill(static_cast<unsigned char>(number));
  return image;
}

// Both threads on one CPU, so that one waits while the other is at it.
void share_one_cpu() {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &allowed)) ++cpu;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
}

TEST(EndpointTableTest, CopiesAreWhole) {
  Endpoint shared{};
  write_endpoint(shared, image_of(1));
  std::atomic<bool> is_done{false};
  std::thread writer([&] {
    for (std::uint32_t number = 2; number < 200'000; ++number)
      write_endpoint(shared, image_of(number));
    is_done = true;
  });
  while (!is_done) {
    Endpoint copy{};
    ASSERT_TRUE(read_endpoint(shared, &copy));
    ASSERT_EQ(copy.generation, copy.cookie);
    ASSERT_EQ(copy.peer_name.back(), static_cast<unsigned char>(copy.cookie));
  }
  writer.join();
}

// The daemon lost its CPU inside of its stores, to the very program that reads.
TEST(EndpointTableTest, AWriterThatWaitsForTheReadersCpuGetsIt) {
  for (int i = 0; i < 20; ++i) {
    Endpoint shared{};
    write_endpoint(shared, image_of(1));
    const ring::SharedWord sequence(shared.sequence);
    std::atomic<bool> has_begun{false};
    std::atomic<bool> goes_on{false};
    std::thread writer([&] {
      share_one_cpu();
      sequence.store_seq_cst(sequence.load_relaxed() + 1);
      has_begun = true;
      while (!goes_on) ::sched_yield();
      sequence.store_release(sequence.load_relaxed() + 1);
    });
    std::thread reader([&] {
      share_one_cpu();
      while (!has_begun) ::sched_yield();
      goes_on = true;
      Endpoint copy{};
      EXPECT_TRUE(read_endpoint(shared, &copy));
      EXPECT_EQ(copy.cookie, 1U);
    });
    writer.join();
    reader.join();
  }
}

TEST(EndpointTableTest, AWriterThatNeverGoesOnIsNotWaitedFor) {
  Endpoint shared{};
  ring::SharedWord(shared.sequence).store_seq_cst(1);
  Endpoint copy{};
  EXPECT_FALSE(read_endpoint(shared, &copy));
}

}  // namespace
}  // namespace vmbus::proto
