// vmbusd: reads flags, goes to the background, builds the server, runs it. Everything else is in
// vmbus_emu.
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "emu/background.h"
#include "emu/fd_reserve.h"
#include "emu/log.h"
#include "emu/options.h"
#include "emu/server.h"

namespace {

// Each socket costs the daemon a descriptor. False: there are too few to serve any.
bool raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_max >= vmbus::emu::kFewestDescriptors;
}

}  // namespace

int main(int argc, char** argv) {
  using vmbus::emu::DaemonOptions;
  using vmbus::emu::EarlyExit;
  using vmbus::emu::ReadyNotifier;
  auto parsed = vmbus::emu::parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (const auto* exit = std::get_if<EarlyExit>(&parsed)) {
    fmt::print(exit->status == 0 ? stdout : stderr, "{}", exit->text);
    return exit->status;
  }
  const auto& options = std::get<DaemonOptions>(parsed);
  vmbus::emu::logger().set_level(options.log);
  ::signal(SIGPIPE, SIG_IGN);
  if (!raise_descriptor_limit()) {
    fmt::print(stderr,
               "vmbusd: the hard limit on open files is {}, it needs {}; raise it (ulimit -H -n)\n",
               vmbus::emu::descriptor_limit(), vmbus::emu::kFewestDescriptors);
    return 1;
  }
  auto background = vmbus::emu::enter_background(options);
  if (const int* status = std::get_if<int>(&background)) return *status;
  return vmbus::emu::run_daemon(options, std::move(std::get<ReadyNotifier>(background)));
}
