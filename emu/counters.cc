#include "emu/counters.h"

namespace vmbus::emu {
namespace {

struct Row {
  std::string_view name;
  std::string_view meaning;
};

constexpr std::array kRows = {
#define VMBUS_COUNTER(id, name, meaning) Row{name, meaning},
#include "emu/counters.inc"
#undef VMBUS_COUNTER
};
static_assert(kRows.size() == static_cast<std::size_t>(Counter::kCount));

}  // namespace

std::string_view Counters::name(Counter counter) {
  return kRows[static_cast<std::size_t>(counter)].name;
}

std::string_view Counters::meaning(Counter counter) {
  return kRows[static_cast<std::size_t>(counter)].meaning;
}

}  // namespace vmbus::emu
