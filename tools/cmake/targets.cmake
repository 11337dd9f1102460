# Helpers that every folder's CMakeLists uses. All add our warnings and the preset's sanitizers.
#
#   vmbus_target(TARGET [NO_SANITIZE])       warnings, sanitizers, include root
#   vmbus_freestanding(TARGET)               -fno-exceptions -fno-rtti ...: code that also lives in the shim
#   vmbus_test(NAME LABEL unit SOURCES a_test.cc LIBS vmbus::ringbuf [ENV A=B])
#                                            a GoogleTest program; each case is one ctest entry, labelled
#   vmbus_fuzzer(NAME SOURCES fuzz_x.cc LIBS vmbus::ringbuf CORPUS dir)
#                                            a test (label fuzz) that replays CORPUS; with VMBUS_FUZZ a libFuzzer
#                                            program, whose test then goes on for VMBUS_FUZZ_SECONDS

function(vmbus_target target)
  cmake_parse_arguments(arg "NO_SANITIZE" "" "" ${ARGN})
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:vmbus_warnings>)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  if(VMBUS_SANITIZE AND NOT arg_NO_SANITIZE)
    target_compile_options(${target} PRIVATE ${VMBUS_SANITIZE_FLAGS})
    target_link_options(${target} PUBLIC ${VMBUS_SANITIZE_FLAGS})
  endif()
  if(VMBUS_FUZZ AND NOT arg_NO_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link,address,undefined)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()

function(vmbus_freestanding target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti -fno-threadsafe-statics>)
endfunction()

function(vmbus_test name)
  if(NOT VMBUS_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "LABEL" "SOURCES;LIBS;ENV" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  vmbus_target(${name})
  target_link_libraries(${name} PRIVATE ${arg_LIBS} GTest::gtest GTest::gtest_main)
  include(GoogleTest)
  set(properties LABELS ${arg_LABEL} TIMEOUT 300)
  if(arg_ENV)
    list(APPEND properties ENVIRONMENT "${arg_ENV}")
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES ${properties})
endfunction()

function(vmbus_fuzzer name)
  cmake_parse_arguments(arg "" "CORPUS" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  vmbus_target(${name})
  target_link_libraries(${name} PRIVATE ${arg_LIBS})
  if(VMBUS_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzzers ${name})
    # New inputs go to the first folder, so that a run never adds to the corpus in the tree.
    set(found "${CMAKE_CURRENT_BINARY_DIR}/${name}_found")
    file(MAKE_DIRECTORY "${found}")
    add_test(NAME ${name}
             COMMAND ${name} -max_total_time=${VMBUS_FUZZ_SECONDS} -timeout=10 -artifact_prefix=${found}.
                     "${found}" ${arg_CORPUS})
  else()
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME ${name} COMMAND ${name} ${arg_CORPUS})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS fuzz)
endfunction()
