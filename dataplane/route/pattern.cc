#include "dataplane/route/pattern.h"

#include <re2/re2.h>

#include <algorithm>

namespace ringway::route {
namespace {

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Pattern::Pattern(std::unique_ptr<re2::RE2> compiled) : compiled_(std::move(compiled)) {}
Pattern::~Pattern() = default;

std::expected<std::shared_ptr<const Pattern>, std::string> Pattern::make(std::string_view text) {
  if (text.size() > kBytesMax) return std::unexpected("the pattern is longer than 2048 bytes");
  re2::RE2::Options options;
  options.set_case_sensitive(false);
  options.set_log_errors(false);
  options.set_max_mem(kMemoryBytesMax);
  options.set_encoding(
      re2::RE2::Options::EncodingLatin1);  // Canonical paths are ASCII: '.' is a byte.
  auto compiled = std::make_unique<re2::RE2>(piece(text), options);
  if (!compiled->ok()) return std::unexpected(compiled->error());
  if (compiled->ProgramSize() > kInstructionsMax)
    return std::unexpected("the pattern is too costly");
  return std::shared_ptr<const Pattern>(new Pattern(std::move(compiled)));
}

bool Pattern::matches(std::string_view path) const {
  return compiled_->Match(piece(path), 0, path.size(), re2::RE2::ANCHOR_START, nullptr, 0);
}

bool Pattern::matches(std::string_view path, std::span<std::string_view, 10> groups) const {
  re2::StringPiece found[10];
  const int count = std::min(10, compiled_->NumberOfCapturingGroups() + 1);
  if (!compiled_->Match(piece(path), 0, path.size(), re2::RE2::ANCHOR_START, found, count))
    return false;
  for (int i = 0; i < 10; ++i) groups[static_cast<size_t>(i)] = {found[i].data(), found[i].size()};
  return true;
}

const std::string& Pattern::text() const { return compiled_->pattern(); }

}  // namespace ringway::route
