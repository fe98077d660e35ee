// A document as a tree of values with line numbers: the common form of YAML and JSON before it is
// decoded into a message. Trees are bounded, whatever the input is.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::model {

struct Tree {
  enum class Type : uint8_t { kNull, kBool, kNumber, kString, kSequence, kMapping };
  Type type = Type::kNull;
  uint32_t line = 0;              // 1-based line in the file.
  std::string text;               // Scalars as written; "true" or "false" for kBool.
  std::vector<std::string> keys;  // kMapping: keys[i] belongs to items[i]; each key once.
  std::vector<Tree> items;

  const Tree* find(std::string_view key) const;  // kMapping: nullptr when absent; others: nullptr.
};

// Bounds that no honest manifest meets. An API server takes objects of at most 1.5 MiB (etcd's
// default request limit); a List of all objects of a cluster must fit into a file.
struct TreeLimits {
  size_t bytes_max = 64u << 20;  // Of a file.
  uint32_t depth_max = 64;
  size_t nodes_max = 8u << 20;        // Of a document.
  size_t alias_nodes_max = 10'000;    // Nodes of a document that are copies made by YAML aliases.
  size_t alias_bytes_max = 1u << 20;  // Text in those copies.
};

struct TreeError {
  uint32_t line = 0;
  std::string message;
};

// Builds a tree out of parse events and keeps the limits. Both parsers drive it.
class TreeBuilder {
 public:
  explicit TreeBuilder(const TreeLimits& limits) : limits_(limits) {}

  // Each returns false when a limit or rule is broken; error() says which. Then call nothing more.
  bool key(std::string text, uint32_t line);
  bool scalar(Tree::Type type, std::string text, uint32_t line);
  bool open(Tree::Type type, uint32_t line);
  bool close();

  // Aliases. A path names a value that ended: the indexes of items from the root down.
  using Path = std::vector<uint32_t>;
  Path path_of_last() const;  // REQUIRES: the event before was scalar(), close() or copy().
  const Tree& at(const Path& path) const;
  bool copy(const Path& path, uint32_t line);  // A value equal to the one at `path`.

  bool awaits_key() const;  // Inside a mapping, before a key.
  const TreeError& error() const { return error_; }
  Tree take() { return std::move(root_); }

 private:
  Tree* place(uint32_t line);
  bool fail(uint32_t line, std::string message);

  const TreeLimits& limits_;
  Tree root_;
  std::vector<Tree*>
      open_;  // Innermost last. Stable: a container grows only while it is innermost.
  size_t nodes_ = 0;
  size_t alias_nodes_ = 0;
  size_t alias_bytes_ = 0;
  TreeError error_;
};

// One YAML document (no "---" inside). `first_line`: line of the file where `text` begins.
std::expected<Tree, TreeError> parse_yaml(std::string_view text, uint32_t first_line,
                                          const TreeLimits& limits);

// One JSON document. `first_line`: line of the file where `text` begins.
std::expected<Tree, TreeError> parse_json(std::string_view text, const TreeLimits& limits,
                                          uint32_t first_line = 1);

}  // namespace ringway::model
