#include "emu/hvsocket/stream.h"

#include <utility>

namespace vmbus::emu {

std::unique_ptr<Stream> Stream::on_channel(Side side, Partition& bus, proto::Relid relid,
                                           const ChannelRings& rings) {
  std::unique_ptr<Stream> stream(new Stream(side, &bus, relid));
  if (side == Side::kGuest) {
    return open(std::move(stream), rings.guest_to_host, rings.host_to_guest);
  }
  return open(std::move(stream), rings.host_to_guest, rings.guest_to_host);
}

std::unique_ptr<Stream> Stream::on_loopback(std::shared_ptr<LoopbackRings> pair, std::size_t end) {
  const ChannelRings rings = pair->rings();
  std::unique_ptr<Stream> stream(new Stream(Side::kLoopback, nullptr, proto::Relid{}));
  stream->pair_ = std::move(pair);
  stream->end_ = end;
  if (end == 0) {
    return open(std::move(stream), rings.guest_to_host, rings.host_to_guest);
  }
  return open(std::move(stream), rings.host_to_guest, rings.guest_to_host);
}

std::unique_ptr<Stream> Stream::open(std::unique_ptr<Stream> stream, const ring::RingPages& out,
                                     const ring::RingPages& in) {
  auto out_memory = ring::RingMemory::over(out);
  auto in_memory = ring::RingMemory::over(in);
  if (!out_memory.ok() || !in_memory.ok()) return nullptr;
  auto writer = ring::PipeWriter::open(*out_memory);
  auto reader = ring::PipeReader::open(*in_memory);
  if (!writer.ok() || !reader.ok()) return nullptr;
  stream->out = std::move(writer).value();
  stream->in = std::move(reader).value();
  return stream;
}

}  // namespace vmbus::emu
