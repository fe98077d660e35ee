// What is wrong with an object, as a value: translation and decoding never stop at it. `ringway
// check` prints it, a status writer turns it into conditions.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "controlplane/model/object.h"

namespace ringway::model {

enum class Severity : uint8_t {
  kError,    // Something is not served as written.
  kWarning,  // All is served; what is written may not be what is meant.
};

enum class Reason : uint8_t {
  kInvalidDocument,        // Not YAML or JSON, over a limit, or a field of the wrong type.
  kUnsupportedKind,        // A kind or apiVersion that is not read.
  kDuplicateObject,        // Two documents define one object; the first by path is used.
  kUnreadable,             // The file cannot be read.
  kInvalidValue,           // A field's value is outside what Kubernetes allows.
  kInvalidAnnotation,      // The value of an annotation is refused; its default applies.
  kUnsupportedAnnotation,  // An annotation of the prefix that is not read.
  kUnsupportedKey,         // A key of the controller's ConfigMap that is not read.
  kClassNotFound,          // spec.ingressClassName names no IngressClass.
  kUnsupportedBackend,     // Resource backend, protocol other than HTTP.
  kServiceNotFound,
  kServicePortNotFound,
  kExternalName,     // ExternalName refused, or not an address.
  kNoEndpointSlice,  // The Service has no EndpointSlice at all.
  kInvalidEndpoint,  // Address refused or malformed.
  kSecretNotFound,
  kInvalidCertificate,  // Not PEM, or key and certificate do not match.
  kCertificateExpired,
  kCertificateHost,  // The certificate does not cover a host that it is to serve.
  kConflict,         // An older object has the same host and path (or host and certificate).
};

std::string_view reason_name(Reason reason);  // "ServiceNotFound"

// Ordered by object first, so that a list is stable for people and tests.
struct Problem {
  ObjectKey object;  // Empty name: the document could not be read far enough to know.
  Location location;
  std::string
      field;  // "spec.rules[0].http.paths[1].backend", "metadata.annotations[x]"; may be "".
  Reason reason = Reason::kInvalidDocument;
  Severity severity = Severity::kError;
  std::string
      message;  // One line for people; quotes at most 80 bytes of a value, escaped; no secrets.
  auto operator<=>(const Problem&) const = default;
};

// "file:line: error: Ingress shop/front: field: message"; parts that are empty are left out.
std::string format(const Problem& problem);

// A value as it may be quoted in a message: printable ASCII, others as \xNN, cut after 80 bytes.
std::string quote(std::string_view value);

}  // namespace ringway::model
