"""check_layers, check_sync_tags, check_atomics and check_words find what they are for."""

import unittest

import tree


def header(path, body=""):
    guard = "VMBUS_" + path.upper().replace("/", "_").replace(".", "_") + "_"
    return f"#ifndef {guard}\n#define {guard}\n{body}\n#endif\n"


class CheckLayers(tree.TreeTest):
    def assert_include(self, path, include, is_allowed):
        self.write(path, f"#include {include}\n")
        if is_allowed:
            self.assert_clean("check_layers")
        else:
            self.assert_finding("check_layers", f"{path}:1: ")
        (self.root / path).unlink()

    def test_arrows_point_one_way(self):
        for path, include, is_allowed in [
            ("ringbuf/a.cc", '"ringbuf/layout.h"', True),
            ("ringbuf/a.cc", '"emu/protocol/guid.h"', False),
            ("emu/protocol/a.cc", '"ringbuf/layout.h"', True),
            ("emu/protocol/a.cc", '"emu/counters.h"', False),
            ("emu/control/a.cc", '"emu/protocol/guid.h"', True),
            ("emu/client/a.cc", '"emu/server.h"', False),
            ("emu/a.cc", '"shim/real.h"', False),
            ("shim/a.cc", '"emu/protocol/guid.h"', True),
            ("shim/a.cc", '"emu/pump.h"', False),
            ("tools/vmbus/a.cc", '"tools/vmbus/table.h"', True),
            ("tools/vmbus/a.cc", '"tools/other/table.h"', False),
            ("tools/vmbus/a.cc", '"emu/counters.h"', True),
            ("tools/vmbus/a.cc", '"emu/server.h"', False),
            ("emu/a.cc", '"tools/vmbus/table.h"', False),
            ("emu/a.cc", '"tests/support/clock.h"', False),
            ("emu/a_test.cc", '"tests/support/clock.h"', True),
            ("tests/system/a.cc", '"shim/real.h"', True),
        ]:
            with self.subTest(path=path, include=include):
                self.assert_include(path, include, is_allowed)

    def test_libraries_stay_in_their_layers(self):
        for path, include, is_allowed in [
            ("emu/a.cc", "<fmt/core.h>", True),
            ("shim/a.cc", "<fmt/core.h>", False),
            ("shim/a.cc", "<pb_encode.h>", True),
            ("shim/a.cc", '"emu/protocol/protobuf/control.pb.h"', False),
            ("emu/protocol/a.cc", "<google/protobuf/message.h>", False),
            ("tools/vmbus/a.cc", "<liburing.h>", False),
            ("ringbuf/a.cc", "<gtest/gtest.h>", False),
            ("ringbuf/a_test.cc", "<gtest/gtest.h>", True),
        ]:
            with self.subTest(path=path, include=include):
                self.assert_include(path, include, is_allowed)

    def test_include_from_elsewhere_than_the_root(self):
        self.assert_include("emu/a.cc", '"server.h"', False)
        self.assert_include("emu/a.cc", '"emu/../shim/real.h"', False)

    def test_own_header_comes_first(self):
        self.write("emu/a.h", header("emu/a.h"))
        self.write("emu/b.h", header("emu/b.h"))
        self.write("emu/a.cc", '#include "emu/a.h"\n#include <vector>\n')
        self.assert_clean("check_layers")
        self.write("emu/a.cc", '#include "emu/b.h"\n#include "emu/a.h"\n')
        self.assert_finding("check_layers", 'emu/a.cc:1: the first include must be "emu/a.h"')

    def test_guard_is_the_path(self):
        self.write("emu/a.h", header("emu/b.h"))
        self.assert_finding("check_layers", "emu/a.h:1: the include guard must be VMBUS_EMU_A_H_")


class CheckSyncTags(tree.TreeTest):
    def setUp(self):
        super().setUp()
        self.write("ringbuf/a.cc", "// SYNC(ring.publish): a store\n")
        self.write("ringbuf/b.cc", "\n// SYNC(ring.publish): a load\n")
        self.write("docs/ring.md", "SYNC(ring.publish) is a pair.\n")

    def test_pair_with_description(self):
        self.assert_clean("check_sync_tags")

    def test_single_site_even_where_a_test_names_it(self):
        self.write("ringbuf/b.cc", "\n")
        self.write("ringbuf/b_test.cc", "// SYNC(ring.publish)\n")
        self.assert_finding("check_sync_tags", "ringbuf/a.cc:1: SYNC(ring.publish) has no second")

    def test_undescribed_pair(self):
        self.write("docs/ring.md", "Nothing.\n")
        self.assert_finding("check_sync_tags", "ringbuf/a.cc:1: SYNC(ring.publish) is not descr")

    def test_described_pair_that_is_gone(self):
        self.write("docs/ring.md", "SYNC(ring.publish)\nSYNC(ring.gone)\n")
        self.assert_finding("check_sync_tags", "docs/ring.md:2: SYNC(ring.gone)")


