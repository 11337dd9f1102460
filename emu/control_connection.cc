#include "emu/control_connection.h"

#include <sys/socket.h>

#include <cerrno>

#include "emu/client/printable.h"
#include "emu/client/record.h"

namespace vmbus::emu {
namespace {

constexpr std::size_t kMaxProgramBytes = 63;
constexpr std::size_t kMaxExplanationBytes = 255;  // control.options: what the shim's decoder holds

std::string encode(control::Reply& message) {
  message.set_answered(true);
  if (message.explanation().size() > kMaxExplanationBytes)
    message.set_explanation(client::printable(message.explanation(), kMaxExplanationBytes));
  return message.SerializeAsString();
}

// When the attachment cannot travel: the kernel limits descriptors in flight a user. A spare is no part of the answer.
std::string encode_without_attachment(control::Reply& message) {
  if (message.has_spare()) {
    message.clear_spare();
    return encode(message);
  }
  control::Reply refusal;
  refusal.set_error(ENFILE);
  refusal.set_explanation("too many descriptors are on their way between programs");
  return encode(refusal);
}

}  // namespace

void ControlConnection::set_program(std::string_view program) {
  client_.program = client::printable(program, kMaxProgramBytes);
}

tl::expected<ReceivedRequest, int> ControlConnection::receive(std::span<char> buffer) {
  auto record = client::receive_record(socket_.get(), buffer, MSG_DONTWAIT);
  if (!record) return tl::unexpected(record.error());
  if (record->size == 0) return tl::unexpected(ECONNRESET);
  ReceivedRequest received;
  if (record->cut ||
      !received.request.ParseFromArray(buffer.data(), static_cast<int>(record->size))) {
    received.error = EPROTO;
    received.explanation = "the request does not parse; are vmbusd and its client of one version?";
    return received;
  }
  if (record->descriptors_cut) {
    // The record has room for one descriptor; that none arrived means that our table has no room.
    received.error = record->descriptor ? EPROTO : ENFILE;
    received.explanation = record->descriptor ? "a request carries one descriptor at most"
                                              : "vmbusd has no descriptors left";
    return received;
  }
  received.descriptor = std::move(record->descriptor);
  return received;
}

tl::expected<void, int> ControlConnection::send(HandlerReply reply) {
  std::string bytes = encode(reply.message);
  waiting_ = Outgoing{std::move(bytes), std::move(reply)};
  return flush();
}

tl::expected<void, int> ControlConnection::flush() {
  if (!waiting_) return {};
  int error = client::send_record(socket_.get(), waiting_->bytes, waiting_->reply.attachment.get(),
                                  MSG_DONTWAIT);
  if (error == ETOOMANYREFS) {
    waiting_->reply.attachment.reset();
    waiting_->bytes = encode_without_attachment(waiting_->reply.message);
    error = client::send_record(socket_.get(), waiting_->bytes, -1, MSG_DONTWAIT);
  }
  if (error == EAGAIN) return {};
  waiting_.reset();
  if (error != 0) return tl::unexpected(error);
  return {};
}

}  // namespace vmbus::emu
