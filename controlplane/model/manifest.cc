#include "controlplane/model/manifest.h"

#include <optional>

#include "controlplane/base/hash.h"
#include "controlplane/model/decode.h"

namespace ringway::model {
namespace {

struct Known {
  std::string_view api_version, kind;
  Kind as;
};
constexpr Known kKnown[] = {
    {"networking.k8s.io/v1", "Ingress", Kind::kIngress},
    {"networking.k8s.io/v1", "IngressClass", Kind::kIngressClass},
    {"v1", "Service", Kind::kService},
    {"discovery.k8s.io/v1", "EndpointSlice", Kind::kEndpointSlice},
    {"v1", "Secret", Kind::kSecret},
    {"v1", "ConfigMap", Kind::kConfigMap},
};

// Kinds that look as if they were read. Everything else of other groups is somebody else's.
std::optional<std::string> why_not_read(std::string_view api_version, std::string_view kind) {
  for (const Known& known : kKnown) {
    if (kind == known.kind) {
      return "apiVersion " + quote(api_version) + " is not read; write it as " +
             std::string(known.api_version);
    }
  }
  if (api_version == "v1" && kind == "Endpoints") {
    return "Endpoints objects are not read; write an EndpointSlice of discovery.k8s.io/v1";
  }
  const bool ours = api_version == "networking.k8s.io/v1" || api_version == "discovery.k8s.io/v1";
  const bool other = kind == "NetworkPolicy" || kind == "IPAddress" || kind == "ServiceCIDR";
  if (ours && !other) return "kind " + quote(kind) + " is unknown in " + std::string(api_version);
  return std::nullopt;
}

// Reads the documents of one file; holds what every problem needs.
class Reader {
 public:
  Reader(const std::string& file, uint32_t document, Manifest& out)
      : file_(file), document_(document), out_(out) {}

  void read(const Tree& tree, std::string_view list_version, std::string_view list_kind);
  void report(const ObjectKey& key, uint32_t line, std::string field, Reason reason,
              std::string message);

 private:
  void read_list(const Tree& tree, std::string_view api_version, std::string_view kind);
  void read_object(const Tree& tree, Kind kind);

