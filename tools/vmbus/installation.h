// Where the parts lie that `vmbus run` hands to programs. The build tree has the layout of an
// installation:
//
//   bin/vmbus                        this program, as /proc/self/exe says
//   lib/vmbus/libvmbus_shim.so       for LD_PRELOAD
//   lib/vmbus/python/site            for PYTHONPATH
#ifndef VMBUS_TOOLS_VMBUS_INSTALLATION_H_
#define VMBUS_TOOLS_VMBUS_INSTALLATION_H_

#include <string>

#include "tools/vmbus/failure.h"

namespace vmbus::tools {

struct Installation {
  std::string shim;
  std::string python_site;
};

// `executable`: this program's own path.
Outcome<Installation> find_installation(const std::string& executable);
std::string own_executable();

// LD_PRELOAD separates its entries by blanks and colons and has no way to escape them. A path that
// has one gets a link in `link_directory`, which must be free of them.
Outcome<std::string> preloadable(const std::string& library, const std::string& link_directory);
// The same for a folder on PYTHONPATH, whose entries colons separate. The link is to the folder
// around it, so that what lies beside it is found as ever.
Outcome<std::string> importable(const std::string& folder, const std::string& link_directory);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_INSTALLATION_H_
