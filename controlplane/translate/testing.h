// For tests: objects out of YAML, and a translation as text.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/translate/translator.h"

namespace ringway::translate {

// REQUIRES: the text decodes without a problem.
std::vector<model::ObjectPtr> objects_of(std::string_view yaml);

// What a consumer of translations holds: resources by "type name", versions included.
class Held {
 public:
  void apply(const Translation& translation);
  const std::map<std::string, v1::Resource>& resources() const { return resources_; }

  // Resources as text format without versions and key material, then one comment line for each
  // problem.
  std::string dump() const;
  // Everything, for comparison.
  std::string exact() const;

 private:
  std::map<std::string, v1::Resource> resources_;
  std::shared_ptr<const std::vector<model::Problem>> problems_;
};

}  // namespace ringway::translate
