#include "emu/guest_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/memory_of.h"

namespace vmbus::emu {
namespace {

using proto::kPageBytes;

std::uint64_t bytes_held(const GuestMemory& memory) {
  struct stat status {};
  EXPECT_EQ(::fstat(memory.descriptor(), &status), 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

std::size_t page_table_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmPTE:")) return std::stoul(line.substr(6));
  }
  return 0;
}

TEST(GuestMemory, IsSparseAndSealed) {
  auto memory = GuestMemory::create(std::uint64_t{2} << 30);
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(bytes_held(**memory), 0U);
  const int seals = ::fcntl((*memory)->descriptor(), F_GET_SEALS);
  EXPECT_EQ(seals, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_EQ(::ftruncate((*memory)->descriptor(), 4096), -1);
}

TEST(GuestMemory, SaysWhyItCannotBeMade) {
  EXPECT_EQ(GuestMemory::create(0).error(), EINVAL);
  EXPECT_EQ(GuestMemory::create(4097).error(), EINVAL);
  EXPECT_EQ(GuestMemory::create(std::uint64_t{1} << 62).error(), ENOMEM);
}

TEST(GuestMemory, DropsTablesWithoutABytesLoss) {
  const auto memory = memory_of(2048);
  const auto run = memory->allocate(1024);
  ASSERT_TRUE(run.has_value());
  const std::span<std::byte> pages(memory->at(*run), run->count * kPageBytes);
  std::ranges::fill(pages, std::byte{7});
  const std::uint64_t held = bytes_held(*memory);
  memory->drop_tables(pages.subspan(kPageBytes, kPageBytes));
  memory->drop_tables(pages.last(kPageBytes));
  EXPECT_EQ(bytes_held(*memory), held);
  EXPECT_TRUE(std::ranges::all_of(pages, [](std::byte byte) { return byte == std::byte{7}; }));
}

// One page of 64 MiB each has a page table of its own.
TEST(GuestMemory, DroppedTablesAreTheMachines) {
  const auto memory = memory_of(32 * 512);
  const auto touch_all = [&] {
    for (std::uint64_t pfn = 0; pfn < memory->page_count(); pfn += 512) {
      memory->page_at(pfn)[0] = std::byte{1};
    }
  };
  touch_all();
  const std::size_t touched = page_table_kib();
  memory->drop_tables({memory->page_at(0), memory->page_count() * kPageBytes});
  const std::size_t dropped = page_table_kib();
  if (dropped == touched) GTEST_SKIP() << "a kernel before 6.14 keeps empty page tables";
  EXPECT_LE(dropped + 100, touched);
  touch_all();
  EXPECT_GE(page_table_kib() + 8, touched);
}

TEST(GuestMemory, MapsConsecutivePagesAsAWindow) {
  const auto memory = memory_of(64);
  const auto run = memory->allocate(3);
  ASSERT_TRUE(run.has_value());
  const std::vector pfns{run->first.value, run->first.value + 1, run->first.value + 2};
  const auto mapped = memory->map_pages(pfns);
  ASSERT_TRUE(mapped.has_value());
  EXPECT_EQ(mapped->bytes().data(), memory->at(*run));
  EXPECT_EQ(mapped->bytes().size(), 3 * kPageBytes);
}

// ---- what a stopped program may still write to

TEST(GuestMemory, PagesAreKeptAsLongAsTheirWriterLives) {
  const auto memory = memory_of(64);
  const auto kept = memory->allocate(4);
  const auto other = memory->allocate(4);
  memory->keep_for(
      {7, 10, {kept->first, proto::Pfn{kept->first.value + 2}, kept->first, kept->first}});
  memory->free(*kept);
  memory->free(*other);
  EXPECT_EQ(memory->bytes_in_use(), 4 * kPageBytes);
  EXPECT_EQ(memory->allocate(4), other);
  EXPECT_TRUE(memory->is_kept(10));
  EXPECT_FALSE(memory->is_kept(11));

  memory->let_go([](std::uint32_t client) { return client == 7; });
  EXPECT_NE(memory->allocate(4), kept);
  memory->let_go([](std::uint32_t client) { return client == 8; });
  EXPECT_FALSE(memory->is_kept(10));
  EXPECT_EQ(memory->allocate(4), kept);
}

TEST(GuestMemory, PagesOfTwoWritersAreKeptForBoth) {
  const auto memory = memory_of(64);
  const auto kept = memory->allocate(4);
  memory->keep_for(
      {7, 10, {kept->first, proto::Pfn{kept->first.value + 2}, kept->first, kept->first}});
  memory->keep_for(
      {8, 11, {proto::Pfn{kept->first.value + 2}, kept->first, kept->first, kept->first}});
  memory->free(*kept);
  memory->let_go([](std::uint32_t client) { return client == 8; });
  EXPECT_NE(memory->bytes_in_use(), 0U);
  memory->let_go([](std::uint32_t) { return false; });
  EXPECT_EQ(memory->bytes_in_use(), 0U);
}

TEST(GuestMemory, StitchesScatteredPagesTogether) {
  const auto memory = memory_of(64);
  const std::vector<std::uint64_t> pfns{7, 8, 3, 40, 3};
  auto mapped = memory->map_pages(pfns);
  ASSERT_TRUE(mapped.has_value());
  for (const std::uint64_t pfn : pfns) {
    memory->at({.first = proto::Pfn{pfn}, .count = 1})[5] = static_cast<std::byte>(pfn);
  }
  for (std::size_t i = 0; i < pfns.size(); ++i) {
    EXPECT_EQ(mapped->bytes()[i * kPageBytes + 5], static_cast<std::byte>(pfns[i]));
  }
  MappedPages moved = std::move(*mapped);
  EXPECT_TRUE(mapped->bytes().empty());
  moved.bytes()[kPageBytes] = std::byte{42};
  EXPECT_EQ(memory->at({.first = proto::Pfn{8}, .count = 1})[0], std::byte{42});
}

TEST(GuestMemory, RefusesPagesOutsideOfIt) {
  const auto memory = memory_of(64);
  for (const std::uint64_t outside :
       {std::uint64_t{64}, ~std::uint64_t{0}, std::uint64_t{1} << 52}) {
    const std::vector pfns{std::uint64_t{63}, outside};
    EXPECT_EQ(memory->map_pages(pfns).error(), EFAULT);
  }
  EXPECT_EQ(memory->map_pages({}).error(), EINVAL);
}

TEST(GuestMemory, ClearsAPage) {
  const auto memory = memory_of(4);
  const auto run = memory->allocate(2);
  std::memset(memory->at(*run), 0xFF, 2 * kPageBytes);
  memory->clear_page(run->first);
  const auto* page = memory->at(*run);
  EXPECT_TRUE(std::all_of(page, page + kPageBytes, [](std::byte b) { return b == std::byte{}; }));
  EXPECT_EQ(page[kPageBytes], std::byte{0xFF});
}

TEST(GuestMemory, GivesMemoryBackAboveItsPool) {
  const auto memory = memory_of(64 * 1024);
  constexpr std::size_t kBlockPages = 1024;
  std::vector<PageRun> runs;
  for (int i = 0; i < 40; ++i) {  // 160 MiB
    runs.push_back(*memory->allocate(kBlockPages));
    std::memset(memory->at(runs.back()), 1, kBlockPages * kPageBytes);
  }
  EXPECT_EQ(memory->bytes_in_use(), 40 * kBlockPages * kPageBytes);
  for (const PageRun& run : runs) memory->free(run);
  EXPECT_EQ(memory->bytes_in_use(), 0U);
  EXPECT_LE(bytes_held(*memory), GuestMemory::kPoolBytes);
  EXPECT_GT(bytes_held(*memory), 0U);
}

TEST(GuestMemory, KnowsThePageOfAnAddress) {
  const auto memory = memory_of(64);
  const auto first = memory->allocate(4);
  const auto second = memory->allocate(4);
  EXPECT_EQ(memory->pfn_of(memory->at(*first)), first->first);
  EXPECT_EQ(memory->pfn_of(memory->at(*second)), second->first);
}

}  // namespace
}  // namespace vmbus::emu
