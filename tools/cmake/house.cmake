# Targets for people: format, tidy, check and bench (docs/CONTRIBUTING.md says what each is for).
add_custom_target(format
  COMMAND "${PROJECT_SOURCE_DIR}/tools/dev/check_format" --fix
  COMMENT "clang-format over the whole tree" VERBATIM)

# The compile database is this build's own; .ci/run uses the one of preset clang.
add_custom_target(tidy
  COMMAND "${PROJECT_SOURCE_DIR}/tools/dev/tidy" --build "${PROJECT_BINARY_DIR}"
  COMMENT "clang-tidy over our own sources" USES_TERMINAL VERBATIM)

add_custom_target(check
  COMMAND "${PROJECT_SOURCE_DIR}/tools/dev/check"
  COMMENT "every check that needs no compiler" USES_TERMINAL VERBATIM)

# Everything that vmbus_fuzzer() made; all that preset fuzz builds.
if(VMBUS_FUZZ)
  add_custom_target(fuzzers)
endif()

# vmbus_bench(TARGET): `bench` builds and runs it, one after the other.
add_custom_target(bench)
function(vmbus_bench target)
  add_custom_target(bench_${target} COMMAND ${target} COMMENT "${target}" USES_TERMINAL VERBATIM)
  add_dependencies(bench bench_${target})
endfunction()
