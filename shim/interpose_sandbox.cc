// prctl: sees a program put itself under a seccomp filter, and passes everything on.
#include <linux/prctl.h>
#include <stdarg.h>

#include "shim/interpose.h"
#include "shim/sandbox.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

int prctl(int option, ...) noexcept {
  long words[4];
  va_list arguments;
  va_start(arguments, option);
  for (long& word : words) word = va_arg(arguments, long);
  va_end(arguments);
  if (option == PR_SET_SECCOMP) fd_table().settle();  // a filter may forbid to look later
  const long result = real::call(SYS_prctl, option, words[0], words[1], words[2], words[3]);
  if (option == PR_SET_SECCOMP && result == 0) note_sandbox();
  return real::answer_int(result);
}
