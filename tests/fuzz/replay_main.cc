// Runs a fuzz target without libFuzzer: every file of the folders given, then mutations of them
// from a fixed seed for a bounded time. RINGWAY_FUZZ_SECONDS (default 2) is that time,
// RINGWAY_FUZZ_SEED (default 1) the seed. A crash prints nothing of its own: the sanitizer or the
// CHECK does; the input is left in ./crash-input.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;
constexpr size_t kBytesMax = 8192;

Bytes current;  // What is being run, for the signal handler.

void keep_input(int) {
  std::signal(SIGABRT, SIG_DFL);
  if (FILE* file = std::fopen("crash-input", "wb"); file != nullptr) {
    std::fwrite(current.data(), 1, current.size(), file);
    std::fclose(file);
    std::fprintf(stderr, "the input is in ./crash-input (%zu bytes)\n", current.size());
  }
  std::abort();
}

void run(Bytes input) {
  current = std::move(input);
  LLVMFuzzerTestOneInput(current.data(), current.size());
}

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Bytes that parsers treat in their own ways.
constexpr std::string_view kTokens[] = {"\r\n",
                                        "\n",
                                        "\r",
                                        "\r\n\r\n",
                                        " ",
                                        "\t",
                                        ":",
                                        ";",
                                        ",",
                                        "0",
                                        "0\r\n\r\n",
                                        "%2e",
                                        "%2F",
                                        "/../",
                                        "//",
                                        "?",
                                        "#",
                                        "\\",
                                        "_",
                                        "chunked",
                                        "Content-Length: 1\r\n",
                                        "Transfer-Encoding: chunked\r\n",
                                        "HTTP/1.1",
                                        "HTTP/1.0",
                                        "Host: b\r\n",
                                        "Connection: close\r\n",
                                        "Expect: 100-continue\r\n",
                                        "\xff",
                                        "{",
                                        "}",
                                        "[",
                                        "]",
                                        "\"",
                                        "- ",
                                        "---\n",
                                        "null",
                                        "&a",
                                        "*a",
                                        "<<:"};

Bytes mutate(const std::vector<Bytes>& corpus, ringway::Random& random) {
  Bytes bytes = corpus[random.below(static_cast<uint32_t>(corpus.size()))];
  for (uint32_t rounds = 1 + random.below(4); rounds > 0; --rounds) {
    const size_t at = bytes.empty() ? 0 : random.below(static_cast<uint32_t>(bytes.size()));
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random.below(6)) {
      case 0:
        if (!bytes.empty()) *place = static_cast<uint8_t>(random.next());
        break;
      case 1:
        if (!bytes.empty()) *place = static_cast<uint8_t>(*place ^ (1u << random.below(8)));
        break;
      case 2: {
        const std::string_view token = kTokens[random.below(std::size(kTokens))];
        bytes.insert(place, token.begin(), token.end());
        break;
      }
      case 3: {  // Take a part out.
        const auto count = std::min<size_t>(bytes.size() - at, 1 + random.below(16));
        bytes.erase(place, place + static_cast<std::ptrdiff_t>(count));
        break;
      }
      case 4: {  // A part of another input.
        const Bytes& other = corpus[random.below(static_cast<uint32_t>(corpus.size()))];
        if (other.empty()) break;
        const size_t from = random.below(static_cast<uint32_t>(other.size()));
        const size_t count = std::min<size_t>(other.size() - from, 1 + random.below(64));
        const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
        bytes.insert(place, begin, begin + static_cast<std::ptrdiff_t>(count));
        break;
      }
      default: {  // A part twice.
        const Bytes part(place, place + static_cast<std::ptrdiff_t>(std::min<size_t>(
                                            bytes.size() - at, 1 + random.below(64))));
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), part.begin(), part.end());
      }
    }
  }
  if (bytes.size() > kBytesMax) bytes.resize(kBytesMax);
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    const std::filesystem::path path = argv[i];
    if (std::filesystem::is_directory(path)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
    } else if (std::filesystem::is_regular_file(path)) {
      files.push_back(path);
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Bytes> corpus;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "no corpus: give folders or files\n");
    return 2;
  }
  std::signal(SIGABRT, keep_input);
  for (const Bytes& input : corpus) run(input);

  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(from_environment("RINGWAY_FUZZ_SECONDS", 2));
  ringway::Random random(from_environment("RINGWAY_FUZZ_SEED", 1));
  uint64_t rounds = 0;
  while (rounds % 64 != 0 || std::chrono::steady_clock::now() < end) {
    run(mutate(corpus, random));
    ++rounds;
  }
  std::printf("%zu corpus files, %llu mutations\n", corpus.size(),
              static_cast<unsigned long long>(rounds));
  return 0;
}
