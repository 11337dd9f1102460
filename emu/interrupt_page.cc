#include "emu/interrupt_page.h"

#include "emu/event_flags.h"

namespace vmbus::emu {
namespace {

constexpr std::size_t kGuestToHostOffset = 2048;

// The part of a half that has a channel for each bit. std::atomic has the size and the layout of
// its word, and whatever bytes the guest left there are a value of it.
EventFlags& flags_at(const MappedPages& page, std::size_t offset) {
  return *reinterpret_cast<EventFlags*>(page.bytes().subspan(offset).data());
}

}  // namespace

void InterruptPage::set_for_guest(proto::Relid relid) { set_flag(flags_at(page_, 0), relid.value); }

std::vector<proto::Relid> InterruptPage::take_for_host() {
  std::vector<proto::Relid> relids;
  take_flags(flags_at(page_, kGuestToHostOffset), [&](std::size_t bit) {
    relids.push_back(proto::Relid{static_cast<std::uint32_t>(bit)});
  });
  return relids;
}

}  // namespace vmbus::emu
