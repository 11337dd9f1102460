// ElfFile: the few facts of an ELF program that matter for preloading. Trusts nothing in the file.
#ifndef VMBUS_TOOLS_VMBUS_ELF_FILE_H_
#define VMBUS_TOOLS_VMBUS_ELF_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmbus::tools {

class ElfFile {
 public:
  // `content`: the whole file, which outlives this.
  explicit ElfFile(std::string_view content) : content_(content) {}

  bool is_elf() const;
  bool is_native() const;                   // this machine's word size, byte order and processor
  bool has_interpreter() const;             // asks for a dynamic loader
  std::vector<std::string> needed() const;  // the libraries it links itself

 private:
  struct Segment;
  template <typename T>
  bool read(std::uint64_t offset, T* value) const;
  std::vector<Segment> segments() const;
  std::string text_at(std::uint64_t offset) const;

  std::string_view content_;
};

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_ELF_FILE_H_