  const std::string& file_;
  const uint32_t document_;
  Manifest& out_;
};

std::string_view text_of(const Tree* tree) {
  return tree != nullptr && tree->type == Tree::Type::kString ? std::string_view(tree->text) : "";
}

void Reader::report(const ObjectKey& key, uint32_t line, std::string field, Reason reason,
                    std::string message) {
  out_.problems.push_back({.object = key,
                           .location = {file_, line, document_},
                           .field = std::move(field),
                           .reason = reason,
                           .message = std::move(message)});
}

// Items of "IngressList" and the like carry neither apiVersion nor kind: the list's count.
void Reader::read(const Tree& tree, std::string_view list_version, std::string_view list_kind) {
  if (tree.type == Tree::Type::kNull) return;
  if (tree.type != Tree::Type::kMapping) {
    return report({}, tree.line, "", Reason::kInvalidDocument, "an object must be a mapping");
  }
  std::string_view api_version = text_of(tree.find("apiVersion"));
  std::string_view kind = text_of(tree.find("kind"));
  if (api_version.empty()) api_version = list_version;
  if (kind.empty()) kind = list_kind;
  if (api_version.empty() || kind.empty()) {
    return report({}, tree.line, api_version.empty() ? "apiVersion" : "kind",
                  Reason::kInvalidDocument, "must be a string that is not empty");
  }
  if (kind.ends_with("List") && tree.find("items") != nullptr) {
    if (!list_version.empty() || !list_kind.empty()) {
      return report({}, tree.line, "", Reason::kInvalidDocument,
                    "a List inside a List is not read");
    }
    return read_list(tree, api_version, kind);
  }
  for (const Known& known : kKnown) {
    if (api_version == known.api_version && kind == known.kind) {
      return read_object(tree, known.as);
    }
  }
  if (std::optional<std::string> why = why_not_read(api_version, kind)) {
    report({}, tree.line, "", Reason::kUnsupportedKind, *std::move(why));
  }
}

void Reader::read_list(const Tree& tree, std::string_view api_version, std::string_view kind) {
  const Tree& items = *tree.find("items");
  if (items.type == Tree::Type::kNull) return;
  if (items.type != Tree::Type::kSequence) {
    return report({}, items.line, "items", Reason::kInvalidDocument, "must be a list");
  }
  kind.remove_suffix(std::string_view("List").size());
  for (const Tree& item : items.items) {
    // A plain List says nothing of its items; " " keeps them from being Lists themselves.
    if (kind.empty()) {
      if (item.find("kind") == nullptr || item.find("apiVersion") == nullptr) {
        report({}, item.line, "items", Reason::kInvalidDocument,
               "an item needs apiVersion and kind");
        continue;
      }
      read(item, " ", " ");
    } else {
      read(item, api_version, kind);
    }
  }
}

Object::Body empty_body(Kind kind) {
  switch (kind) {
    case Kind::kIngress:
      return kubernetes::Ingress();
    case Kind::kIngressClass:
      return kubernetes::IngressClass();
    case Kind::kService:
      return kubernetes::Service();
    case Kind::kEndpointSlice:
      return kubernetes::EndpointSlice();
    case Kind::kSecret:
      return kubernetes::Secret();
    case Kind::kConfigMap:
      return kubernetes::ConfigMap();
  }
  return kubernetes::ConfigMap();
}

void Reader::read_object(const Tree& tree, Kind kind) {
  auto object = std::make_shared<Object>();
  object->location = {file_, tree.line, document_};
  object->body = empty_body(kind);
  const bool cluster_scoped = kind == Kind::kIngressClass;
  // The key comes from the tree, so that an object that does not decode is reported by its name.
  ObjectKey& key = object->key;
  key.kind = kind;
  if (const Tree* metadata = tree.find("metadata")) {
    key.name = text_of(metadata->find("name"));
    if (!cluster_scoped) key.ns = text_of(metadata->find("namespace"));
  }
  if (!cluster_scoped && key.ns.empty()) key.ns = "default";

  const auto decoded = std::visit(
      [&](google::protobuf::Message& message) { return decode(tree, message); }, object->body);
  if (!valid_name(key.name)) key.name.clear();
  if (!decoded) {
    const DecodeError& e = decoded.error();
    return report(key, e.line, e.field, Reason::kInvalidDocument, e.message);
  }
  if (key.name.empty()) {
    return report({}, tree.line, "metadata.name", Reason::kInvalidValue,
                  "must be lower-case letters, digits, '-' and '.'");
  }
  if (!cluster_scoped && (!valid_name(key.ns) || key.ns.find('.') != std::string::npos)) {
    key.ns = "";
    return report(key, tree.line, "metadata.namespace", Reason::kInvalidValue,
                  "must be lower-case letters, digits and '-'");
  }
  if (auto* secret = std::get_if<kubernetes::Secret>(&object->body)) {
    for (const auto& [name, text] : secret->string_data()) (*secret->mutable_data())[name] = text;
    secret->clear_string_data();
  }
  out_.objects.push_back(std::move(object));
}

// Cuts a stream into documents at lines that begin with "---" or "..." (YAML 1.2 §9.1: these end
// a document even inside a block scalar), so that a broken one does not take the next along.
class Documents {
 public:
  explicit Documents(std::string_view text) : rest_(text) {}

  bool next(std::string_view& text, uint32_t& line) {
    if (ended_) return false;
    line = line_;
    const std::string_view all = rest_;
    size_t at = 0;
    while (true) {
      const size_t end = all.find('\n', at);
      const size_t length = end == std::string_view::npos ? std::string_view::npos : end - at;
      if (is_marker(all.substr(at, length))) {
        text = all.substr(0, at);
        rest_ = all.substr(at + 3);  // What follows "---" on its line belongs to the next document.
        return true;
      }
      if (end == std::string_view::npos) break;
      at = end + 1;
      ++line_;
    }
    text = all;
    ended_ = true;
    return true;
  }

