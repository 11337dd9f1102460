// hostile_peer: the programs of hostile_test.py, one role each. End of file on standard input ends a role.
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "tests/fuzz/hostile/attacker.h"
#include "tests/fuzz/hostile/honest.h"
#include "tests/fuzz/hostile/pestered.h"
#include "tests/fuzz/hostile/sockets.h"
#include "tests/fuzz/hostile/victim.h"

namespace {

using namespace vmbus::hostile;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) fail(1, "no number");
  return value;
}

int usage() {
  std::fputs(
      "usage: hostile_peer serve-honestly PORT | dial-honestly CID PORT SEED\n"
      "                    serve-as-victim PORT SEED | dial-as-victim CID PORT SEED\n"
      "                    attack CID PORT SEED\n"
      "                    receive-pestered CID PORT | send-pestered CID PORT |\n"
      "                    receive-ahead CID PORT\n",
      stderr);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + 1, argv + argc);
  if (words.empty()) return usage();
  std::vector<std::uint64_t> numbers;
  for (std::size_t i = 1; i < words.size(); ++i) numbers.push_back(number(words[i]));
  const auto is = [&](std::string_view role, std::size_t count) {
    return words[0] == role && numbers.size() == count;
  };
  const auto word = [&](std::size_t i) { return static_cast<std::uint32_t>(numbers[i]); };
  if (is("serve-honestly", 1)) {
    serve_honestly(word(0));
  } else if (is("dial-honestly", 3)) {
    dial_honestly(word(0), word(1), numbers[2]);
  } else if (is("serve-as-victim", 2)) {
    serve_as_victim(word(0), numbers[1]);
  } else if (is("dial-as-victim", 3)) {
    dial_as_victim(word(0), word(1), numbers[2]);
  } else if (is("attack", 3)) {
    attack(word(0), word(1), numbers[2]);
  } else if (is("receive-pestered", 2)) {
    receive_pestered(word(0), word(1));
  } else if (is("send-pestered", 2)) {
    send_pestered(word(0), word(1));
  } else if (is("receive-ahead", 2)) {
    receive_ahead(word(0), word(1));
  } else {
    return usage();
  }
  return 0;
}
