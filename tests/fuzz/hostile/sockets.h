// Sockets of the roles: AF_VSOCK, which here is always the shim's (hostile_test.py runs each role under
// guard and shim). What a role cannot go on without ends the program with a sentence.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_SOCKETS_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_SOCKETS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

namespace vmbus::hostile {

// Exit statuses, for people: 1 a wrong argument, 2 no socket to be had, 3 a hang, 4 a wrong byte.
inline constexpr int kExitNoSocket = 2;
inline constexpr int kExitHang = 3;
inline constexpr int kExitWrong = 4;

// Ends the program at once, whatever its threads do.
[[noreturn]] void fail(int status, std::string_view what);

// On standard error: which system call each thread of this program is in, as proc(5) tells it.
void report_calls();

// End of file on standard input: the test wants the role to come to its end. Waits as long as said.
bool is_told_to_end(std::chrono::milliseconds wait);

int listen_on(std::uint32_t port);
// Less than 0: refused, which under attack may happen.
int dial(std::uint32_t cid, std::uint32_t port);
// Calls serve() with each accepted descriptor, until it is told to end.
void accept_all(int listener, const std::function<void(int)>& serve);

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_SOCKETS_H_
