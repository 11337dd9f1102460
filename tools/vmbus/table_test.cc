#include "tools/vmbus/table.h"

#include <gtest/gtest.h>

namespace vmbus::tools {
namespace {

TEST(Table, AlignsColumnsByTheirWidestCell) {
  Table table({{"NAME"}, {"N", Align::kRight}, {"END"}});
  table.add({"a", "100", "x"});
  table.add({"longer", "7", "y"});
  EXPECT_EQ(table.text(),
            "NAME      N  END\n"
            "a       100  x\n"
            "longer    7  y\n");
}

TEST(Table, AnEmptyCellIsADash) {
  Table table({{"A"}, {"B"}});
  table.add({"", "x"});
  EXPECT_EQ(table.text(), "A  B\n-  x\n");
}

TEST(Table, HasNoTrailingBlanks) {
  Table table({{"A"}, {"LONG TITLE"}});
  table.add({"a", "b"});
  EXPECT_EQ(table.text(), "A  LONG TITLE\na  b\n");
}

TEST(Table, KnowsWhetherItHasRows) {
  Table table({{"A"}});
  EXPECT_TRUE(table.empty());
  table.add({"a"});
  EXPECT_FALSE(table.empty());
}

}  // namespace
}  // namespace vmbus::tools
