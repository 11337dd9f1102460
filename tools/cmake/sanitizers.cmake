# VMBUS_SANITIZE ("address;undefined", "thread"): applied to everything we build but the shim's shared library,
# which is loaded into programs that have no sanitizer runtime (docs/testing.md).
if(VMBUS_SANITIZE)
  list(JOIN VMBUS_SANITIZE "," VMBUS_SANITIZE_LIST)
  set(VMBUS_SANITIZE_FLAGS -fsanitize=${VMBUS_SANITIZE_LIST} -fno-omit-frame-pointer)
  if("undefined" IN_LIST VMBUS_SANITIZE)
    # The vptr check probes memory through a pipe that it opens for each class it meets, and calls a
    # sound object broken where the descriptor table is full, which is what some tests are about.
    list(APPEND VMBUS_SANITIZE_FLAGS -fno-sanitize-recover=undefined -fno-sanitize=vptr)
  endif()
endif()
