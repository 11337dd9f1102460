#include "tests/schedule/lane_world.h"

#include <linux/futex.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "emu/hvsocket/endpoint_image.h"
#include "shim/asked_ends.h"
#include "shim/feeds.h"
#include "shim/fork.h"
#include "shim/real.h"

namespace vmbus::test {
namespace {

constexpr std::size_t kRingBytes =
    2 * proto::kPageBytes;  // the smallest: a control page, a page of data
constexpr std::uint32_t kMostClients = 8;
constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr int kNoTimerMs = 3'600'000;  // the loop's limit

std::string lane_word(std::size_t end, std::size_t word) {
  static constexpr std::array<const char*, 32> kNames{"in_gate",
                                                      "in_gate+4",
                                                      "position",
                                                      "position+4",
                                                      "in_flags",
                                                      "in_turns",
                                                      "in_error",
                                                      "sleepers",
                                                      "bytes_in",
                                                      "bytes_in+4",
                                                      "shown",
                                                      "fed",
                                                      "",
                                                      "",
                                                      "",
                                                      "",
                                                      "out_gate",
                                                      "out_gate+4",
                                                      "carrier_sends",
                                                      "carrier_sends+4",
                                                      "raw",
                                                      "out_sleepers",
                                                      "out_error",
                                                      "cpu",
                                                      "bytes_out",
                                                      "bytes_out+4",
                                                      "room_wanted",
                                                      "",
                                                      "",
                                                      "",
                                                      "",
                                                      ""};
  return "lane " + std::to_string(end) + " " + kNames[word];
}

std::string control_word(std::size_t writer, std::size_t word) {
  static constexpr std::array<const char*, 4> kNames{"write_index", "read_index", "interrupt_mask",
                                                     "pending_send_size"};
  return "ring of " + std::to_string(writer) + " " +
         (word < kNames.size() ? kNames[word] : "feature_bits");
}

bool never_blocks(long number, const long (&arguments)[6]) {
  const long flags = number == SYS_recvmsg || number == SYS_sendmsg ? arguments[2] : arguments[3];
  return number == SYS_ioctl || (flags & MSG_DONTWAIT) != 0;
}

}  // namespace

LaneWorld* LaneWorld::current_ = nullptr;

LaneWorld::LaneWorld(const LaneOptions& options)
    : options_(options),
      scheduler_(places_),
      undertaker_(options.feeds ? emu::Undertaker::start() : emu::Undertaker()) {
  current_ = this;
  int pair[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
  bell_ = {emu::OwnedFd(pair[0]), emu::OwnedFd(pair[1])};
  bus_.sockets().loop().watch(pair[1], EPOLLIN, [this](std::uint32_t) { answer_bell(); });
  bus_.sockets().set_is_client([](std::uint32_t client) { return client <= kMostClients; });
  bus_.sockets().set_undertaker(undertaker_);
  bus_.settle();
  shim::t_polls = options.polls;  // the fibers are one thread
  ring::g_schedule_hooks = this;
}

LaneWorld::~LaneWorld() {
  ring::g_schedule_hooks = nullptr;
  current_ = nullptr;
}

// ---- one run ------------------------------------------------------------------------------------

void LaneWorld::make_end(std::size_t end) {
  emu::SocketSpec spec;
  spec.type = SOCK_STREAM;
  spec.partition = "guest";
  spec.program = "test";
  spec.works_rings = true;
  emu::Profile profile;
  EXPECT_EQ(proto::apply_settings(options_.quirks, &profile.quirks).kind,
            proto::SettingFault::Kind::kNone);
  spec.profile = std::make_shared<const emu::Profile>(profile);
  auto born = bus_.sockets().create(spec);
  EXPECT_TRUE(born.has_value());
  bus_.sockets().assign_guest(*born->socket, bus_.guest());
  ends_[end] = {.a = std::move(born->a), .cookie = born->socket->cookie};
  rings_->sockets[end] = born->socket->cookie;
}

void LaneWorld::connect() {
  rings_ = emu::LoopbackRings::in(bus_.guest().bus().memory(), kRingBytes);
  for (const ring::RingPages& ring :
       {rings_->rings().guest_to_host, rings_->rings().host_to_guest}) {
    std::memset(ring.data.data(), 0, ring.data.size());
  }
  for (const std::size_t end : {0U, 1U}) make_end(end);
  for (const std::size_t end : {0U, 1U}) {
    bus_.sockets().connected(*socket(end), emu::Stream::on_loopback(rings_, end),
                             {emu::vsock(1, 1000), emu::vsock(1, 2000)});
  }
  bus_.settle();
  if (!options_.is_fresh) let_watches_end();
  for (const std::size_t end : {0U, 1U}) {
    ends_[end].image = emu::endpoint_image(*socket(end), bus_.sockets().guests());
    ends_[end].lane = &rings_->memory().lanes().lane(ends_[end].image.lane);
  }
  add_places();
  if (options_.feeds) make_feed();
  io_changes_ = 0;
  spin_now_ns_.fill(0);
  scheduler_.spawn("daemon", Role::kService, [this] { run_daemon(); });
}

void LaneWorld::let_watches_end() {
  now_ns_ += 2 * kNsPerMs;
  bus_.settle();
  for (const std::size_t end : {0U, 1U}) EXPECT_FALSE(socket(end)->lane->is_watched());
}

// As a program that has rung often enough asks for it.
void LaneWorld::make_feed() {
  End& end = ends_[0];
  EXPECT_EQ(shim::prepare_process(), 0);
  EXPECT_EQ(shim::fd_table().reserve(), 0);
  end.entry = {.generation = end.image.lane_generation, .flags = shim::kFdCarrier};
  EXPECT_TRUE(shim::fd_table().set(end.a.get(), end.entry));
  const shim::FeedKey key = shim::feed_key(0, end.image.lane, end.image.lane_generation);
  shim::is_feed_due(key);
  shim::ask_for_feed(end.a.get(), end.entry, key);
  const shim::FeedUse feed(key);
  EXPECT_TRUE(feed);
  descriptors_[feed.fd()] = descriptors_.at(fd(1));
}

void LaneWorld::drop_feed() {
  End& end = ends_[0];
  if (!end.a || !end.entry.is_ours()) return;
  shim::fd_table().clear(end.a.get());
  shim::end_feed_of(end.entry);
}

int LaneWorld::give_feed(int* b, std::uint32_t* generation) {
  auto feed = bus_.sockets().feed(*socket(0));
  if (!feed) return feed.error();
  *b = feed->b.release();
  *generation = feed->generation;
  return 0;
}

void LaneWorld::add_places() {
  places_.clear();
  descriptors_.clear();
  const std::array<ring::RingPages, 2> rings{rings_->rings().guest_to_host,
                                             rings_->rings().host_to_guest};
  for (const std::size_t end : {0U, 1U}) {
    places_.add(ends_[end].lane, sizeof(proto::Lane) / 4,
                [end](std::size_t word) { return lane_word(end, word); });
    places_.add(rings[end].control, 32,
                [end](std::size_t word) { return control_word(end, word); });
    places_.add(rings[end].data.data(), proto::kPageBytes / 4, [end](std::size_t word) {
      return "ring of " + std::to_string(end) + " data " + std::to_string(4 * word);
    });
  }
  const std::uint32_t word = ends_[0].image.lane / 64;
  auto* bells = reinterpret_cast<std::uint64_t*>(rings_->memory().lanes().bells());
  places_.add(bells + word, 2, [](std::size_t) { return "bells, signal"; });
  places_.add(bells + proto::kLanes / 64 + word, 2, [](std::size_t) { return "bells, look"; });
  for (const std::size_t end : {0U, 1U}) {
    const Place carrier = places_.add("carrier of " + std::to_string(end));
    descriptors_[fd(end)] = carrier;
    descriptors_[socket(end)->b.get()] = carrier;
  }
  bell_place_ = places_.add("line to the daemon");
  for (const emu::OwnedFd& line : bell_) descriptors_[line.get()] = bell_place_;
  request_place_ = places_.add("answer of the daemon");
}

std::string LaneWorld::disconnect() {
  std::string left;
  for (const std::size_t end : {0U, 1U}) left += check_end(end);
  left += check_memory();
  const std::uint64_t faults = bus_.counters().value(emu::Counter::kRingFaults);
  if (faults != 0) left += " ring faults: " + std::to_string(faults) + ";";
  descriptors_.clear();
  drop_feed();
  for (End& end : ends_) end.a.reset();
  // Whatever waits for its time is let go.
  for (int turn = 0; turn < 3; ++turn) {
    now_ns_ += 60'000 * kNsPerMs;
    bus_.settle();
  }
  if (bus_.open_sockets() != 0) left += " sockets stay open;";
  rings_.reset();
  return left;
}

std::string LaneWorld::check_end(std::size_t end) {
  const std::string name = " end " + std::to_string(end) + ": ";
  std::string left;
  const End& mine = ends_[end];
  char byte = 0;
  if (mine.a && ::recv(mine.a.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0) {
    left += name + "bytes in the carrier;";
  }
  const emu::Socket* state = socket(end);
  if (state == nullptr) return left;
  // Once its end is sent, a plug takes the place of what could be sent.
  if ((emu::queued_at_b(state->b.get()) > 0 && !state->b_ended) || !state->inbox.empty() ||
      !state->outbox.empty()) {
    left += name + "bytes with the daemon;";
  }
  const bool has_lane = state->lane != nullptr;
  const std::uint64_t received = state->bytes_received + (has_lane ? state->lane->bytes_in() : 0);
  const std::uint64_t sent = state->bytes_sent + (has_lane ? state->lane->bytes_out() : 0);
  if (received != mine.received || sent != mine.sent) {
    left += name + "the daemon counts " + std::to_string(received) + " received, " +
            std::to_string(sent) + " sent; the programs " + std::to_string(mine.received) +
            " and " + std::to_string(mine.sent) + ";";
  }
  if (has_lane && state->lane->is_watched()) left += name + "watched;";
  if (has_lane &&
      proto::CarrierSends(mine.lane->carrier_sends, mine.image.lane_generation).keeps()) {
    left += name + "the daemon keeps bytes back;";
  }
  return left;
}

std::string LaneWorld::check_memory() const {
  std::string left;
  for (const std::byte* control :
       {rings_->rings().guest_to_host.control, rings_->rings().host_to_guest.control}) {
    const auto* page = reinterpret_cast<const ring::ControlPage*>(control);
    if (page->write_index != page->read_index) left += " bytes in a ring;";
  }
  for (const End& end : ends_) {
    for (const std::uint64_t gate : {end.lane->in_gate, end.lane->out_gate}) {
      const auto owner = static_cast<std::uint32_t>(gate);
      if (owner != proto::kGateFree && owner != proto::kGateClosed) left += " a gate is held;";
    }
    if (end.lane->in_error != 0 || end.lane->out_error != 0) left += " a program reports an error;";
  }
  const auto* bells = reinterpret_cast<const std::uint64_t*>(rings_->memory().lanes().bells());
  const std::uint32_t word = ends_[0].image.lane / 64;
  if ((bells[word] | bells[proto::kLanes / 64 + word]) != 0) left += " a bell is unanswered;";
  return left;
}

// ---- the daemon ---------------------------------------------------------------------------------

void LaneWorld::run_daemon() {
  while (scheduler_.is_running())
    bus_.sockets().loop().run_once(std::chrono::milliseconds(kNoTimerMs));
}

// As control_server.cc does it.
void LaneWorld::answer_bell() {
  char what = 0;
  while (::recv(bell_[1].get(), &what, 1, 0) == 1) {
    if (what == 'r') {
      bus_.sockets().answer_bells();
      continue;
    }
    const Request request = std::move(requests_.front());
    requests_.pop_front();
    request.what();
    *request.is_done = true;
    scheduler_.step(request_place_, true, "answers");
  }
}

int LaneWorld::wait_for_events(int epoll, void* events, int most, int timeout_ms) {
  const auto look = [&] {
    return ::epoll_pwait(epoll, static_cast<epoll_event*>(events), most, 0, nullptr);
  };
  if (!scheduler_.is_running()) return look();
  scheduler_.step(bell_place_, false, "looks at");
  for (const auto& [fd, place] : descriptors_) scheduler_.note(place, false);
  if (const int count = look(); count != 0 || timeout_ms == 0) return count;
  switch (scheduler_.wait_for(is_ready(epoll, POLLIN), timeout_ms < kNoTimerMs)) {
    case Woken::kByTimer:
      now_ns_ += timeout_ms * kNsPerMs;
      return 0;
    case Woken::kAtEnd:
      return 0;
    case Woken::kYes:
      break;
  }
  for (const auto& [fd, place] : descriptors_) scheduler_.note(place, false);
  return look();
}

// ---- programs -----------------------------------------------------------------------------------

shim::DirectEnd LaneWorld::direct(std::size_t end, std::uint32_t client) const {
  const emu::GuestMemory& memory = rings_->memory();
  const shim::MappedMemory mapped{memory.lanes().bells() - memory.page_count() * proto::kPageBytes,
                                  memory.page_count() * proto::kPageBytes};
  return shim::DirectEnd::over(mapped, ends_[end].image, {fd(end), ends_[end].entry, client});
}

void LaneWorld::request(const std::function<void()>& what) {
  bool is_done = false;
  scheduler_.step(bell_place_, true, "asks through");
  requests_.push_back({what, &is_done});
  ++io_changes_;
  ::send(bell_[0].get(), "q", 1, MSG_NOSIGNAL);
  scheduler_.wait_for([&is_done] { return is_done; }, false);
  scheduler_.note(request_place_, false);
}

void LaneWorld::ring_daemon() {
  scheduler_.step(bell_place_, true, "rings");
  ++io_changes_;
  ::send(bell_[0].get(), "r", 1, MSG_NOSIGNAL);
}

void LaneWorld::shutdown(std::size_t end, int how) {
  request([&] { EXPECT_EQ(bus_.requests().shutdown(*socket(end), fd(end), how), 0); });
}

void LaneWorld::close(std::size_t end) {
  if (end == 0) drop_feed();
  ends_[end].a.reset();
}

void LaneWorld::poll_in(std::size_t end) {
  step_descriptor(fd(end), false, "polls");
  scheduler_.wait_for(is_ready(fd(end), POLLIN), false);
  scheduler_.note(descriptors_.at(fd(end)), false);
}

// Asks the kernel again only when somebody has done something that it could see.
std::function<bool()> LaneWorld::is_ready(int fd, short events) {
  return [this, fd, events, seen = ~std::uint64_t{0}, last = false]() mutable {
    if (std::exchange(seen, io_changes_) == io_changes_) return last;
    pollfd entry{fd, events, 0};
    const timespec at_once{};
    last = ::ppoll(&entry, 1, &at_once, nullptr) > 0;
    return last;
  };
}

// ---- steps --------------------------------------------------------------------------------------

void LaneWorld::on_access(const void* word, bool changes) {
  if (!scheduler_.is_running()) return;
  const Place place = places_.find(word);
  if (place != kNoPlace) scheduler_.step(place, changes);
}

bool LaneWorld::step_descriptor(int fd, bool changes, const char* what) {
  if (!scheduler_.is_running()) return false;
  const auto found = descriptors_.find(fd);
  if (found == descriptors_.end()) return false;
  scheduler_.step(found->second, changes, what);
  if (changes) ++io_changes_;
  return true;
}

long LaneWorld::wake(const void* word, long most) {
  const Place place = places_.find(word);
  scheduler_.step(place, true, "is about to wake at");
  return scheduler_.wake(place, most);
}

long LaneWorld::sleep_at(const void* word, std::uint32_t value) {
  const Place place = places_.find(word);
  scheduler_.step(place, false, "is about to sleep at");
  std::uint32_t seen = 0;
  std::memcpy(&seen, word, sizeof seen);
  if (seen != value) return -EAGAIN;
  const bool is_writer = word == &lane(0).out_sleepers || word == &lane(1).out_sleepers;
  const Woken woken = scheduler_.wait_at(place, is_writer && options_.writers_time_out);
  return woken == Woken::kByTimer ? -ETIMEDOUT : 0;
}

long LaneWorld::call_carrier(long number, const long (&arguments)[6]) {
  const auto fd = static_cast<int>(arguments[0]);
  const bool sends = number == SYS_sendmsg || number == SYS_sendto;
  long at_once[6];
  std::ranges::copy(arguments, at_once);
  if (number != SYS_ioctl)
    at_once[number == SYS_recvmsg || number == SYS_sendmsg ? 2 : 3] |= MSG_DONTWAIT;
  while (true) {
    const long result = shim::real::invoke(number, at_once[0], at_once[1], at_once[2], at_once[3],
                                           at_once[4], at_once[5]);
    if (result != -EAGAIN || never_blocks(number, arguments)) return result;
    scheduler_.wait_for(is_ready(fd, sends ? POLLOUT : POLLIN), false);
    scheduler_.note(descriptors_.at(fd), true);
    ++io_changes_;
  }
}

bool LaneWorld::on_call(long number, const long (&arguments)[6], long* result) {
  if (!scheduler_.is_running()) return false;
  const auto fd = static_cast<int>(arguments[0]);
  switch (number) {
    case SYS_futex_waitv: {
      const auto* waiter = reinterpret_cast<const futex_waitv*>(arguments[0]);
      *result = sleep_at(reinterpret_cast<const void*>(waiter->uaddr),
                         static_cast<std::uint32_t>(waiter->val));
      return true;
    }
    case SYS_futex: {
      const auto* word = reinterpret_cast<const void*>(arguments[0]);
      const bool wakes = (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAKE;
      *result = wakes ? wake(word, arguments[2])
                      : sleep_at(word, static_cast<std::uint32_t>(arguments[2]));
      return true;
    }
    case SYS_recvmsg:
    case SYS_recvfrom:
    case SYS_sendmsg:
    case SYS_sendto:
    case SYS_ioctl:
      if (!step_descriptor(fd, number != SYS_ioctl, number == SYS_ioctl ? "asks about" : "uses"))
        return false;
      *result = call_carrier(number, arguments);
      return true;
    default:
      return false;
  }
}

}  // namespace vmbus::test
