// SpareSockets: which clients get their next socket before they ask for it.
//
// A client that dials again and again makes each socket after the answer to the same kind of request, connect()
// mostly. So once it has done so a few times, the next one, its *spare*, comes with that answer (Reply.spare), and
// socket(), the next time, has nothing to wait for.
//
// Waste       One socket a client, while its habit lasts: a spare that was not wanted ends it.
// Threads     The loop thread.
#ifndef VMBUS_EMU_SPARE_SOCKETS_H_
#define VMBUS_EMU_SPARE_SOCKETS_H_

#include <cstdint>
#include <map>

#include "emu/control_connection.h"
#include "emu/protocol/protobuf/control.pb.h"

namespace vmbus::emu {

class SpareSockets {
 public:
  // So often in a row a socket was asked for after the same kind of request.
  static constexpr int kHabit = 3;

  // A request is about to be answered. The cookie of the client's spare, which its program has taken; 0: of none.
  std::uint64_t note(ClientId client, const control::Request& request);
  // What to send with the answer to the request that was noted last. Null: nothing.
  const control::CreateSocket* wanted(ClientId client) const;
  // It was made.
  void made(ClientId client, std::uint64_t cookie) { clients_[client].spare = cookie; }
  void forget(ClientId client) { clients_.erase(client); }

 private:
  using Kind = control::Request::BodyCase;
  struct Habit {
    control::CreateSocket call;  // the last one
    Kind last = Kind::BODY_NOT_SET;
    Kind before = Kind::BODY_NOT_SET;  // what came before the last calls
    int calls = 0;                     // in a row
    std::uint64_t spare = 0;           // the cookie of the one that is out
  };
  static void note_call(Habit& habit, const control::CreateSocket& call);

  std::map<ClientId, Habit> clients_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_SPARE_SOCKETS_H_
