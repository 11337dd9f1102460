// BusDirectory: the daemon's place in the file system: it listens there, and leaves without
// stranding anybody.
//
// Claiming    Under the start lock (emu/client/bus_lock.h). Who starts us holds it and waits for
//             us.
// Leaving     A daemon nobody uses takes the lock, looks for a connection once more, removes the
//             socket, and goes. Who connects in between sees end of file before Welcome and
//             connects again, to nothing or to a new daemon.
#ifndef VMBUS_EMU_BUS_DIRECTORY_H_
#define VMBUS_EMU_BUS_DIRECTORY_H_

#include <sys/stat.h>

#include <string>
#include <tl/expected.hpp>

#include "emu/client/bus_path.h"
#include "emu/owned_fd.h"

namespace vmbus::emu {

class BusDirectory {
 public:
  enum class LockHolder { kUs, kStarter };

  // Makes or checks the directory, removes a dead socket, binds (0600), listens. Error: one line
  // for people.
  static tl::expected<BusDirectory, std::string> claim(client::BusPath bus, LockHolder holder);

  ~BusDirectory() { leave(); }
  BusDirectory(BusDirectory&&) = default;
  BusDirectory& operator=(BusDirectory&&) = delete;

  const client::BusPath& bus() const { return bus_; }
  int listener() const { return listener_.get(); }

  // True: the socket is gone, nobody waits, the daemon may end. False: somebody is just coming.
  bool leave_if_unused();
  // Removes the socket, whoever may be connected: for an orderly stop. Harmless when repeated.
  // Either way, a private bus goes with its directory.
  void leave();

 private:
  BusDirectory(client::BusPath bus, OwnedFd listener, const struct stat& socket)
      : bus_(std::move(bus)), listener_(std::move(listener)), socket_(socket) {}
  void remove_socket() const;

  client::BusPath bus_;
  OwnedFd listener_;    // empty once we have left
  struct stat socket_;  // the file we bound, so that nobody else's is removed
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_BUS_DIRECTORY_H_