class CheckAtomics(tree.TreeTest):
    def test_the_one_door(self):
        self.write("ringbuf/shared_word.h", "std::atomic_ref<int> word(x);\n")
        self.assert_clean("check_atomics")
        self.write("shim/a.cc", "\nstd::atomic_ref<int> word(x);\n")
        self.assert_finding("check_atomics", "shim/a.cc:2: atomic_ref: shared memory")

    def test_volatile_in_code_but_not_in_words_or_assembly(self):
        self.write("shim/a.cc", '// volatile\nputs("volatile");\nasm volatile("syscall");\n')
        self.assert_clean("check_atomics")
        self.write("shim/a.cc", "/*\n volatile\n*/ volatile int x;\n")
        self.assert_finding("check_atomics", "shim/a.cc:3: volatile")

    def test_fences_even_behind_the_door(self):
        self.write("ringbuf/shared_word.h", "std::atomic_thread_fence(o);\n")
        self.assert_finding("check_atomics", "ringbuf/shared_word.h:1: atomic_thread_fence")

    def test_exception_needs_a_reason_and_a_use(self):
        self.write("shim/a.cc", "volatile int x;\n")
        self.write("tools/dev/exceptions.txt", "atomics shim/a.cc # a signal handler's flag\n")
        self.assert_clean("check_atomics")
        self.write("tools/dev/exceptions.txt", "atomics shim/a.cc\n")
        self.assert_finding("check_atomics", "tools/dev/exceptions.txt:1: want: rule path # reason")
        self.write("tools/dev/exceptions.txt", "atomics shim/b.cc # was needed once\n")
        self.assert_finding("check_atomics", "tools/dev/exceptions.txt:1: shim/b.cc needs no")


class CheckWords(tree.TreeTest):
    # The words are put together here, so that this file passes the check itself.
    def test_path_of_one_machine(self):
        self.write("README.md", "\nsee /" + "work/stuff\n")
        self.assert_finding("check_words", "README.md:2: path of one machine: /" + "work/s...")

    def test_paths_that_are_nobodys(self):
        self.write("README.md", "framework/stuff ./" + "work/x ${HOME}/" + "root/x\n")
        self.assert_clean("check_words")

    def test_words_about_the_making(self):
        self.write("emu/a.cc", "// written in an earlier ses" + "sion\n")
        self.assert_finding("check_words", "emu/a.cc:1: says how it was made")
        self.write("emu/a.cc", "// the user ses" + "sion's folder\n")
        self.assert_clean("check_words")

    def test_open_ends(self):
        self.write("emu/a.cc", "// TO" + "DO(#12): speed\n")
        self.assert_clean("check_words")
        for text in ("// TO" + "DO: speed\n", "// FIX" + "ME\n", "TEST(A, DIS" + "ABLED_B) {}\n"):
            with self.subTest(text=text):
                self.write("emu/a.cc", text)
                self.assert_finding("check_words", "emu/a.cc:1: ")

    def test_sleeping_tests(self):
        call = "std::this_thread::sle" + "ep_for(1s);\n"
        self.write("emu/a.cc", call)
        self.write("emu/a_test.cc", "// never sle" + "ep_for\n")
        self.write("tests/system/a.sh", "command --sle" + "ep 1\n")
        self.assert_clean("check_words")
        self.write("emu/a_test.cc", call)
        self.assert_finding("check_words", "emu/a_test.cc:1: a test sleeps")
        self.write("emu/a_test.cc", "")
        self.write("tests/system/a.sh", "sle" + "ep 1\n")
        self.assert_finding("check_words", "tests/system/a.sh:1: a test sleeps")

    def test_long_files(self):
        self.write("emu/a.cc", "\n" * 500)
        self.assert_clean("check_words")
        self.write("emu/a.cc", "\n" * 501)
        self.assert_finding("check_words", "emu/a.cc:501: over 500 lines")
        self.write("tools/dev/exceptions.txt", "length emu/a.cc # one table\n")
        self.assert_clean("check_words")


if __name__ == "__main__":
    unittest.main()
