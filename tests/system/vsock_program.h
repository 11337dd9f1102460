/* What the small C programs of these tests share. */
#ifndef VMBUS_TESTS_SYSTEM_VSOCK_PROGRAM_H_
#define VMBUS_TESTS_SYSTEM_VSOCK_PROGRAM_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Needs sys/socket.h before it. */
#include <linux/vm_sockets.h>

static inline void give_up(const char* what) {
  perror(what);
  exit(2);
}

static inline struct sockaddr_vm address_of(unsigned cid, const char* port) {
  struct sockaddr_vm address;
  memset(&address, 0, sizeof address);
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = (unsigned)atoi(port);
  return address;
}

#endif /* VMBUS_TESTS_SYSTEM_VSOCK_PROGRAM_H_ */
