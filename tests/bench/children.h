// Processes of the worker, and how they hand over what they found.
#ifndef VMBUS_TESTS_BENCH_CHILDREN_H_
#define VMBUS_TESTS_BENCH_CHILDREN_H_

#include <sys/types.h>
#include <unistd.h>

#include <optional>
#include <vector>

#include "tests/bench/transport.h"

namespace vmbus::bench {

// A pipe for whole values, smaller than what a pipe takes at once.
class Pipe {
 public:
  Pipe() { require(::pipe(ends_), "pipe"); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends_[0]);
    if (ends_[1] >= 0) ::close(ends_[1]);
  }

  template <class Value>
  void write(const Value& value) const {
    if (::write(ends_[1], &value, sizeof value) != sizeof value) fail("write to a pipe");
  }

  // Nothing: whoever writes has ended.
  template <class Value>
  std::optional<Value> read() const {
    Value value;
    if (::read(ends_[0], &value, sizeof value) != sizeof value) return std::nullopt;
    return value;
  }

  void close_writing_end() {
    ::close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  int ends_[2] = {-1, -1};
};

// 0 in the child, which ends with its parent and, should it hang, by itself.
pid_t fork_child();

// Waits; ends this process, too, if the child failed.
void require_success(pid_t child, const char* who);

// Processes that do nothing but compute, as long as this object lives.
class Hogs {
 public:
  explicit Hogs(int count);
  Hogs(const Hogs&) = delete;
  Hogs& operator=(const Hogs&) = delete;
  ~Hogs();

  const std::vector<pid_t>& pids() const { return pids_; }

 private:
  std::vector<pid_t> pids_;
};

}  // namespace vmbus::bench

#endif  // VMBUS_TESTS_BENCH_CHILDREN_H_