 private:
  static bool is_marker(std::string_view line) {
    if (!line.starts_with("---") && !line.starts_with("...")) return false;
    return line.size() == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r';
  }

  std::string_view rest_;
  uint32_t line_ = 1;
  bool ended_ = false;
};

// Nothing but blank lines, comments and directives ("%YAML 1.2").
bool is_blank(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const size_t first = text.substr(0, end).find_first_not_of(" \t\r");
    if (first != std::string_view::npos && first < end && text[first] != '#' && text[0] != '%') {
      return false;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

// Takes document `number` from `before` when it is the same.
bool take_known(const Manifest* before, const Manifest::Document& document, uint32_t number,
                Manifest& out) {
  if (before == nullptr || number > before->documents.size()) return false;
  const Manifest::Document& known = before->documents[number - 1];
  const bool same =
      known.line == document.line && known.bytes == document.bytes && known.hash == document.hash;
  if (!same) return false;
  const Manifest::Document first;  // Ends where the first document begins.
  const Manifest::Document& previous = number > 1 ? before->documents[number - 2] : first;
  const auto append = [](auto& to, const auto& from, size_t begin, size_t end) {
    to.insert(to.end(), from.begin() + static_cast<ptrdiff_t>(begin),
              from.begin() + static_cast<ptrdiff_t>(end));
  };
  append(out.objects, before->objects, previous.objects_end, known.objects_end);
  append(out.problems, before->problems, previous.problems_end, known.problems_end);
  return true;
}

// JSON is YAML, and several times as quickly read by its own parser. What that one does not take (a
// flow mapping with plain keys, a comment) is YAML's to judge.
std::expected<Tree, TreeError> parse_document(std::string_view text, uint32_t line,
                                              const TreeLimits& limits) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') {
    if (auto tree = parse_json(text, limits, line)) return tree;
  }
  return parse_yaml(text, line, limits);
}

void read_yaml(const std::string& file, std::string_view text, const TreeLimits& limits,
               const Manifest* before, Manifest& out) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  Documents documents(text);
  std::string_view document;
  uint32_t line = 0;
  uint32_t number = 0;
  while (documents.next(document, line)) {
    if (is_blank(document)) continue;
    ++number;
    Manifest::Document read{.line = line, .bytes = document.size(), .hash = content_hash(document)};
    if (!take_known(before, read, number, out)) {
      const auto tree = parse_document(document, line, limits);
      if (tree) {
        read_document(file, number, *tree, out);
      } else {
        Reader(file, number, out)
            .report({}, tree.error().line, "", Reason::kInvalidDocument, tree.error().message);
      }
    }
    read.objects_end = out.objects.size();
    read.problems_end = out.problems.size();
    out.documents.push_back(read);
  }
}

}  // namespace

bool valid_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  bool edge = true;  // At the start of a label: '-' and '.' are not allowed here.
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!letter && (edge || (c != '-' && c != '.'))) return false;
    edge = c == '.';
  }
  return name.back() != '-' && name.back() != '.';
}

void read_document(const std::string& file, uint32_t document, const Tree& tree, Manifest& out) {
  Reader(file, document, out).read(tree, "", "");
}

Manifest read_manifest(const std::string& file, std::string_view text, const TreeLimits& limits,
                       const Manifest* before) {
  Manifest out;
  if (text.size() > limits.bytes_max) {
    Reader(file, 0, out)
        .report({}, 0, "", Reason::kInvalidDocument,
                "larger than " + std::to_string(limits.bytes_max) + " bytes");
    return out;
  }
  if (!file.ends_with(".json")) {
    read_yaml(file, text, limits, before, out);
    return out;
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return out;
  const auto tree = parse_json(text, limits);
  if (tree) {
    read_document(file, 1, *tree, out);
  } else {
    Reader(file, 1, out)
        .report({}, tree.error().line, "", Reason::kInvalidDocument, tree.error().message);
  }
  return out;
}

}  // namespace ringway::model
