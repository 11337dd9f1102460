#!/bin/sh
# package_test.sh BUILD SCRATCH NOVSOCK: installs BUILD, moves what was installed, and uses it from there:
# nothing in it may depend on where it was built or first installed.
set -eu

build=$1
scratch=$2
novsock=$3
shim=$scratch/prefix/lib/vmbus/libvmbus_shim.so
source=$(cd "$(dirname "$0")/consumer" && pwd)

fail() {
  echo "package_test: $*" >&2
  exit 1
}

install_and_move() {
  rm -rf "$scratch"
  mkdir -p "$scratch"
  cmake --install "$build" --prefix "$scratch/first" >"$scratch/install.log"
  mv "$scratch/first" "$scratch/prefix"
}

check_files() {
  for file in bin/vmbusd bin/vmbus lib/vmbus/libvmbus_shim.so lib/vmbus/python/site/sitecustomize.py \
    include/vmbus/ringbuf/layout.h include/vmbus/emu/protocol/guid.h; do
    [ -f "$scratch/prefix/$file" ] || fail "$file is not installed"
  done
}

expect_greeting() {
  "$@" >"$scratch/output" || fail "$1 failed"
  grep -qx 'port 1024 is 00000400-facb-11e6-bd58-64006a7986d3' "$scratch/output" ||
    fail "$1 printed: $(cat "$scratch/output")"
}

use_by_cmake() {
  cmake -S "$source" -B "$scratch/by_cmake" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" \
    >"$scratch/cmake.log"
  cmake --build "$scratch/by_cmake" >>"$scratch/cmake.log" || fail "$(cat "$scratch/cmake.log")"
  expect_greeting "$scratch/by_cmake/consumer"
  grep -qx "VMBUS_SHIM_LIBRARY:INTERNAL=$shim" "$scratch/by_cmake/CMakeCache.txt" ||
    fail "VMBUS_SHIM_LIBRARY does not name the shim"
}

use_by_pkg_config() {
  PKG_CONFIG_PATH=$(dirname "$(find "$scratch/prefix" -name vmbus.pc)")
  export PKG_CONFIG_PATH
  # The flags are several words.
  # shellcheck disable=SC2046
  c++ -std=c++20 -o "$scratch/by_pkg_config" "$source/consumer.cc" \
    $(pkg-config --cflags --libs vmbus)
  expect_greeting "$scratch/by_pkg_config"
  [ "$(pkg-config --variable=shim vmbus | xargs realpath)" = "$(realpath "$shim")" ] ||
    fail "pkg-config's variable shim does not name the shim"
}

# The command finds the daemon and the shim beside itself.
use_by_command() {
  unset VMBUS_SOCKET LD_PRELOAD
  status=0
  # The shell under test expands it.
  # shellcheck disable=SC2016
  "$novsock" "$scratch/prefix/bin/vmbus" run --private -- sh -c \
    'case "$LD_PRELOAD" in *libvmbus_shim.so*) exit 7 ;; esac' </dev/null || status=$?
  [ "$status" -eq 7 ] || fail "the installed vmbus run gave $status, want 7"
}

install_and_move
check_files
use_by_cmake
use_by_pkg_config
use_by_command
