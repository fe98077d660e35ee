// The envelopes of the API server's answers: a page of a list, a line of a watch. They are cut into
// the texts of their objects without reading these: an object that cannot be read must not take its
// neighbours along, and a page of many megabytes must not become a tree. Pure; any thread.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::kube {

// Views into the text they were cut from.
struct ListPage {
  std::string resource_version;         // metadata.resourceVersion of the list
  std::string continue_token;           // metadata.continue; "" on the last page
  std::vector<std::string_view> items;  // Each one JSON value.
};

// The error is for a log: what is not as it must be.
std::expected<ListPage, std::string> cut_list(std::string_view body);

enum class EventType : uint8_t { kAdded, kModified, kDeleted, kBookmark, kError };

struct WatchEvent {
  EventType type = EventType::kError;
  std::string_view object;  // JSON
};

std::expected<WatchEvent, std::string> cut_event(std::string_view line);

// metadata of an object, for what is not decoded as a whole.
struct ObjectHead {
  std::string ns, name, resource_version;
  bool initial_events_end = false;  // Annotation k8s.io/initial-events-end: "true" (of a bookmark).
};
ObjectHead read_head(std::string_view object);  // Empty where there is nothing to read.

// A metav1.Status: the object of an ERROR event, or the body of a refusal.
struct StatusHead {
  int code = 0;
  std::string reason, message;
};
StatusHead read_status(std::string_view object);

}  // namespace ringway::kube
