# VMBUS_SANITIZE ("address;undefined", "thread"): applied to everything we build but the shim's shared library,
# which is loaded into programs that have no sanitizer runtime (docs/testing.md).
if(VMBUS_SANITIZE)
  list(JOIN VMBUS_SANITIZE "," VMBUS_SANITIZE_LIST)
  set(VMBUS_SANITIZE_FLAGS -fsanitize=${VMBUS_SANITIZE_LIST} -fno-omit-frame-pointer)
  if("undefined" IN_LIST VMBUS_SANITIZE)
    list(APPEND VMBUS_SANITIZE_FLAGS -fno-sanitize-recover=undefined)
  endif()
endif()
