// A guest's memory of so many pages.
#ifndef VMBUS_TESTS_SUPPORT_MEMORY_OF_H_
#define VMBUS_TESTS_SUPPORT_MEMORY_OF_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "emu/guest_memory.h"

namespace vmbus::emu {

inline std::unique_ptr<GuestMemory> memory_of(std::size_t pages) {
  auto memory = GuestMemory::create(pages * proto::kPageBytes);
  EXPECT_TRUE(memory.has_value());
  return std::move(*memory);
}

}  // namespace vmbus::emu

#endif  // VMBUS_TESTS_SUPPORT_MEMORY_OF_H_
