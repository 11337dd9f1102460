#include "tools/vmbus/elf_file.h"

#include <elf.h>
#include <link.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

namespace vmbus::tools {
namespace {

using Header = ElfW(Ehdr);
using ProgramHeader = ElfW(Phdr);
using Dynamic = ElfW(Dyn);

constexpr std::uint64_t kMaxEntries = 4096;  // of any table, so that a damaged file ends the search

constexpr unsigned char kNativeClass = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
constexpr unsigned char kNativeOrder =
    std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
#if defined(__x86_64__)
constexpr ElfW(Half) kNativeMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr ElfW(Half) kNativeMachine = EM_AARCH64;
#else
#error "say which processor this is"
#endif

}  // namespace

struct ElfFile::Segment : ProgramHeader {};

template <typename T>
bool ElfFile::read(std::uint64_t offset, T* value) const {
  if (offset > content_.size() || content_.size() - offset < sizeof(T)) return false;
  std::memcpy(value, content_.data() + offset, sizeof(T));
  return true;
}

bool ElfFile::is_elf() const { return content_.starts_with(ELFMAG); }

bool ElfFile::is_native() const {
  Header header;
  return is_elf() && read(0, &header) && header.e_ident[EI_CLASS] == kNativeClass &&
         header.e_ident[EI_DATA] == kNativeOrder && header.e_machine == kNativeMachine;
}

std::vector<ElfFile::Segment> ElfFile::segments() const {
  std::vector<Segment> segments;
  Header header;
  if (!is_native() || !read(0, &header)) return segments;
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    Segment segment;
    if (!read(header.e_phoff + i * sizeof(ProgramHeader), static_cast<ProgramHeader*>(&segment))) {
      break;
    }
    segments.push_back(segment);
  }
  return segments;
}

bool ElfFile::has_interpreter() const {
  for (const Segment& segment : segments()) {
    if (segment.p_type == PT_INTERP) return true;
  }
  return false;
}

std::string ElfFile::text_at(std::uint64_t offset) const {
  if (offset >= content_.size()) return {};
  return std::string(content_.substr(offset, content_.find('\0', offset) - offset));
}

std::vector<std::string> ElfFile::needed() const {
  std::vector<std::uint64_t> names;  // offsets in the string table
  std::optional<std::uint64_t> table;
  const auto all = segments();
  for (const Segment& segment : all) {
    if (segment.p_type != PT_DYNAMIC) continue;
    Dynamic entry;
    for (std::uint64_t i = 0; i < kMaxEntries; ++i) {
      if (!read(segment.p_offset + i * sizeof entry, &entry) || entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_NEEDED) names.push_back(entry.d_un.d_val);
      if (entry.d_tag == DT_STRTAB) table = entry.d_un.d_ptr;
    }
  }
  std::vector<std::string> libraries;
  for (const Segment& segment : all) {  // the table's address, as a place in the file
    if (segment.p_type != PT_LOAD || !table || *table - segment.p_vaddr >= segment.p_filesz)
      continue;
    const std::uint64_t start = segment.p_offset + (*table - segment.p_vaddr);
    for (const std::uint64_t name : names) libraries.push_back(text_at(start + name));
    break;
  }
  return libraries;
}

}  // namespace vmbus::tools
