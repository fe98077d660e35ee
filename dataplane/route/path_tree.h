// The exact and prefix paths of one host as a radix tree: a lookup walks the path once, whatever
// the number of rules.
//
// Order (networking.k8s.io/v1 HTTPIngressPath): exact first, then the rule that matches most
// characters of the path. Of rules that match equally many: Prefix "/foo", string prefix "/foo",
// Prefix "/foo/" (which has a slash more than a request for "/foo").
//
// Thread rule: immutable after construction. Invariant: children of a node are adjacent and sorted
// by the first byte of their labels.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::route {

struct Route;
struct PathRule;

class PathTree {
 public:
  // Takes the exact, element prefix and string prefix rules of `rules`; of two equal ones the
  // first. Routes are referred to, not kept.
  explicit PathTree(const std::vector<PathRule>& rules);

  const Route* find(std::string_view path) const;  // nullptr: nothing matches.
  bool empty() const { return nodes_.empty(); }

 private:
  struct Routes {
    const Route* exact = nullptr;    // The path ends here.
    const Route* element = nullptr;  // It ends here or goes on with '/'.
    const Route* any = nullptr;      // However it goes on.
    const Route* before_slash =
        nullptr;  // Prefix "/foo/" at "/foo": the path ends here and nothing else wants it.
  };
  struct Node {
    Routes routes;
    uint32_t label = 0;  // Offset in labels_.
    uint32_t label_size = 0;
    uint32_t first_child = 0;
    uint16_t children = 0;
    uint8_t first_byte = 0;
  };
  struct Key {
    std::string_view path;
    Routes routes;
  };
  void build(uint32_t node, const Key* begin, const Key* end, size_t depth);
  const Node* child(const Node& node, uint8_t byte) const;

  std::vector<Node> nodes_;  // [0] is the root.
  std::string labels_;
};

}  // namespace ringway::route
