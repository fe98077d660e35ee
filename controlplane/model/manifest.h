// A manifest file → objects and problems. Pure; any thread. One bad document, or one bad item of a
// List, costs itself only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"
#include "controlplane/model/tree.h"

namespace ringway::model {

struct Manifest {
  // A document as it was read: what recognises it, and where its results end in the lists below.
  struct Document {
    uint32_t line = 0;
    size_t bytes = 0;
    uint64_t hash = 0;  // Of its text.
    size_t objects_end = 0;
    size_t problems_end = 0;
  };
  std::vector<ObjectPtr> objects;  // In the order of the file; an object may occur twice.
  std::vector<Problem> problems;
  std::vector<Document> documents;  // YAML only; those that are not blank.
};

// `file` names it in locations and problems, and tells JSON (".json") from YAML. A namespaced
// object without a namespace is in "default". Kinds of other API groups, and other kinds of the
// core group, are skipped without a word: a directory may hold a whole application.
Manifest read_manifest(const std::string& file, std::string_view text,
                       const TreeLimits& limits = {}, const Manifest* before = nullptr);

// One object of a known kind (or a List) from a parsed document; appends to `out`.
void read_document(const std::string& file, uint32_t document, const Tree& tree, Manifest& out);

// DNS-1123 subdomain (metadata.name of all kinds here): lower-case letters, digits, '-' and '.', 1
// to 253.
bool valid_name(std::string_view name);

}  // namespace ringway::model
