// Setups: the names of case.h's bits, and how `vmbus run` makes each.
#ifndef VMBUS_TESTS_CONFORMANCE_SETUP_H_
#define VMBUS_TESTS_CONFORMANCE_SETUP_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/case.h"

namespace vmbus::cases {

struct SetupRow {
  Setup setup;
  std::string_view name;
  std::vector<std::string> arguments;  // of `vmbus run`; empty: a plain setup, without the shim
};

const std::vector<SetupRow>& all_setups();
// Null for a name that is no setup.
const SetupRow* find_setup(std::string_view name);
void choose_setup(Setup chosen);

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_SETUP_H_
