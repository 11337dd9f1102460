// Starting vmbusd from a program's first socket() (docs/architecture.md, "Starting and leaving").
#ifndef VMBUS_SHIM_DAEMON_START_H_
#define VMBUS_SHIM_DAEMON_START_H_

namespace vmbus::shim {

// Connects to the bus at `path`, starting a daemon there if none answers. Two programs that do this
// at once agree by a lock on `<path>.lock`. Returns a connected descriptor or -errno; after a
// failure to start, no second try within a second. REQUIRES: the lock (fork.h) is held.
long connect_or_start(const char* path);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_DAEMON_START_H_
