// Sockets: every socket of the bus and the steps of its life: born, connecting, connected,
// accepted, ended, closed.
//
// HostService and GuestDriver decide what happens on the bus and tell it here; SocketRequests
// brings what programs ask; the event loop brings what their carriers show. This class writes the
// endpoint table, works the carriers, and runs the pump.
//
// Threads     The loop thread.
// Order       The endpoint table first, the carrier second: whoever wakes sees the new state.
// Lifetime    release() takes a socket out of every table at once; the object itself dies in
//             collect(), so that a caller up the stack may finish with it.
#ifndef VMBUS_EMU_HVSOCKET_SOCKETS_H_
#define VMBUS_EMU_HVSOCKET_SOCKETS_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <unordered_map>
#include <vector>

#include "emu/counters.h"
#include "emu/event_loop.h"
#include "emu/hvsocket/carrier_end.h"
#include "emu/hvsocket/close_watch.h"
#include "emu/hvsocket/endpoint_registry.h"
#include "emu/hvsocket/guest.h"
#include "emu/hvsocket/host_service.h"
#include "emu/hvsocket/names.h"
#include "emu/hvsocket/socket.h"
#include "emu/hvsocket/unix_diag.h"
#include "emu/pump.h"
#include "emu/undertaker.h"

namespace vmbus::emu {

// What a new socket is, before it has a carrier.
struct SocketSpec {
  proto::AddressKind kind = proto::AddressKind::kVsock;
  std::uint8_t type = 0;
  std::string partition = "auto";
  SharedProfile profile;
  std::uint32_t protocol = 0;
  std::uint32_t pid = 0;
  std::string program;
  bool works_rings = false;
  bool is_spare = false;
};

// Long enough that a connection in use does not pay for it, short enough that one at rest costs little.
inline constexpr std::chrono::milliseconds kRingRest{2000};

// Carriers that are made before they are needed: a connection takes one or two.
inline constexpr std::size_t kReadyCarriers = 2;

class Sockets {
 public:
  Sockets(EventLoop& loop, EndpointRegistry registry, Counters& counters, MessageLog& log);
  ~Sockets();
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  GuestList& guests() { return guests_; }
  const GuestList& guests() const { return guests_; }
  HostService& host() { return host_; }
  EndpointRegistry& registry() { return registry_; }
  const EndpointRegistry& registry() const { return registry_; }
  const Plug& plug() const { return plug_; }
  EventLoop& loop() { return loop_; }
  const std::unordered_map<std::uint64_t, std::unique_ptr<Socket>>& all() const { return sockets_; }

  struct Born {
    Socket* socket;
    OwnedFd a;
  };
  // A fresh socket and its end A; the caller settles where it belongs and publishes it. Error: ENFILE
  // (entries or descriptors are used up), ENOMEM.
  tl::expected<Born, int> create(const SocketSpec& spec);
  Socket* find(std::uint64_t cookie) const;
  // Somebody has taken it. Until then it is in no number and no list.
  void take_spare(Socket& socket);

  // ---- the life of a connection
  // The attempt succeeded: names, state, readiness.
  void connected(Socket& socket, std::unique_ptr<Stream> stream, const NamePair& names);
  // The attempt failed: so_error, and the socket may connect again.
  void connect_failed(Socket& socket, int error);
  // Arms the attempt's time limit.
  void start_timer(Socket& socket, std::chrono::microseconds limit);
  // Gives the attempt up without an error (signal, close, before a new state).
  void cancel_attempt(Socket& socket);

  static bool has_room(const Socket& listener);
  // Puts a connection into the listener's waiting queue. Ticket 0: too many wait already.
  QueuePlace wait_for_room(const Socket& listener, WaitingPeer peer);
  // Takes it out again, if it is still there.
  void leave_queue(QueuePlace& place);
  // A connection for `listener`: makes the accepted socket and queues it. Null: no descriptor or
  // entry to be had.
  Socket* accept(const Socket& listener, std::unique_ptr<Stream> stream, const NamePair& names);
  // The peer closed or the channel was withdrawn: send fails now, end of file follows the queued
  // bytes.
  void peer_closed(Socket& socket);
  // The ring memory goes away now: rescues what is unread. `reset`: calls then say ECONNRESET.
  void detach(Socket& socket, bool reset);
  // The device under a guest's end was reset: as detach(), and SO_ERROR tells it once.
  void reset_guest_end(Socket& guest_end);
  // The other end of the connection, while both have it.
  Socket* peer_of(const Socket& socket);
  // Between the two, bytes below the low-water mark are not held back.
  void begin_receive(Socket& socket);
  static void end_receive(Socket& socket);
  // Both ends of a new connection, or of one whose option changed, learn the other's buffer size.
  void share_buffer_size(Socket& socket);
  // The socket reads no more, and its rules let the peer know.
  void tell_of_shut_read(const Socket& socket);
  // Joins two sockets of one partition, over rings in its memory, or waits for room in the
  // listener's queue. REQUIRES: the dialer is connecting; its `peer` is the address it dials.
  void connect_loopback(Socket& dialer, Socket& listener);

