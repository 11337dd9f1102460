#include "emu/client/printable.h"

#include <gtest/gtest.h>

namespace vmbus::client {
namespace {

TEST(Printable, TextStaysAsItIs) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("plain text"), "plain text");
  EXPECT_EQ(printable("caf\u00e9 \u20ac \U0001f600 \U0010ffff"),
            "caf\u00e9 \u20ac \U0001f600 \U0010ffff");
}

TEST(Printable, ControlCharactersAreQuestionMarks) {
  EXPECT_EQ(printable("a\x1b[2J\n\x7f"), "a?[2J??");
  EXPECT_EQ(printable("a\u0080b\u009fc\u00a0d"), "a?b?c\u00a0d");
}

TEST(Printable, SoIsEachByteThatBelongsToNoCharacter) {
  EXPECT_EQ(printable("caf\xe9"), "caf?");                  // Latin-1
  EXPECT_EQ(printable("caf\xc3"), "caf?");                  // cut
  EXPECT_EQ(printable("\xe2\x82x"), "??x");                 // cut, then more
  EXPECT_EQ(printable("\x80\xff"), "??");                   // never first
  EXPECT_EQ(printable("\xc0\xaf \xe0\x80\xaf"), "?? ???");  // longer than needed
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");              // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");         // beyond the last one
}

TEST(Printable, NoCharacterIsCutInTwo) {
  EXPECT_EQ(printable("abc", 2), "ab");
  EXPECT_EQ(printable("ab\u00e9", 3), "ab");
  EXPECT_EQ(printable("ab\u00e9", 4), "ab\u00e9");
}

}  // namespace
}  // namespace vmbus::client
