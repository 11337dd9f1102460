#include "emu/stale_turns.h"

#include <algorithm>

namespace vmbus::emu {

bool StaleTurns::hold_lane(std::uint32_t lane) const {
  return std::ranges::any_of(turns_, [lane](const StaleTurn& turn) { return turn.lane == lane; });
}

bool StaleTurns::hold_any_of(PageRun run) const {
  const auto stands_there = [run](proto::Pfn page) {
    return page.value >= run.first.value && page.value - run.first.value < run.count;
  };
  return std::ranges::any_of(
      turns_, [&](const StaleTurn& turn) { return std::ranges::any_of(turn.rings, stands_there); });
}

std::vector<PageRun> StaleTurns::let_go(
    const std::function<bool(std::uint32_t client)>& is_client) {
  std::erase_if(turns_, [&](const StaleTurn& turn) { return !is_client(turn.client); });
  const auto held =
      std::ranges::partition(postponed_, [this](const PageRun& run) { return !hold_any_of(run); });
  std::vector<PageRun> free(postponed_.begin(), held.begin());
  postponed_.erase(postponed_.begin(), held.begin());
  return free;
}

}  // namespace vmbus::emu