  // ---- bookkeeping
  void publish(const Socket& socket);
  void queue(Socket& socket);         // a turn of the pump, soon
  void count_signal(Socket& socket);  // the peer signalled: a turn, and the statistic
  void assign_guest(Socket& socket, Guest& guest);
  void assign_host(Socket& socket);
  void hold_name(Socket& socket);  // in its partition's name table
  void release_name(Socket& socket);
  void fail_waiting(Socket& listener);
  // The guest is withdrawn: its connects fail and its listeners end, both with ENODEV.
  void end_guest(const Guest& guest);

  // ---- what happens to a guest from outside (standstill.cc)
  // Its processors stop: what its programs send, and what is sent to them, stays where it is, and the
  // bus brings it nothing. Connections that do not survive that end here. REQUIRES: !guest.paused.
  void pause_guest(Guest& guest);
  // REQUIRES: guest.paused. The caller goes on with guest.held_dials.
  void resume_guest(Guest& guest);
  // It goes on elsewhere: its old host keeps no connection that does not survive that.
  void migrate_guest(Guest& guest);
  // Its socket device is reset, and every connection with it.
  void reset_device(Guest& guest);
  // Is the socket in a guest that is paused?
  static bool stands_still(const Socket& socket);
  // Is a socket open anywhere, or not yet done? One that is closed in a paused guest, or behind it,
  // never will be.
  bool any_in_use() const;

  // False: its last close had happened, unnoticed so far, and has been dealt with now. Whoever is
  // about to refuse a name, or to connect to a listener, asks: a close is over when close() returns.
  bool is_alive(Socket& socket);
  // What `find` finds once the dead are dealt with; it is asked again after each of them.
  template <typename Find>
  Socket* first_alive(Find find) {
    while (Socket* found = find()) {
      if (was_alive(*found)) return found;
    }
    return nullptr;
  }
  // While a request is answered: who was open when it came need not be looked at again.
  class Answering {
   public:
    explicit Answering(Sockets& sockets) : sockets_(sockets) {
      sockets_.answering_ = ++sockets_.last_answer_;
    }
    ~Answering() { sockets_.answering_ = 0; }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;

   private:
    Sockets& sockets_;
  };

  // A program is about to close the socket, and would wait until all is sent: its end of the line.
  // None: there is nothing to wait for.
  OwnedFd linger(Socket& socket);

  // Runs the buses until they are quiet; no pump. A request handler calls it to learn what its
  // connect came to.
  void settle_buses();
  // One round of everything that waits. False: nothing is left to do.
  bool settle();

  // ---- feeds: programs that wake their peer themselves (feeding.cc)
  struct Feed {
    OwnedFd b;
    std::uint32_t generation;  // of the gates of `b`'s end
  };
  // Of the peer's end, for a program that has `socket`. Error: ENOTSUP, ENFILE.
  tl::expected<Feed, int> feed(Socket& socket);
  // Without one there are no feeds. REQUIRES: it outlives this.
  void set_undertaker(Undertaker& undertaker) { undertaker_ = &undertaker; }

  // ---- lanes: programs that work the rings themselves (lane_turns.cc)
  void set_is_client(IsClient is_client) { is_client_ = std::move(is_client); }
  // A client has set bells.
  void answer_bells();
  // Shuts programs out of the rings. False: one of them is at it, unless `forced`.
  bool close_lane(Socket& socket, bool forced);
  // The ring is full, says the program that holds `a`: it shows no OUT until there is room.
  void wait_for_room(Socket& socket, int a);
  // A client that may work rings has gone.
  void client_gone();

