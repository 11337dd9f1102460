#include "tests/conformance/peer.h"

#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kMaxData = 64U << 20;

struct AnswerHeader {
  long value;
  int error;
  std::uint32_t size;
};

// False at the end of the stream, and on any error: the other side is gone.
bool write_all(int fd, const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t sent = ::send(fd, next, size, MSG_NOSIGNAL);
    if (sent <= 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    next += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool read_all(int fd, void* data, std::size_t size) {
  char* next = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = ::recv(fd, next, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    next += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

std::vector<std::string> environment_with(const std::string& partition,
                                          const std::vector<std::string>& variables) {
  std::vector<std::string> result{"VMBUS_PARTITION=" + partition};
  result.insert(result.end(), variables.begin(), variables.end());
  const auto is_replaced = [&](std::string_view own) {
    const std::string_view name = own.substr(0, own.find('=') + 1);
    return std::ranges::any_of(result,
                               [&](const std::string& added) { return added.starts_with(name); });
  };
  std::vector<std::string> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!is_replaced(*variable)) kept.emplace_back(*variable);
  }
  result.insert(result.end(), kept.begin(), kept.end());
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

// ---- this side ----

Peer::Peer(const std::string& partition, std::vector<std::string> variables) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
  channel_ = Socket(pair[0]);
  const Socket far(::fcntl(pair[1], F_DUPFD, 3));  // without close-on-exec
  ::close(pair[1]);
  std::string number = std::to_string(far.fd());
  std::string name = "/proc/self/exe";
  std::string option = "--peer";
  std::array<char*, 4> arguments{name.data(), option.data(), number.data(), nullptr};
  std::vector<std::string> strings = environment_with(partition, variables);
  if (::posix_spawn(&pid_, name.c_str(), nullptr, nullptr, arguments.data(),
                    pointers(strings).data()) != 0) {
    std::abort();
  }
}

Peer::~Peer() {
  channel_.close();
  ::kill(pid_, SIGKILL);  // it may wait in a call
  ::waitpid(pid_, nullptr, 0);
}

void Peer::post(Command command, std::string_view data) {
  command.size = static_cast<std::uint32_t>(data.size());
  if (write_all(channel_.fd(), &command, sizeof command)) {
    write_all(channel_.fd(), data.data(), data.size());
  }
}

Answer Peer::collect() {
  AnswerHeader header{};
  if (!read_all(channel_.fd(), &header, sizeof header)) return {fails(EPIPE), {}};
  Answer answer{{header.value, header.error}, std::string(header.size, '\0')};
  if (!read_all(channel_.fd(), answer.data.data(), header.size)) return {fails(EPIPE), {}};
  return answer;
}

RemoteSocket Peer::socket(int family, int type, int protocol) {
  const Answer answer = ask({Call::kSocket, {family, type, protocol}, 0});
  return {*this, static_cast<int>(answer.outcome.value)};
}

Outcome RemoteSocket::close() {
  if (fd_ < 0) return gives(0);
  const Outcome result = call(Call::kClose).outcome;
  fd_ = -1;
  return result;
}

Received RemoteSocket::receive(std::size_t size, int flags) const {
  Answer answer = call(Call::kReceive, flags, static_cast<int>(size));
  return {answer.outcome, std::move(answer.data)};
}

Outcome RemoteSocket::option(int level, int number) const {
  const Answer answer = call(Call::kGetOption, level, number);
  int value = 0;
  if (answer.outcome.ok()) std::memcpy(&value, answer.data.data(), sizeof value);
  return answer.outcome.ok() ? gives(value) : answer.outcome;
}

std::pair<Outcome, Address> RemoteSocket::name_by(Call what) const {
  const Answer answer = call(what);
  Address address;
  std::memcpy(&address.storage, answer.data.data(), answer.data.size());
  address.size = static_cast<socklen_t>(answer.data.size());
  return {answer.outcome, address};
}

// ---- the other process ----

namespace {

Address address_of(const std::string& data) {
  Address address;
  address.size = static_cast<socklen_t>(data.size());
  std::memcpy(&address.storage, data.data(), std::min(data.size(), sizeof address.storage));
  return address;
}

Answer answer_name(std::pair<Outcome, Address> name) {
  return {name.first,
          std::string(reinterpret_cast<const char*>(&name.second.storage), name.second.size)};
}

Answer read_option(int fd, int level, int option) {
  std::string value(64, '\0');
  auto size = static_cast<socklen_t>(value.size());
  const Outcome result = outcome(::getsockopt(fd, level, option, value.data(), &size));
  return {result, value};
}

Answer perform(const Command& command, const std::string& data) {
  const auto [first, second, third] = command.arguments;
  Socket socket(command.call == Call::kSocket ? -1 : first);
  const auto done = [&](Outcome result) { return Answer{result, {}}; };
  const Answer answer = [&]() -> Answer {
    switch (command.call) {
      case Call::kSocket:
        return done(outcome(::socket(first, second, third)));
      case Call::kBind:
        return done(socket.bind(address_of(data)));
      case Call::kListen:
        return done(socket.listen(second));
      case Call::kAccept:
        return done(socket.accept());
      case Call::kConnect:
        return done(socket.connect(address_of(data)));
      case Call::kSend:
        return done(socket.send(data, second));
      case Call::kReceive: {
        Received received = socket.receive(static_cast<std::size_t>(third), second);
        return {received.outcome, std::move(received.data)};
      }
      case Call::kShutdown:
        return done(socket.shutdown(second));
      case Call::kClose:
        return done(socket.close());
      case Call::kGetName:
        return answer_name(socket.name());
      case Call::kGetPeer:
        return answer_name(socket.peer_name());
      case Call::kSetOption:
        return done(outcome(
            ::setsockopt(first, second, third, data.data(), static_cast<socklen_t>(data.size()))));
      case Call::kGetOption:
        return read_option(first, second, third);
      case Call::kPoll:
        return done(
            gives(socket.poll(std::chrono::milliseconds(second), static_cast<short>(third))));
      case Call::kSetFlags:
        return done(outcome(::fcntl(first, F_SETFL, second)));
    }
    return done(fails(ENOSYS));
  }();
  (void)socket.release();  // the descriptor is the case's to close
  return answer;
}

}  // namespace

int serve_as_peer(int channel) {
  // What the case had open when it started us is not ours to keep open.
  ::close_range(3, static_cast<unsigned>(channel) - 1, 0);
  ::close_range(static_cast<unsigned>(channel) + 1, ~0U, 0);
  Command command;
  std::string data;
  while (read_all(channel, &command, sizeof command)) {
    if (command.size > kMaxData) return 2;
    data.resize(command.size);
    if (!read_all(channel, data.data(), data.size())) return 0;
    const Answer answer = perform(command, data);
    const AnswerHeader header{answer.outcome.value, answer.outcome.error,
                              static_cast<std::uint32_t>(answer.data.size())};
    if (!write_all(channel, &header, sizeof header)) return 0;
    write_all(channel, answer.data.data(), answer.data.size());
  }
  return 0;
}

}  // namespace vmbus::cases
