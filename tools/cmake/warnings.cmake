# vmbus_warnings: warnings for our own targets; PRIVATE, so they never leak to users of the package.
add_library(vmbus_warnings INTERFACE)
target_compile_options(vmbus_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow
  $<$<COMPILE_LANGUAGE:CXX>:-Wconversion -Wold-style-cast -Wswitch-enum -Wnon-virtual-dtor>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:Clang>>:-Wthread-safety>)
if(VMBUS_WERROR)
  target_compile_options(vmbus_warnings INTERFACE -Werror)
endif()
