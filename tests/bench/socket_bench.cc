// socket_bench FIGURE --transport T ...: measures one figure of one kind of socket, once, and prints
// one line of JSON: {"count": N, "seconds": S, "waited": W} (tests/bench/figures.h).
//
// Two processes of its own, one that listens and one that dials, forked before either has a socket.
// `tests/bench/compare` runs it, for AF_UNIX, TCP and vsock in turns: a number from here means little
// without its neighbours.
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/figures.h"
#include "tests/bench/transport.h"

namespace {

using namespace vmbus::bench;

// A process that hangs ends itself. Far beyond any time one would measure.
constexpr unsigned kHangSeconds = 60;

enum class Pin { kNone, kOne, kTwo };

struct Options {
  Plan plan;
  Pin pin = Pin::kNone;
};

const std::map<std::string, Figure> kFigures = {{"stream", Figure::kStream},
                                                {"rtt", Figure::kRtt},
                                                {"connect", Figure::kConnect},
                                                {"line", Figure::kLine}};
const std::map<std::string, Transport> kTransports = {{"unix", Transport::kUnix},
                                                      {"tcp", Transport::kTcp},
                                                      {"guest-to-host", Transport::kGuestToHost},
                                                      {"host-to-guest", Transport::kHostToGuest},
                                                      {"loopback", Transport::kLoopback}};
const std::map<std::string, Wait> kWaits = {{"blocking", Wait::kBlocking}, {"epoll", Wait::kEpoll}};
const std::map<std::string, Pin> kPins = {
    {"none", Pin::kNone}, {"one", Pin::kOne}, {"two", Pin::kTwo}};

// The exit status, when the command line alone decides it.
std::optional<int> parse(int argc, char** argv, Options& options) {
  CLI::App app(
      "Measures one figure of one kind of socket, once; tests/bench/compare is for people");
  int milliseconds = 200;
  int warm_up_milliseconds = 50;
  options.plan.size_bytes = 64;
  app.add_option("figure", options.plan.figure, "stream, rtt, connect or line")
      ->required()
      ->transform(CLI::CheckedTransformer(kFigures));
  app.add_option("--transport", options.plan.transport,
                 "unix, tcp, guest-to-host, host-to-guest or loopback; the last three are AF_VSOCK")
      ->transform(CLI::CheckedTransformer(kTransports));
  app.add_option("--size", options.plan.size_bytes, "Bytes of a write (stream) or message (rtt)")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--wait", options.plan.wait, "How both sides wait for bytes: blocking or epoll")
      ->transform(CLI::CheckedTransformer(kWaits));
  app.add_option("--pin", options.pin, "CPUs of the two processes: none (any), one, or two")
      ->transform(CLI::CheckedTransformer(kPins));
  app.add_option("--milliseconds", milliseconds, "How long to measure")
      ->check(CLI::Range(1, 30000));
  app.add_option("--warm-up-milliseconds", warm_up_milliseconds, "How long to run before")
      ->check(CLI::Range(0, 10000));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.plan.measured = std::chrono::milliseconds(milliseconds);
  options.plan.warm_up = std::chrono::milliseconds(warm_up_milliseconds);
  return std::nullopt;
}

// CPUs that this process may use, the first two of them.
struct Cpus {
  int first = 0;
  int second = 0;
};

Cpus two_cpus() {
  cpu_set_t set;
  require(::sched_getaffinity(0, sizeof set, &set), "sched_getaffinity");
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  if (cpus.size() >= 2) return {cpus[0], cpus[1]};
  errno = ENODEV;
  fail("two CPUs are needed");
}

void pin_listener(Pin pin) {
  if (pin == Pin::kTwo) pin_to(two_cpus().second);
  if (pin == Pin::kOne) pin_to(two_cpus().first);
}

void pin_dialler(Pin pin) {
  if (pin != Pin::kNone) pin_to(two_cpus().first);
}

// From the listener to the dialler: where to dial, then what was measured, if it did.
class Pipe {
 public:
  Pipe() { require(::pipe(ends_), "pipe"); }

  template <class Value>
  void write(const Value& value) const {
    if (::write(ends_[1], &value, sizeof value) != sizeof value) fail("write to the dialler");
  }

  // Nothing: the listener ended.
  template <class Value>
  std::optional<Value> read() const {
    Value value;
    if (::read(ends_[0], &value, sizeof value) != sizeof value) return std::nullopt;
    return value;
  }

  void close_writing_end() const { ::close(ends_[1]); }

 private:
  int ends_[2] = {-1, -1};
};

int listener_process(const Options& options, const Pipe& pipe) {
  pin_listener(options.pin);
  const Transport transport = options.plan.transport;
  const int listening_fd = listen_at_any_address(transport);
  pipe.write(address_of(transport, listening_fd));
  if (const auto measurement = run_listener(options.plan, listening_fd)) pipe.write(*measurement);
  ::close(listening_fd);
  return 0;
}

Measurement dialler_process(const Options& options, const Pipe& pipe, pid_t listener) {
  pin_dialler(options.pin);
  const auto address = pipe.read<Address>();
  if (!address) fail("the listener did not start");
  std::optional<Measurement> measurement = run_dialler(options.plan, *address);
  if (!measurement) measurement = pipe.read<Measurement>();
  int status = 0;
  require(::waitpid(listener, &status, 0), "waitpid");
  if (status != 0 || !measurement) fail("the listener failed");
  return *measurement;
}

Measurement measure_sockets(const Options& options) {
  require_guard(options.plan.transport);
  const Pipe pipe;
  const pid_t listener = static_cast<pid_t>(require(::fork(), "fork"));
  ::alarm(kHangSeconds);
  if (listener == 0) std::exit(listener_process(options, pipe));
  pipe.close_writing_end();
  return dialler_process(options, pipe, listener);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (const auto status = parse(argc, argv, options)) return *status;
  Measurement result;
  if (options.plan.figure == Figure::kLine) {
    const Cpus cpus = two_cpus();
    result = measure_line(cpus.first, cpus.second);
  } else {
    result = measure_sockets(options);
  }
  std::printf("{\"count\": %.0f, \"seconds\": %.9f, \"waited\": %.4f}\n", result.count,
              result.seconds, result.waited);
  return 0;
}
