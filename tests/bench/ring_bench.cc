// One ring, one thread, no signals: what framing, checking and wrapping cost beside memcpy.
//
//   memcpy        one copy of the payload
//   two_memcpy    one copy in and one out: what any ring must do at least
//   packet        RingWriter::write and commit, RingReader::next, copy out, release, commit
//   stream        PipeWriter::write, PipeReader::read
//   batch         64 KiB laid out, filled, gathered, copied out, in packets of the given size
//   parse         RingReader::next and release alone
#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "ringbuf/pipe_reader.h"
#include "ringbuf/pipe_writer.h"
#include "ringbuf/ring_reader.h"
#include "ringbuf/ring_writer.h"
#include "tests/support/ring_fixture.h"

namespace {

using namespace vmbus::ring;
using vmbus::ring::testing::HeapRing;

constexpr std::uint32_t kRingBytes = 63 * kPageBytes;
constexpr std::size_t kBatchBytes = 64 * 1024;

// Page-aligned: copies between heap blocks of unlucky alignment run at a tenth of the speed, and would
// make the ring look good.
alignas(kPageBytes) std::array<std::byte, kBatchBytes> source;
alignas(kPageBytes) std::array<std::byte, kBatchBytes> target;

std::span<const std::byte> source_bytes(const benchmark::State& state) {
  return std::span(source).first(static_cast<std::size_t>(state.range(0)));
}

void count_bytes(benchmark::State& state, std::size_t per_iteration) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(per_iteration));
}

void BM_memcpy(benchmark::State& state) {
  const auto from = source_bytes(state);
  const std::span<std::byte> to = std::span(target).first(from.size());
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size());
    benchmark::ClobberMemory();
  }
  count_bytes(state, from.size());
}

void BM_two_memcpy(benchmark::State& state) {
  const auto from = source_bytes(state);
  HeapRing ring(kRingBytes);
  const std::span<std::byte> to = std::span(target).first(from.size());
  std::size_t at = 0;
  for (auto _ : state) {
    if (at + from.size() > kRingBytes) at = 0;
    std::memcpy(ring.data().data() + at, from.data(), from.size());
    benchmark::ClobberMemory();
    std::memcpy(to.data(), ring.data().data() + at, to.size());
    benchmark::ClobberMemory();
    at += from.size();
  }
  count_bytes(state, from.size());
}

void BM_packet(benchmark::State& state) {
  const auto from = source_bytes(state);
  const std::span<std::byte> to = std::span(target).first(from.size());
  HeapRing ring(kRingBytes);
  RingWriter writer = *RingWriter::open(ring.memory());
  RingReader reader = *RingReader::open(ring.memory());
  for (auto _ : state) {
    if (!writer.write({}, from)) return state.SkipWithError("full");
    benchmark::DoNotOptimize(writer.commit());
    const auto packet = reader.next();
    copy_from(ring.memory().split(packet->payload_index, packet->payload_bytes), to);
    reader.release(*packet);
    benchmark::DoNotOptimize(reader.commit());
  }
  count_bytes(state, from.size());
}

void BM_stream(benchmark::State& state) {
  const auto from = source_bytes(state);
  const std::span<std::byte> to = std::span(target).first(from.size());
  HeapRing ring(kRingBytes);
  PipeWriter writer = *PipeWriter::open(ring.memory());
  PipeReader reader = *PipeReader::open(ring.memory());
  for (auto _ : state) {
    if (*writer.write(from, kMaxPipePayloadBytes) != from.size()) {
      return state.SkipWithError("full");
    }
    benchmark::DoNotOptimize(writer.commit());
    benchmark::DoNotOptimize(*reader.read(to));
    benchmark::DoNotOptimize(reader.commit());
  }
  count_bytes(state, from.size());
}

void BM_batch(benchmark::State& state) {
  const auto packet_payload = static_cast<std::uint32_t>(state.range(0));
  HeapRing ring(kRingBytes);
  PipeWriter writer = *PipeWriter::open(ring.memory());
  PipeReader reader = *PipeReader::open(ring.memory());
  std::array<Span, PipeReader::kMaxBatchSpans> spans;
  PipeReader::Gathered packets;
  for (auto _ : state) {
    std::size_t at = 0;
    const auto prepared = writer.prepare_batch(packet_payload, kBatchBytes, spans);
    for (const Span& span : std::span(spans).first(prepared->span_count)) {
      std::memcpy(span.data, source.data() + at, span.size);
      at += span.size;
    }
    writer.finish_batch(prepared->bytes);
    benchmark::DoNotOptimize(writer.commit());
    const auto gathered = reader.gather_batch(packets, spans, kBatchBytes);
    for (const Span& span : std::span(spans).first(gathered->span_count)) {
      at -= span.size;
      std::memcpy(target.data() + at, span.data, span.size);
    }
    reader.consume(packets, gathered->bytes);
    benchmark::DoNotOptimize(reader.commit());
    if (prepared->bytes != gathered->bytes) return state.SkipWithError("lost bytes");
    state.SetBytesProcessed(state.bytes_processed() + static_cast<std::int64_t>(gathered->bytes));
  }
}

void BM_parse(benchmark::State& state) {
  HeapRing ring(kRingBytes);
  RingWriter writer = *RingWriter::open(ring.memory());
  RingReader reader = *RingReader::open(ring.memory());
  for (auto _ : state) {
    auto packet = reader.next();
    if (!packet) {
      state.PauseTiming();
      benchmark::DoNotOptimize(reader.commit());
      while (writer.write({}, {})) continue;
      benchmark::DoNotOptimize(writer.commit());
      state.ResumeTiming();
      packet = reader.next();
    }
    benchmark::DoNotOptimize(packet);
    reader.release(*packet);
  }
}

BENCHMARK(BM_memcpy)->RangeMultiplier(4)->Range(64, 64 << 10);
BENCHMARK(BM_two_memcpy)->RangeMultiplier(4)->Range(64, 64 << 10);
BENCHMARK(BM_packet)->RangeMultiplier(4)->Range(64, 64 << 10);
BENCHMARK(BM_stream)->RangeMultiplier(4)->Range(64, 64 << 10);
BENCHMARK(BM_batch)->Arg(256)->Arg(1024)->Arg(4088)->Arg(16384);
BENCHMARK(BM_parse);

}  // namespace

BENCHMARK_MAIN();