  // A ring that nothing moves in gives its free pages back after this long, and half as much again at
  // the most (idle_rings.cc).
  void set_ring_rest(std::chrono::milliseconds rest);

  // Called when the number of sockets may have fallen to zero.
  void set_on_idle(std::function<void()> on_idle) { on_idle_ = std::move(on_idle); }

 private:
  tl::expected<CarrierPair, int> new_carrier(int type) const;
  tl::expected<CarrierPair, int> take_carrier(int type);
  void make_carriers_ready();
  void on_carrier_event(std::uint64_t cookie, std::uint32_t events);
  // REQUIRES: its B shows HUP. True: it was closed, and that has been dealt with now.
  bool ends_if_closed(Socket& socket);
  bool was_alive(Socket& socket);  // as is_alive(), or as it was for this request
  static int hand_over(const Socket& listener, int accepted);
  ino_t inode_of(Socket& socket) const;
  void on_time_limit(std::uint64_t cookie);
  void abandon_attempt(Socket& socket);
  void on_last_close(Socket& socket);
  void give_closing_turns_later();
  bool keeps_port(const Socket& socket) const;
  void release_port_later(const Socket& socket);
  void reset_host_end(const Socket& guest_end);
  void run_pump(Socket& socket);
  void stand_still(Socket& socket);
  void on_line_event(std::uint64_t cookie, int line, std::uint32_t events);
  void hang_up_if_sent(Socket& socket);
  void hang_up(Socket& socket);
  static bool takes_plain_bytes(const Socket& socket);
  bool may_be_fed(const Socket& socket) const;
  void watch_for_room(Socket& socket);
  static bool is_left_to_reader(const Socket& socket);
  PumpResult turn_out(Socket& socket);
  PumpResult turn_in(Socket& socket);
  void open_lane(Socket& socket);
  bool close_lane_in_time(Socket& socket);
  void answer_bells_of(GuestMemory& memory);
  bool lift_plug(Socket& socket);
  void end_plug(Socket& socket);
  void wait_for_reader(Socket& socket);
  void watch_lane(const Socket& socket);
  void look_at_watched();
  void watch_ring(Socket& socket);
  void look_at_rings();
  void look_at_rings_in(std::chrono::milliseconds delay);
  bool give_pages_back(Socket& socket, std::uint64_t mark);
  void settle_credit(Socket& socket);
  void wait_for_credit(Socket& socket);
  void show_held_bytes(Socket& socket);
  void signal_peer(Socket& socket);
  void end_of_stream(Socket& socket);
  void finish_stream(Socket& socket);
  void serve_listener(Socket& listener);
  std::shared_ptr<LoopbackRings> loopback_rings(const Socket& listener);
  void answer(const WaitingPeer& peer, Socket* listener);
  void end_attempt(Socket& socket, proto::EndpointState state, int error);
  void release(Socket& socket);
  void collect();

  EventLoop& loop_;
  EndpointRegistry registry_;
  Counters& counters_;
  Plug plug_;
  CloseWatch close_watch_;
  std::vector<CarrierPair> ready_carriers_;  // of streams
  UnixDiag diag_;
  HostService host_;
  std::unique_ptr<GuestMemory> host_memory_;  // made with the first loopback connection of the host
  GuestList guests_;
  // By cookie. Below the memories above, which the streams of these sockets give their rings back to.
  std::unordered_map<std::uint64_t, std::unique_ptr<Socket>> sockets_;
  std::vector<std::unique_ptr<Socket>> released_;
  std::deque<std::uint64_t> run_queue_;
  std::uint64_t last_ticket_ = 0;
  std::uint64_t last_answer_ = 0;
  std::uint64_t answering_ = 0;  // 0: no request
  IsClient is_client_ = [](std::uint32_t) { return false; };
  std::uint32_t last_lane_generation_ = 0;
  std::vector<std::uint64_t> watched_;  // cookies; each with a lane that a program left warm
  std::vector<std::uint64_t> closing_;  // closed, and perhaps not done (endings.cc)
  std::vector<std::uint64_t>
      used_rings_;  // cookies; each reads a ring that may have pages to give back
  std::chrono::milliseconds ring_rest_ = kRingRest;
  TimerId ring_look_{};  // the next one; while there are any
  std::function<void()> on_idle_;
  Undertaker* undertaker_ = nullptr;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_SOCKETS_H_
