#include "controlplane/kube/wire.h"

#include <nlohmann/json.hpp>
#include <optional>

namespace ringway::kube {
namespace {

using nlohmann::json;

// Walks over JSON without reading it. What it passes over may be wrong inside; it is never read
// past its end. An empty view stands for an error.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  // The next character that is no white space, or '\0' at the end.
  char peek() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool take(char expected) {
    if (peek() != expected) return false;
    ++at_;
    return true;
  }

  // A string with its quotes.
  std::string_view string() {
    if (peek() != '"') return {};
    const size_t begin = at_;
    for (size_t at = begin + 1; at < text_.size(); ++at) {
      if (text_[at] == '\\') {
        ++at;
      } else if (text_[at] == '"') {
        at_ = at + 1;
        return text_.substr(begin, at_ - begin);
      }
    }
    return {};
  }

  std::string_view value() {
    const char first = peek();
    if (first == '"') return string();
    const size_t begin = at_;
    if (first != '{' && first != '[') {
      while (at_ < text_.size() && !ends_scalar(text_[at_])) ++at_;
      return text_.substr(begin, at_ - begin);
    }
    size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        if (string().empty()) return {};
        continue;
      }
      ++at_;
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth == 0) return text_.substr(begin, at_ - begin);
    }
    return {};
  }

 private:
  static bool ends_scalar(char c) {
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r';
  }

  const std::string_view text_;
  size_t at_ = 0;
};

// Calls `member(name, cursor)` for each member of an object; the name has no quotes and its escapes
// as they are. `member` takes the value off the cursor and returns whether that went well.
template <typename Member>
bool walk_object(Cursor& cursor, Member member) {
  if (!cursor.take('{')) return false;
  if (cursor.take('}')) return true;
  do {
    const std::string_view name = cursor.string();
    if (name.empty() || !cursor.take(':')) return false;
    if (!member(name.substr(1, name.size() - 2), cursor)) return false;
  } while (cursor.take(','));
  return cursor.take('}');
}

bool cut_array(Cursor& cursor, std::vector<std::string_view>& out) {
  if (cursor.peek() == 'n') return cursor.value() == "null";  // A list without items, by Go.
  if (!cursor.take('[')) return false;
  if (cursor.take(']')) return true;
  do {
    const std::string_view item = cursor.value();
    if (item.empty()) return false;
    out.push_back(item);
  } while (cursor.take(','));
  return cursor.take(']');
}

json parse(std::string_view text) { return json::parse(text.begin(), text.end(), nullptr, false); }

std::string text_of(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

// The text of a member of an object; empty when it is absent or the object is broken before it.
std::string_view member_of(std::string_view object, std::string_view wanted) {
  Cursor cursor(object);
  std::string_view found;
  walk_object(cursor, [&](std::string_view name, Cursor& at) {
    const std::string_view value = at.value();
    if (name == wanted) found = value;
    return !value.empty() && found.empty();
  });
  return found;
}

}  // namespace

std::expected<ListPage, std::string> cut_list(std::string_view body) {
  ListPage page;
  bool has_items = false;
  std::string_view metadata;
  Cursor cursor(body);
  const bool whole = walk_object(cursor, [&](std::string_view name, Cursor& at) {
    if (name == "items") {
      has_items = true;
      return cut_array(at, page.items);
    }
    const std::string_view value = at.value();
    if (name == "metadata") metadata = value;
    return !value.empty();
  });
  if (!whole || cursor.peek() != '\0') return std::unexpected("the list is not whole JSON");
  if (!has_items) return std::unexpected("the answer is not a list");
  const json head = parse(metadata);
  page.resource_version = text_of(head, "resourceVersion");
  page.continue_token = text_of(head, "continue");
  if (page.resource_version.empty()) return std::unexpected("the list has no resourceVersion");
  return page;
}

std::expected<WatchEvent, std::string> cut_event(std::string_view line) {
  std::string_view type;
  WatchEvent event;
  Cursor cursor(line);
  const bool whole = walk_object(cursor, [&](std::string_view name, Cursor& at) {
    const std::string_view value = at.value();
    if (name == "type") type = value;
    if (name == "object") event.object = value;
    return !value.empty();
  });
  if (!whole || cursor.peek() != '\0') return std::unexpected("an event is not JSON");
  constexpr std::pair<std::string_view, EventType> kTypes[] = {
      {"\"ADDED\"", EventType::kAdded},
      {"\"MODIFIED\"", EventType::kModified},
      {"\"DELETED\"", EventType::kDeleted},
      {"\"BOOKMARK\"", EventType::kBookmark},
      {"\"ERROR\"", EventType::kError}};
  for (const auto& [name, known] : kTypes) {
    if (type != name) continue;
    event.type = known;
    if (event.object.empty()) return std::unexpected("an event has no object");
    return event;
  }
  return std::unexpected("an event has no known type");
}

ObjectHead read_head(std::string_view object) {
  const json metadata = parse(member_of(object, "metadata"));
  ObjectHead head{.ns = text_of(metadata, "namespace"),
                  .name = text_of(metadata, "name"),
                  .resource_version = text_of(metadata, "resourceVersion")};
  if (metadata.is_object() && metadata.contains("annotations")) {
    head.initial_events_end =
        text_of(metadata["annotations"], "k8s.io/initial-events-end") == "true";
  }
  return head;
}

StatusHead read_status(std::string_view object) {
  const json status = parse(object);
  StatusHead head{.reason = text_of(status, "reason"), .message = text_of(status, "message")};
  if (!status.is_object()) return head;
  if (const auto code = status.find("code"); code != status.end() && code->is_number_integer()) {
    head.code = code->get<int>();
  }
  return head;
}

}  // namespace ringway::kube
