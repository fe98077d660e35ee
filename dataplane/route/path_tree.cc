#include "dataplane/route/path_tree.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

void set_first(const Route*& place, const Route* route) {
  if (place == nullptr) place = route;
}

}  // namespace

PathTree::PathTree(const std::vector<PathRule>& rules) {
  std::map<std::string_view, Routes> by_path;
  for (const PathRule& rule :
       rules) {  // Before string prefixes, which yield to them at equal length.
    const std::string_view path = rule.path;
    const Route* route = rule.route.get();
    if (rule.kind == PathKind::kExact) set_first(by_path[path].exact, route);
    if (rule.kind != PathKind::kPrefix) continue;
    if (path.ends_with('/')) {
      set_first(by_path[path].any, route);
      if (path.size() > 1) set_first(by_path[path.substr(0, path.size() - 1)].before_slash, route);
    } else {
      set_first(by_path[path].element, route);
    }
  }
  for (const PathRule& rule : rules) {
    if (rule.kind == PathKind::kStringPrefix) set_first(by_path[rule.path].any, rule.route.get());
  }
  if (by_path.empty()) return;
  std::vector<Key> keys;
  keys.reserve(by_path.size());
  for (const auto& [path, routes] : by_path) keys.push_back({path, routes});
  nodes_.resize(1);
  build(0, keys.data(), keys.data() + keys.size(), 0);
  nodes_.shrink_to_fit();
  labels_.shrink_to_fit();
}

// Fills `node` from the sorted keys of [begin, end), which agree on their first `depth` bytes.
void PathTree::build(uint32_t node, const Key* begin, const Key* end, size_t depth) {
  const std::string_view first = begin->path;
  const std::string_view last = (end - 1)->path;
  // Sorted keys: what the first and the last agree on, all agree on.
  const size_t common =
      std::mismatch(first.begin(), first.end(), last.begin(), last.end()).first - first.begin();
  {
    Node& filled = nodes_[node];
    filled.label = static_cast<uint32_t>(labels_.size());
    filled.label_size = static_cast<uint32_t>(common - depth);
    filled.first_byte = depth < common ? static_cast<uint8_t>(first[depth]) : 0;
    labels_.append(first.substr(depth, common - depth));
    if (first.size() == common) {
      filled.routes = begin->routes;
      ++begin;
    }
  }
  std::vector<const Key*> groups;  // Where the next byte changes.
  for (const Key* key = begin; key != end; ++key) {
    if (key == begin || key->path[common] != (key - 1)->path[common]) groups.push_back(key);
  }
  const auto first_child = static_cast<uint32_t>(nodes_.size());
  nodes_[node].first_child = first_child;
  nodes_[node].children = static_cast<uint16_t>(groups.size());
  nodes_.resize(nodes_.size() + groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    build(first_child + static_cast<uint32_t>(i), groups[i],
          i + 1 < groups.size() ? groups[i + 1] : end, common);
  }
}

const PathTree::Node* PathTree::child(const Node& node, uint8_t byte) const {
  const Node* begin = nodes_.data() + node.first_child;
  const Node* end = begin + node.children;
  if (node.children > 8) {
    begin = std::lower_bound(begin, end, byte,
                             [](const Node& n, uint8_t b) { return n.first_byte < b; });
    return begin != end && begin->first_byte == byte ? begin : nullptr;
  }
  for (; begin != end; ++begin) {
    if (begin->first_byte == byte) return begin;
  }
  return nullptr;
}

const Route* PathTree::find(std::string_view path) const {
  if (nodes_.empty()) return nullptr;
  const Route* best = nullptr;
  const Node* node = nodes_.data();
  for (size_t at = 0; node != nullptr;) {
    if (path.size() - at < node->label_size ||
        std::memcmp(path.data() + at, labels_.data() + node->label, node->label_size) != 0) {
      break;
    }
    at += node->label_size;
    const Routes& routes = node->routes;
    const bool ends = at == path.size();
    if (ends && routes.exact != nullptr) return routes.exact;
    if (routes.element != nullptr && (ends || path[at] == '/')) {
      best = routes.element;
    } else if (routes.any != nullptr) {
      best = routes.any;
    } else if (ends && routes.before_slash != nullptr) {
      best = routes.before_slash;
    }
    if (ends) break;
    node = child(*node, static_cast<uint8_t>(path[at]));
  }
  return best;
}

}  // namespace ringway::route
