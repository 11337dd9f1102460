#include "tools/vmbus/messages_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "tools/vmbus/message_detail.h"
#include "tools/vmbus/table.h"
#include "tools/vmbus/units.h"

namespace vmbus::tools {
namespace {

constexpr const char* kGuestToHost = "guest->host";  // as the report says it

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::string detail_in(const RecordedMessage& message) {
  const auto direction = message.direction() == kGuestToHost ? proto::Direction::kGuestToHost
                                                             : proto::Direction::kHostToGuest;
  return detail_of(std::as_bytes(std::span(message.payload())), direction);
}

bool of_several_guests(const std::vector<const RecordedMessage*>& messages) {
  return std::any_of(messages.begin(), messages.end(), [&](const RecordedMessage* message) {
    return message->guest() != messages.front()->guest();
  });
}

}  // namespace

std::string messages_text(const std::vector<const RecordedMessage*>& messages,
                          std::uint64_t dropped) {
  if (messages.empty()) return "No control messages.\n";
  const bool show_guest = of_several_guests(messages);
  std::vector<Column> columns{
      {"MS", Align::kRight}, {"DIRECTION"}, {"NO", Align::kRight}, {"MESSAGE"}};
  if (show_guest) columns.insert(columns.begin() + 1, Column{"GUEST"});
  columns.insert(columns.end(), {{"RELID", Align::kRight}, {"DETAIL"}});
  Table table(columns);
  const std::uint64_t start = messages.front()->time_ns();
  for (const RecordedMessage* message : messages) {
    std::vector<std::string> cells{milliseconds_text(message->time_ns() - start),
                                   message->direction(), std::to_string(message->number()),
                                   message->name()};
    if (show_guest) cells.insert(cells.begin() + 1, message->guest());
    cells.push_back(message->relid() == 0 ? "" : std::to_string(message->relid()));
    cells.push_back(detail_in(*message));
    table.add(std::move(cells));
  }
  std::string text = table.text();
  if (dropped > 0) text += fmt::format("{} older messages are no longer recorded.\n", dropped);
  return text;
}

Json messages_json(const std::vector<const RecordedMessage*>& messages, std::uint64_t dropped) {
  Json list = Json::array();
  for (const RecordedMessage* message : messages) {
    list.push_back({{"sequence", message->sequence()},
                    {"time_ns", message->time_ns()},
                    {"guest", message->guest()},
                    {"number", message->number()},
                    {"name", message->name()},
                    {"direction", message->direction()},
                    {"relid", message->relid()},
                    {"detail", detail_in(*message)},
                    {"payload", hex(message->payload())}});
  }
  return {{"running", true}, {"messages", list}, {"dropped", dropped}};
}

}  // namespace vmbus::tools
