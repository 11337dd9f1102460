#include "emu/client/connection.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "emu/client/record.h"
#include "emu/client/unix_socket.h"
#include "emu/protocol/carrier.h"

namespace vmbus::client {
namespace {

// The daemon left between our connect() and our Hello (it looks for connections before it goes, but
// not for ever).
constexpr int kLeftBeforeHello = ECONNRESET;

// What a socket cannot be made over, as a noun; empty when nothing is there, or a dead socket.
std::string_view obstacle_at(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || S_ISSOCK(status.st_mode)) return {};
  if (S_ISDIR(status.st_mode)) return "a directory";
  if (S_ISREG(status.st_mode)) return "a file";
  return S_ISLNK(status.st_mode) ? "a link that leads to no bus" : "a device or a pipe";
}

Error cannot_connect(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      if (const std::string_view what = obstacle_at(path); !what.empty()) {
        return {ENOTSOCK, fmt::format("{} is {}, not the socket of a bus; set VMBUS_SOCKET (or "
                                      "--socket) to another path",
                                      path, what)};
      }
      return {error, fmt::format("no bus runs at {}; start one with: vmbus run -- COMMAND", path)};
    case EPROTOTYPE:
      return {error,
              fmt::format("{} is not a vmbusd socket; set VMBUS_SOCKET to another path", path)};
    case EACCES:
    case EPERM:
      return {error,
              fmt::format("{} is another user's; set VMBUS_SOCKET to a path of yours", path)};
    case EAGAIN:
      return {ETIMEDOUT, fmt::format("vmbusd at {} accepts no connections; is it stopped?", path)};
    default:
      return {error, fmt::format("cannot connect to {}: {}", path, errno_text(error))};
  }
}

tl::expected<void, Error> check_peer(int socket, const std::string& path) {
  const auto peer = peer_identity(socket);
  if (!peer) return tl::unexpected(cannot_connect(path, peer.error()));
  if (peer->uid == ::geteuid()) return {};
  return tl::unexpected(
      Error{EACCES,
            fmt::format(
                "the daemon at {} is another user's (uid {}); set VMBUS_SOCKET to a path of yours",
                path, peer->uid)});
}

tl::expected<std::string, int> read_whole(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return tl::unexpected(errno);
  std::string content(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t count =
        ::pread(fd, content.data() + done, content.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return tl::unexpected(errno);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  content.resize(done);
  return content;
}

}  // namespace

Error Connection::broken(int error) const {
  switch (error) {
    case EAGAIN:
      return {ETIMEDOUT, fmt::format("vmbusd at {} does not answer; is it stopped?", path_)};
    case EPIPE:
    case ECONNRESET:
      return {ECONNRESET, fmt::format("vmbusd at {} has ended", path_)};
    case EPROTO:
      return {
          EPROTO,
          fmt::format("vmbusd at {} answers in another protocol; is it another version?", path_)};
    default:
      return {error, fmt::format("connection to {} failed: {}", path_, errno_text(error))};
  }
}

tl::expected<control::Reply, Error> Connection::receive(emu::OwnedFd* attachment) {
  std::array<char, proto::kMaxControlBytes> buffer;
  auto record = receive_record(socket_.get(), buffer, 0);
  if (!record) return tl::unexpected(broken(record.error()));
  if (record->size == 0) return tl::unexpected(broken(ECONNRESET));
  control::Reply reply;
  if (record->cut || !reply.ParseFromArray(buffer.data(), static_cast<int>(record->size)))
    return tl::unexpected(broken(EPROTO));
  if (reply.error() != 0) {
    return tl::unexpected(Error{reply.error(), reply.explanation().empty()
                                                   ? errno_text(reply.error())
                                                   : reply.explanation()});
  }
  if (record->descriptors_cut) return tl::unexpected(broken(EMFILE));
  if (attachment != nullptr) *attachment = std::move(record->descriptor);
  return reply;
}

tl::expected<control::Reply, Error> Connection::request(const control::Request& request,
                                                        int send_fd, emu::OwnedFd* attachment) {
  if (const int error = send_record(socket_.get(), request.SerializeAsString(), send_fd, 0))
    return tl::unexpected(broken(error));
  return receive(attachment);
}

tl::expected<void, Error> Connection::request_report(const control::Request& request,
                                                     google::protobuf::MessageLite* report) {
  emu::OwnedFd file;
  const auto reply = this->request(request, -1, &file);
  if (!reply) return tl::unexpected(reply.error());
  if (!file) return tl::unexpected(broken(EPROTO));
  const auto content = read_whole(file.get());
  if (!content) return tl::unexpected(broken(content.error()));
  if (!report->ParseFromString(*content)) return tl::unexpected(broken(EPROTO));
  return {};
}

tl::expected<void, Error> Connection::greet(std::string_view program) {
  control::Request hello;
  hello.mutable_hello()->set_protocol(proto::kControlProtocol);
  hello.mutable_hello()->set_program(std::string(program));
  auto reply = request(hello);
  if (!reply) return tl::unexpected(reply.error());
  if (!reply->has_welcome()) return tl::unexpected(broken(EPROTO));
  welcome_ = std::move(*reply->mutable_welcome());
  return {};
}

tl::expected<Connection, Error> connect(const BusPath& bus, std::string_view program,
                                        std::chrono::milliseconds patience) {
  tl::expected<void, Error> greeted;
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto socket = connect_unix(bus.socket, static_cast<int>(patience.count()));
    if (!socket) return tl::unexpected(cannot_connect(bus.socket, socket.error()));
    if (const auto checked = check_peer(socket->get(), bus.socket); !checked)
      return tl::unexpected(checked.error());
    Connection connection(std::move(*socket), bus.socket);
    greeted = connection.greet(program);
    if (greeted) return connection;
    if (greeted.error().code != kLeftBeforeHello) break;
  }
  return tl::unexpected(greeted.error());
}

}  // namespace vmbus::client
