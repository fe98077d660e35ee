#include "controlplane/model/problem.h"

namespace ringway::model {

std::string_view reason_name(Reason reason) {
  switch (reason) {
    case Reason::kInvalidDocument:
      return "InvalidDocument";
    case Reason::kUnsupportedKind:
      return "UnsupportedKind";
    case Reason::kDuplicateObject:
      return "DuplicateObject";
    case Reason::kUnreadable:
      return "Unreadable";
    case Reason::kInvalidValue:
      return "InvalidValue";
    case Reason::kInvalidAnnotation:
      return "InvalidAnnotation";
    case Reason::kUnsupportedAnnotation:
      return "UnsupportedAnnotation";
    case Reason::kUnsupportedKey:
      return "UnsupportedKey";
    case Reason::kClassNotFound:
      return "ClassNotFound";
    case Reason::kUnsupportedBackend:
      return "UnsupportedBackend";
    case Reason::kServiceNotFound:
      return "ServiceNotFound";
    case Reason::kServicePortNotFound:
      return "ServicePortNotFound";
    case Reason::kExternalName:
      return "ExternalName";
    case Reason::kNoEndpointSlice:
      return "NoEndpointSlice";
    case Reason::kInvalidEndpoint:
      return "InvalidEndpoint";
    case Reason::kSecretNotFound:
      return "SecretNotFound";
    case Reason::kInvalidCertificate:
      return "InvalidCertificate";
    case Reason::kCertificateExpired:
      return "CertificateExpired";
    case Reason::kCertificateHost:
      return "CertificateHost";
    case Reason::kConflict:
      return "Conflict";
  }
  return "Unknown";
}

namespace {

constexpr std::string_view kHex = "0123456789abcdef";

void append_byte(std::string& text, unsigned char byte) {
  text += "\\x";
  text += kHex[byte >> 4];
  text += kHex[byte & 15];
}

// File names and keys of annotations may hold anything; a terminal and a log get no control
// character.
std::string without_controls(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      append_byte(out, byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string format(const Problem& problem) {
  std::string text;
  if (!problem.location.file.empty()) {
    text += problem.location.file + ":";
    if (problem.location.line != 0) text += std::to_string(problem.location.line) + ":";
    text += ' ';
  }
  text += problem.severity == Severity::kError ? "error: " : "warning: ";
  if (!problem.object.name.empty()) text += to_string(problem.object) + ": ";
  if (!problem.field.empty()) text += problem.field + ": ";
  return without_controls(text + problem.message);
}

std::string quote(std::string_view value) {
  constexpr size_t kBytesMax = 80;
  std::string text = "\"";
  for (const char c : value.substr(0, kBytesMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F) {
      append_byte(text, byte);
    } else {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
  }
  text += '"';
  if (value.size() > kBytesMax) text += "…";
  return text;
}

}  // namespace ringway::model
