#include "shim/raw_log.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "shim/real.h"

namespace vmbus::shim {
namespace {

constinit std::atomic<bool> g_enabled{false};

class Line {
 public:
  void add(const char* text) {
    while (*text != '\0' && used_ < buffer_.size() - 1) buffer_[used_++] = *text++;
  }

  void add_number(int number) {
    std::array<char, 12> digits{};
    std::size_t first = digits.size() - 1;
    do {
      digits[--first] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0 && first > 0);
    add(&digits[first]);
  }

  void write_to_stderr() {
    buffer_[used_++] = '\n';
    real::call(SYS_write, STDERR_FILENO, buffer_.data(), used_);
  }

 private:
  std::array<char, 512> buffer_;
  std::size_t used_ = 0;
};

}  // namespace

void enable_log(bool enabled) { g_enabled.store(enabled, std::memory_order_relaxed); }

void log_line(std::initializer_list<const char*> parts, int error) {
  if (!g_enabled.load(std::memory_order_relaxed)) return;
  Line line;
  line.add("vmbus: ");
  for (const char* part : parts) line.add(part);
  if (error != 0) {
    line.add(" (errno ");
    line.add_number(error);
    line.add(")");
  }
  line.write_to_stderr();
}

}  // namespace vmbus::shim
