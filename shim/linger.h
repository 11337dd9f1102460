// A close that waits until what was sent has left the socket: SO_LINGER, where row `linger` has it
// (virtio since Linux 6.16). As there, a signal ends the wait, and close gives 0 all the same.
//
//   const Linger linger = Linger::before_close(fd);
//   ...the close...
//   linger.wait();
//
// Lock        none is held while it waits.
// Left out    dup2 and close_range over a socket, fclose, exec: they do not wait. (Nor does exit, on Linux
//             either.)
#ifndef VMBUS_SHIM_LINGER_H_
#define VMBUS_SHIM_LINGER_H_

namespace vmbus::shim {

class Linger {
 public:
  // Asks the daemon whether there will be something to wait for. Costs a foreign descriptor nothing.
  static Linger before_close(int fd);
  void wait() const;

 private:
  int line_ = -1;  // to the daemon, which hangs up; -1: no wait
  unsigned limit_s_ = 0;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_LINGER_H_
