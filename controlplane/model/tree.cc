#include "controlplane/model/tree.h"

#include <algorithm>

#include "base/check.h"
#include "controlplane/model/problem.h"

namespace ringway::model {
namespace {

// Nodes and bytes of a subtree, counted no further than the bounds need.
void measure(const Tree& tree, size_t nodes_max, size_t& nodes, size_t& bytes) {
  if (++nodes > nodes_max) return;
  bytes += tree.text.size();
  for (const std::string& key : tree.keys) bytes += key.size();
  for (const Tree& item : tree.items) measure(item, nodes_max, nodes, bytes);
}

uint32_t height(const Tree& tree) {
  uint32_t highest = 0;
  for (const Tree& item : tree.items) highest = std::max(highest, height(item));
  return highest + 1;
}

// A key twice in one mapping is an error in YAML 1.2 §3.2.1.3, and which one counts differs by
// parser.
const std::string* doubled_key(const Tree& mapping) {
  constexpr size_t kFew = 16;
  if (mapping.keys.size() <= kFew) {
    for (size_t i = 1; i < mapping.keys.size(); ++i) {
      const auto before = mapping.keys.begin() + static_cast<ptrdiff_t>(i);
      if (std::find(mapping.keys.begin(), before, *before) != before) return &*before;
    }
    return nullptr;
  }
  std::vector<const std::string*> sorted;
  for (const std::string& key : mapping.keys) sorted.push_back(&key);
  std::ranges::sort(sorted, [](const auto* a, const auto* b) { return *a < *b; });
  const auto twin =
      std::ranges::adjacent_find(sorted, [](const auto* a, const auto* b) { return *a == *b; });
  return twin == sorted.end() ? nullptr : *twin;
}

}  // namespace

const Tree* Tree::find(std::string_view key) const {
  const auto at = std::ranges::find(keys, key);
  return at == keys.end() ? nullptr : &items[static_cast<size_t>(at - keys.begin())];
}

bool TreeBuilder::fail(uint32_t line, std::string message) {
  error_ = {line, std::move(message)};
  return false;
}

bool TreeBuilder::awaits_key() const {
  return !open_.empty() && open_.back()->type == Tree::Type::kMapping &&
         open_.back()->keys.size() == open_.back()->items.size();
}

TreeBuilder::Path TreeBuilder::path_of_last() const {
  Path path;
  for (const Tree* container : open_) {
    CHECK(!container->items.empty());
    path.push_back(static_cast<uint32_t>(container->items.size() - 1));
  }
  return path;
}

const Tree& TreeBuilder::at(const Path& path) const {
  const Tree* tree = &root_;
  for (const uint32_t index : path) {
    CHECK(index < tree->items.size());
    tree = &tree->items[index];
  }
  return *tree;
}

// Where the next value goes; nullptr when the tree is full.
Tree* TreeBuilder::place(uint32_t line) {
  if (++nodes_ > limits_.nodes_max) {
    fail(line, "the document has more than " + std::to_string(limits_.nodes_max) + " values");
    return nullptr;
  }
  if (open_.empty()) return &root_;
  CHECK(!awaits_key());
  return &open_.back()->items.emplace_back();
}

bool TreeBuilder::key(std::string text, uint32_t line) {
  CHECK(awaits_key());
  if (text == "<<") return fail(line, "merge keys (<<) are not read");
  open_.back()->keys.push_back(std::move(text));
  return true;
}

bool TreeBuilder::scalar(Tree::Type type, std::string text, uint32_t line) {
  Tree* at = place(line);
  if (at == nullptr) return false;
  at->type = type;
  at->line = line;
  at->text = std::move(text);
  return true;
}

bool TreeBuilder::open(Tree::Type type, uint32_t line) {
  if (open_.size() >= limits_.depth_max) {
    return fail(line, "nested deeper than " + std::to_string(limits_.depth_max) + " levels");
  }
  Tree* at = place(line);
  if (at == nullptr) return false;
  at->type = type;
  at->line = line;
  open_.push_back(at);
  return true;
}

bool TreeBuilder::close() {
  CHECK(!open_.empty());
  Tree* ended = open_.back();
  CHECK(ended->keys.empty() || ended->keys.size() == ended->items.size());
  if (ended->type == Tree::Type::kMapping) {
    if (const std::string* key = doubled_key(*ended)) {
      return fail(ended->line, "the key " + quote(*key) + " appears twice in one mapping");
    }
  }
  open_.pop_back();
  return true;
}

bool TreeBuilder::copy(const Path& path, uint32_t line) {
  const Tree& tree = at(path);
  size_t nodes = 0;
  size_t bytes = 0;
  measure(tree, limits_.alias_nodes_max, nodes, bytes);
  alias_nodes_ += nodes;
  alias_bytes_ += bytes;
  if (alias_nodes_ > limits_.alias_nodes_max || alias_bytes_ > limits_.alias_bytes_max) {
    return fail(line, "aliases expand to more than " + std::to_string(limits_.alias_nodes_max) +
                          " values or " + std::to_string(limits_.alias_bytes_max) + " bytes");
  }
  if (open_.size() + height(tree) > limits_.depth_max) {
    return fail(line, "nested deeper than " + std::to_string(limits_.depth_max) + " levels");
  }
  nodes_ += nodes;
  // The copy is made first: placing may move `tree`, when both are items of one container.
  Tree twin = tree;
  Tree* to = place(line);
  if (to == nullptr) return false;
  *to = std::move(twin);
  to->line = line;
  return true;
}

}  // namespace ringway::model
