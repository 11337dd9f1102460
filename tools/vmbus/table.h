// Table: rows of text in aligned columns, for people.
#ifndef VMBUS_TOOLS_VMBUS_TABLE_H_
#define VMBUS_TOOLS_VMBUS_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace vmbus::tools {

enum class Align : std::uint8_t { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // REQUIRES: one cell for each column. An empty cell is shown as "-".
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  // The titles and the rows, each a line without trailing blanks; two blanks between columns.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_TABLE_H_
