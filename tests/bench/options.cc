#include "tests/bench/options.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <string>

namespace vmbus::bench {
namespace {

const std::map<std::string, Figure> kFigures = {
    {"stream", Figure::kStream}, {"rtt", Figure::kRtt},   {"connect", Figure::kConnect},
    {"line", Figure::kLine},     {"held", Figure::kHeld}, {"pair", Figure::kPair}};
const std::map<std::string, Transport> kTransports = {{"unix", Transport::kUnix},
                                                      {"tcp", Transport::kTcp},
                                                      {"socket-wrapper", Transport::kSocketWrapper},
                                                      {"guest-to-host", Transport::kGuestToHost},
                                                      {"host-to-guest", Transport::kHostToGuest},
                                                      {"loopback", Transport::kLoopback}};
const std::map<std::string, Wait> kWaits = {
    {"blocking", Wait::kBlocking}, {"epoll", Wait::kEpoll}, {"raw-epoll", Wait::kRawEpoll}};
const std::map<std::string, Pin> kPins = {
    {"none", Pin::kNone}, {"one", Pin::kOne}, {"two", Pin::kTwo}};

struct Times {
  int milliseconds = 200;
  int warm_up_milliseconds = 50;
  int work_microseconds = 0;
};

void add_figure_options(CLI::App& app, Options& options) {
  Plan& plan = options.plan;
  app.add_option("figure", plan.figure, "stream, rtt, connect, line, held or pair")
      ->required()
      ->transform(CLI::CheckedTransformer(kFigures));
  app.add_option("--transport", plan.transport,
                 "unix, tcp, socket-wrapper, guest-to-host, host-to-guest or loopback; the last "
                 "three are AF_VSOCK")
      ->transform(CLI::CheckedTransformer(kTransports));
  app.add_option("--size", plan.size_bytes, "Bytes of a write or message; held: each way")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--wait", plan.wait,
                 "How both sides wait for bytes: blocking, epoll, or raw-epoll, unseen by hooks")
      ->transform(CLI::CheckedTransformer(kWaits));
  app.add_option("--pin", options.pin, "CPUs of the two processes: none (any), one, or two")
      ->transform(CLI::CheckedTransformer(kPins));
  app.add_option("--pairs", options.pairs, "Pairs of programs that measure at once")
      ->check(CLI::Range(1, 64));
  app.add_option("--hogs", options.hogs, "Processes that compute meanwhile")
      ->check(CLI::Range(0, 64));
  app.add_option("--also", plan.company.also, "A process whose CPU time counts, too: the daemon");
  app.add_option("--connections", options.connections, "How many are held")
      ->check(CLI::Range(2, 100000));
  app.add_option("--iterations", options.iterations, "Pairs of send and recv")
      ->check(CLI::Range(1, 1 << 30));
}

void add_time_options(CLI::App& app, Times& times) {
  app.add_option("--milliseconds", times.milliseconds, "How long to measure")
      ->check(CLI::Range(1, 30000));
  app.add_option("--warm-up-milliseconds", times.warm_up_milliseconds, "How long to run before")
      ->check(CLI::Range(0, 10000));
  app.add_option("--work-us", times.work_microseconds,
                 "CPU time that the listener spends on each message of rtt")
      ->check(CLI::Range(0, 1000000));
}

}  // namespace

std::optional<int> parse(int argc, char** argv, Options& options) {
  CLI::App app(
      "Measures one figure of one kind of socket, once; tests/bench/compare is for people");
  Times times;
  options.plan.size_bytes = 64;
  add_figure_options(app, options);
  add_time_options(app, times);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.plan.measured = std::chrono::milliseconds(times.milliseconds);
  options.plan.warm_up = std::chrono::milliseconds(times.warm_up_milliseconds);
  options.plan.work = std::chrono::microseconds(times.work_microseconds);
  return std::nullopt;
}

}  // namespace vmbus::bench
