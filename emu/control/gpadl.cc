#include "emu/control/gpadl.h"

#include <algorithm>
#include <utility>

#include "emu/protocol/gpa_range.h"

namespace vmbus::emu {

using enum ProtocolError;

Gpadl::Gpadl(std::uint16_t range_buffer_bytes, std::uint16_t range_count)
    : words_(range_buffer_bytes / sizeof(std::uint64_t)),
      word_count_(words_.size()),
      range_count_(range_count) {}

void Gpadl::append(std::span<const std::byte> tail) {
  received_ += proto::copy_words(tail, std::span(words_).subspan(received_));
}

std::vector<std::uint64_t> Gpadl::words() const {
  if (runs_.empty()) return words_;
  std::vector<std::uint64_t> words;
  words.reserve(word_count_);
  for (const Run& run : runs_) {
    for (std::uint64_t i = 0; i < run.count; ++i) words.push_back(run.first + i);
  }
  return words;
}

void Gpadl::pack() {
  std::vector<Run> runs;
  for (const std::uint64_t word : words_) {
    if (runs.empty() || word != runs.back().first + runs.back().count) {
      runs.push_back({.first = word, .count = 0});
    }
    ++runs.back().count;
  }
  if (runs.size() * sizeof(Run) >= words_.size() * sizeof(std::uint64_t)) return;
  runs.shrink_to_fit();
  runs_ = std::move(runs);
  words_ = std::vector<std::uint64_t>();  // an empty list would keep the memory
}

bool Gpadl::ranges_valid(std::uint64_t memory_pages) const {
  std::span<const std::uint64_t> rest = words_;
  for (std::size_t i = 0; i < range_count_; ++i) {
    const auto range = proto::take_range(rest);
    if (!range) return false;
    const bool inside =
        std::ranges::all_of(range->pfns, [&](std::uint64_t pfn) { return pfn < memory_pages; });
    if (!inside) return false;
  }
  return true;
}

Checked<GpadlTable::Progress> GpadlTable::add(const proto::GpadlHeader& header,
                                              std::span<const std::byte> tail) {
  const Key key(header.relid, header.gpadl_id);
  if (gpadls_.contains(key) || incomplete_.contains(header.gpadl_id)) {
    return tl::unexpected(kDuplicateGpadlId);
  }
  const std::size_t cost = header.range_buffer_bytes / sizeof(std::uint64_t) + kWordsOfBookkeeping;
  if (words_ + cost > kMaxWords) return tl::unexpected(kTooManyGpadls);

  const auto gpadl = gpadls_.try_emplace(key, header.range_buffer_bytes, header.range_count).first;
  words_ += cost;
  incomplete_.emplace(header.gpadl_id, header.relid);
  gpadl->second.append(tail);
  return check_progress(gpadl);
}

Checked<GpadlTable::Progress> GpadlTable::extend(proto::GpadlId id,
                                                 std::span<const std::byte> tail) {
  const auto relid = channel_of_incomplete(id);
  if (!relid) return tl::unexpected(relid.error());
  const auto gpadl = gpadls_.find({*relid, id});
  gpadl->second.append(tail);
  return check_progress(gpadl);
}

Checked<GpadlTable::Progress> GpadlTable::check_progress(Map::iterator gpadl) {
  if (!gpadl->second.has_all_words()) return Progress::kNeedsMore;
  if (!gpadl->second.ranges_valid(memory_pages_)) {
    remove(gpadl);
    return tl::unexpected(kInvalidGpaRange);
  }
  incomplete_.erase(gpadl->first.second);
  gpadl->second.set_state(Gpadl::State::kAccepted);
  gpadl->second.pack();
  return Progress::kCreated;
}

Checked<proto::Relid> GpadlTable::channel_of_incomplete(proto::GpadlId id) const {
  const auto found = incomplete_.find(id);
  if (found == incomplete_.end()) return tl::unexpected(kUnknownGpadlId);
  return found->second;
}

Checked<GpadlTable::Teardown> GpadlTable::tear_down(proto::Relid relid, proto::GpadlId id,
                                                    bool holds_rings) {
  const auto gpadl = gpadls_.find({relid, id});
  if (gpadl == gpadls_.end()) return tl::unexpected(kUnknownGpadlId);
  if (gpadl->second.state() != Gpadl::State::kAccepted) return tl::unexpected(kInvalidGpadlState);
  if (holds_rings) {
    gpadl->second.set_state(Gpadl::State::kTearingDown);
    return Teardown::kWaitsForRings;
  }
  remove(gpadl);
  return Teardown::kDone;
}

bool GpadlTable::rings_let_go(proto::Relid relid, proto::GpadlId id) {
  const auto gpadl = gpadls_.find({relid, id});
  if (gpadl == gpadls_.end() || gpadl->second.state() != Gpadl::State::kTearingDown) return false;
  remove(gpadl);
  return true;
}

const Gpadl* GpadlTable::find_accepted(proto::Relid relid, proto::GpadlId id) const {
  const auto gpadl = gpadls_.find({relid, id});
  const bool accepted = gpadl != gpadls_.end() && gpadl->second.state() == Gpadl::State::kAccepted;
  return accepted ? &gpadl->second : nullptr;
}

void GpadlTable::remove(Map::iterator gpadl) {
  const auto& [relid, id] = gpadl->first;
  const auto incomplete = incomplete_.find(id);
  if (incomplete != incomplete_.end() && incomplete->second == relid) incomplete_.erase(incomplete);
  words_ -= gpadl->second.word_count() + kWordsOfBookkeeping;
  gpadls_.erase(gpadl);
}

void GpadlTable::remove_channel(proto::Relid relid) {
  auto gpadl = gpadls_.lower_bound({relid, proto::GpadlId{0}});
  while (gpadl != gpadls_.end() && gpadl->first.first == relid) remove(gpadl++);
}

void GpadlTable::clear() {
  gpadls_.clear();
  incomplete_.clear();
  words_ = 0;
}

}  // namespace vmbus::emu
