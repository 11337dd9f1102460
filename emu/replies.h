// Replies that several requests have.
#ifndef VMBUS_EMU_REPLIES_H_
#define VMBUS_EMU_REPLIES_H_

#include <fmt/format.h>

#include <string>
#include <utility>

#include "emu/client/printable.h"
#include "emu/control_connection.h"
#include "emu/report_file.h"

namespace vmbus::emu {

inline HandlerReply error_reply(int error, std::string explanation = {}) {
  HandlerReply reply;
  reply.message.set_error(error);
  reply.message.set_explanation(std::move(explanation));
  return reply;
}

inline HandlerReply no_such_guest(const std::string& name) {
  return error_reply(ENOENT, fmt::format("no guest is called \"{}\": see `vmbus vm list`",
                                         client::printable(name)));
}

inline HandlerReply report_reply(const google::protobuf::MessageLite& report) {
  auto file = make_report_file(report);
  if (!file) return error_reply(file.error(), "the report's memory could not be had");
  HandlerReply reply;
  reply.attachment = std::move(*file);
  return reply;
}

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_REPLIES_H_
