# What `cmake --install` puts where (prefix/...):
#
#   bin/vmbusd, bin/vmbus
#   lib/vmbus/libvmbus_shim.so     to be preloaded, never linked: so off the default search path
#   lib/vmbus/python/              AF_HYPERV for CPython on Linux
#   lib/                           the static libraries ringbuf and protocol
#   include/vmbus/                 their headers; hvsocket.h for programs written for other systems
#   lib/cmake/vmbus/               vmbusConfig.cmake: find_package(vmbus), targets vmbus::ringbuf, vmbus::protocol
#   lib/pkgconfig/vmbus.pc         the same for pkg-config
#
# `vmbus` finds lib/vmbus beside its own bin/, as the shim finds bin/vmbusd: so that folder has one name,
# whatever a distribution calls its lib. A build tree has the same layout.
include(CMakePackageConfigHelpers)

set(vmbus_include_dir "${CMAKE_INSTALL_INCLUDEDIR}/vmbus")
set(vmbus_shim_dir lib/vmbus)
set(vmbus_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/vmbus")

foreach(program IN ITEMS vmbusd vmbus)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  endif()
endforeach()

if(TARGET vmbus_shim)
  install(TARGETS vmbus_shim LIBRARY DESTINATION "${vmbus_shim_dir}")
endif()

foreach(library IN ITEMS ringbuf protocol)
  if(TARGET vmbus_${library})
    set_target_properties(vmbus_${library} PROPERTIES EXPORT_NAME ${library})
    target_include_directories(vmbus_${library} INTERFACE $<INSTALL_INTERFACE:${vmbus_include_dir}>)
    target_compile_features(vmbus_${library} PUBLIC cxx_std_20)
    install(TARGETS vmbus_${library} EXPORT vmbusTargets
            ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  endif()
endforeach()
foreach(folder IN ITEMS ringbuf emu/protocol)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}/" DESTINATION "${vmbus_include_dir}/${folder}"
          FILES_MATCHING PATTERN "*.h" PATTERN "*.inc")
endforeach()

if(EXISTS "${PROJECT_SOURCE_DIR}/tools/include")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/tools/include/" DESTINATION "${vmbus_include_dir}"
          FILES_MATCHING PATTERN "*.h")
endif()
if(EXISTS "${PROJECT_SOURCE_DIR}/tools/python")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/tools/python/" DESTINATION "${vmbus_shim_dir}/python"
          FILES_MATCHING PATTERN "*.py" PATTERN "tests" EXCLUDE PATTERN "__pycache__" EXCLUDE)
endif()

if(TARGET vmbus_ringbuf AND TARGET vmbus_protocol)
  install(EXPORT vmbusTargets NAMESPACE vmbus:: DESTINATION "${vmbus_cmake_dir}")
  configure_package_config_file(
    "${CMAKE_CURRENT_LIST_DIR}/vmbusConfig.cmake.in" "${PROJECT_BINARY_DIR}/vmbusConfig.cmake"
    INSTALL_DESTINATION "${vmbus_cmake_dir}" PATH_VARS vmbus_shim_dir)
  write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/vmbusConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  file(RELATIVE_PATH vmbus_pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  configure_file("${CMAKE_CURRENT_LIST_DIR}/vmbus.pc.in" "${PROJECT_BINARY_DIR}/vmbus.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/vmbusConfig.cmake" "${PROJECT_BINARY_DIR}/vmbusConfigVersion.cmake"
          DESTINATION "${vmbus_cmake_dir}")
  install(FILES "${PROJECT_BINARY_DIR}/vmbus.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endif()
