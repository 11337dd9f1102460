// Outcome: what a system call gave, in a form that compares and prints: "3", "-1 EINVAL".
#ifndef VMBUS_TESTS_CONFORMANCE_OUTCOME_H_
#define VMBUS_TESTS_CONFORMANCE_OUTCOME_H_

#include <cerrno>
#include <cstring>
#include <ostream>

namespace vmbus::cases {

struct Outcome {
  long value = 0;
  int error = 0;  // errno if `value` is -1, else 0

  bool ok() const { return value != -1; }
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// Around a call: outcome(::listen(fd, 5)). Looks at errno at once.
inline Outcome outcome(long value) { return {value, value == -1 ? errno : 0}; }

// What is expected.
constexpr Outcome gives(long value) { return {value, 0}; }
constexpr Outcome fails(int error) { return {-1, error}; }

inline std::ostream& operator<<(std::ostream& out, const Outcome& what) {
  out << what.value;
  if (what.error != 0) out << ' ' << ::strerrorname_np(what.error);
  return out;
}

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_OUTCOME_H_
