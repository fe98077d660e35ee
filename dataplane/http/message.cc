#include "dataplane/http/message.h"

#include "dataplane/http/text.h"

namespace ringway::http {

Method method_of(std::string_view text) {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::kGet;
      if (text == "PUT") return Method::kPut;
      break;
    case 4:
      if (text == "POST") return Method::kPost;
      if (text == "HEAD") return Method::kHead;
      break;
    case 5:
      if (text == "PATCH") return Method::kPatch;
      if (text == "TRACE") return Method::kTrace;
      break;
    case 6:
      if (text == "DELETE") return Method::kDelete;
      break;
    case 7:
      if (text == "OPTIONS") return Method::kOptions;
      if (text == "CONNECT") return Method::kConnect;
      break;
    default:
      break;
  }
  return Method::kOther;
}

bool is_idempotent(Method method) {
  switch (method) {
    case Method::kGet:
    case Method::kHead:
    case Method::kPut:
    case Method::kDelete:
    case Method::kOptions:
    case Method::kTrace:
      return true;
    default:
      return false;
  }
}

const Header* HeaderList::find(std::string_view name) const {
  const HeaderName id = header_name_of(name);
  if (id != HeaderName::kOther) return find(id);
  for (const Header& header : *this) {
    if (header.id == HeaderName::kOther && equals_ignoring_case(header.name(), name))
      return &header;
  }
  return nullptr;
}

void HeaderList::remove(HeaderName id) {
  if (!has(id)) return;
  remove_if([id](const Header& header) { return header.id == id; });
}

void HeaderList::remove(std::string_view name) {
  const HeaderName id = header_name_of(name);
  if (id != HeaderName::kOther) return remove(id);
  remove_if([name](const Header& header) {
    return header.id == HeaderName::kOther && equals_ignoring_case(header.name(), name);
  });
}

bool HeaderList::replace(HeaderName id, std::string_view value) {
  if (!has(id)) return add(id, value);
  for (uint32_t i = 0; i < count_; ++i) {
    if (headers_[i].id != id) continue;
    headers_[i].value_data = value.data();
    headers_[i].value_size = static_cast<uint32_t>(value.size());
    return true;
  }
  return false;
}

void RequestHead::reset() {
  method = Method::kOther;
  version = Version::k11;
  keep_alive = true;
  expect_continue = false;
  upgrade = false;
  asterisk = false;
  body = {};
  method_text = scheme = authority = target = path = query = upgrade_protocol = {};
  headers.clear();
  memory.reset();
  path_memory.reset();
  extra.reset();
  underscore_fields = 0;
}

void ResponseHead::reset() {
  status = 0;
  version = Version::k11;
  keep_alive = true;
  body = {};
  reason = {};
  headers.clear();
  memory.reset();
}

}  // namespace ringway::http
