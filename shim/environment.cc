#include "shim/environment.h"

#include <stdlib.h>

#include <atomic>
#include <cstring>
#include <iterator>

#include "emu/protocol/profile.h"
#include "shim/raw_log.h"
#include "shim/real.h"

namespace vmbus::shim {
namespace {

constexpr const char* kPartitions = "auto, host, or the name of a guest (at most 63 characters)";
constexpr const char* kModes[] = {"auto", "pump", "ring"};
constexpr const char* kLogOff[] = {"", "0", "off"};
constexpr const char* kLogOn[] = {"1", "on", "error", "warn", "info", "debug", "trace"};

template <std::size_t kCount>
bool is_one_of(const char* value, const char* const (&list)[kCount]) {
  for (const char* candidate : list) {
    if (std::strcmp(value, candidate) == 0) return true;
  }
  return false;
}

// Appends; false when it does not fit.
template <std::size_t kSize>
bool append(std::array<char, kSize>* to, const char* text) {
  const std::size_t used = std::strlen(to->data());
  const std::size_t added = std::strlen(text);
  if (used + added >= kSize) return false;
  std::memcpy(to->data() + used, text, added + 1);
  return true;
}

void append_decimal(std::array<char, kMaxPathBytes>* to, unsigned number) {
  char digits[12] = {};
  char* first = std::end(digits) - 1;
  do {
    *--first = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  append(to, first);
}

void reject(Environment* environment, const char* variable, const char* value,
            const char* legal_values) {
  if (environment->bad_variable != nullptr) return;
  environment->bad_variable = variable;
  environment->bad_value = value;
  environment->legal_values = legal_values;
}

const char* value_or(GetVariable get, const char* name, const char* fallback) {
  const char* value = get(name);
  return value == nullptr || *value == '\0' ? fallback : value;
}

void parse_socket_path(GetVariable get, unsigned uid, Environment* environment) {
  if (const char* path = value_or(get, "VMBUS_SOCKET", nullptr)) {
    if (*path != '/' || !append(&environment->socket_path, path)) {
      reject(environment, "VMBUS_SOCKET", path, "an absolute path of at most 4095 bytes");
    }
    return;
  }
  const char* directory = value_or(get, "XDG_RUNTIME_DIR", nullptr);
  if (directory != nullptr && *directory == '/' && append(&environment->socket_path, directory) &&
      append(&environment->socket_path, "/vmbus/bus")) {
    return;
  }
  environment->socket_path.fill('\0');
  append(&environment->socket_path, "/tmp/vmbus-");
  append_decimal(&environment->socket_path, uid);
  append(&environment->socket_path, "/bus");
}

void parse_partition(GetVariable get, Environment* environment) {
  const char* partition = value_or(get, "VMBUS_PARTITION", "auto");
  if (!append(&environment->partition, partition)) {
    reject(environment, "VMBUS_PARTITION", partition, kPartitions);
  }
}

void parse_profile(GetVariable get, Environment* environment) {
  const char* profile = value_or(get, "VMBUS_PROFILE", "default");
  const auto column = proto::find_profile(profile);
  if (!column || !append(&environment->profile, profile)) {
    return reject(environment, "VMBUS_PROFILE", profile, "a profile; `vmbus profiles` lists them");
  }
  const char* quirks = value_or(get, "VMBUS_QUIRKS", "");
  proto::QuirkValues values = proto::kProfileValues[*column];
  const auto fault = proto::apply_settings(quirks, &values);
  if (fault.kind != proto::SettingFault::Kind::kNone || !append(&environment->quirks, quirks)) {
    reject(environment, "VMBUS_QUIRKS", quirks,
           "NAME=VALUE,... as `vmbus profiles` lists them (at most 511 characters)");
  }
}

void parse_spin(GetVariable get, Environment* environment) {
  const char* text = value_or(get, "VMBUS_SPIN_US", nullptr);
  if (text == nullptr) return;
  int value = 0;
  const char* digit = text;
  for (; *digit >= '0' && *digit <= '9' && value <= kMaxSpinUs; ++digit) {
    value = value * 10 + (*digit - '0');
  }
  environment->spin_us = value;
  if (*digit != '\0' || value > kMaxSpinUs) {
    reject(environment, "VMBUS_SPIN_US", text, "a number of microseconds, 0 to 1000");
  }
}

constinit Environment g_environment;
constinit std::atomic<bool> g_parsed{false};

const char* libc_getenv(const char* name) { return getenv(name); }

}  // namespace

void parse_environment(GetVariable get, unsigned uid, Environment* environment) {
  const char* log = value_or(get, "VMBUS_LOG", "off");
  environment->log = is_one_of(log, kLogOn);
  if (!environment->log && !is_one_of(log, kLogOff)) {
    reject(environment, "VMBUS_LOG", log, "off, on, or a level: error, warn, info, debug, trace");
  }
  const char* mode = value_or(get, "VMBUS_MODE", kModes[0]);
  if (!is_one_of(mode, kModes)) reject(environment, "VMBUS_MODE", mode, "auto, pump, ring");
  environment->works_rings = std::strcmp(mode, "pump") != 0;
  parse_spin(get, environment);
  parse_socket_path(get, uid, environment);
  parse_partition(get, environment);
  parse_profile(get, environment);
}

const Environment& environment() {
  if (!g_parsed.load(std::memory_order_acquire)) {
    parse_environment(libc_getenv, static_cast<unsigned>(real::call(SYS_geteuid)), &g_environment);
    enable_log(g_environment.log);
    if (g_environment.bad_variable != nullptr) {
      log_line({g_environment.bad_variable, "=", g_environment.bad_value, ": want ",
                g_environment.legal_values});
    }
    g_parsed.store(true, std::memory_order_release);
  }
  return g_environment;
}

}  // namespace vmbus::shim
