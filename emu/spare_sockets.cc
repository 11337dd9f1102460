#include "emu/spare_sockets.h"

#include <utility>

namespace vmbus::emu {
namespace {

bool is_same(const control::CreateSocket& left, const control::CreateSocket& right) {
  return left.SerializeAsString() == right.SerializeAsString();
}

}  // namespace

std::uint64_t SpareSockets::note(ClientId client, const control::Request& request) {
  Habit& habit = clients_[client];
  const std::uint64_t spare = std::exchange(habit.spare, 0);
  const bool is_wanted = spare != 0 && request.took_spare();
  if (spare != 0 && !is_wanted) habit.calls = 0;
  if (request.has_create_socket()) note_call(habit, request.create_socket());
  habit.last = request.body_case();
  return is_wanted ? spare : 0;
}

void SpareSockets::note_call(Habit& habit, const control::CreateSocket& call) {
  const bool goes_on = habit.calls > 0 && habit.before == habit.last && is_same(habit.call, call);
  habit.calls = goes_on ? habit.calls + 1 : 1;
  habit.before = habit.last;
  habit.call = call;
}

const control::CreateSocket* SpareSockets::wanted(ClientId client) const {
  const auto found = clients_.find(client);
  if (found == clients_.end()) return nullptr;
  const Habit& habit = found->second;
  const bool is_moment = habit.calls >= kHabit && habit.last == habit.before;
  return is_moment && habit.last != Kind::kCreateSocket ? &habit.call : nullptr;
}

}  // namespace vmbus::emu
