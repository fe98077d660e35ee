// ringway check: reads and translates a directory once.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <tuple>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "controlplane/source/directory_files.h"
#include "controlplane/translate/translator.h"

namespace ringway::cli {
namespace {

std::string count(size_t number, const std::string& one) {
  return std::to_string(number) + " " + one + (number == 1 ? "" : "s");
}

std::string objects_text(const std::vector<model::ObjectPtr>& objects) {
  std::array<size_t, model::kKindCount> by_kind{};
  for (const model::ObjectPtr& object : objects) ++by_kind[static_cast<size_t>(object->key.kind)];
  std::string kinds;
  for (size_t i = 0; i < by_kind.size(); ++i) {
    if (by_kind[i] == 0) continue;
    kinds += (kinds.empty() ? " (" : ", ") + std::to_string(by_kind[i]) + " ";
    kinds += kind_name(static_cast<model::Kind>(i));
  }
  return count(objects.size(), "object") + kinds + (kinds.empty() ? "" : ")");
}

std::optional<std::string> take_config_map(std::string_view value, std::string& to) {
  if (!translate::valid_name_option(value)) return "must be NAMESPACE/NAME";
  to = value;
  return std::nullopt;
}

Command command_of(translate::Options& options) {
  return {
      .synopsis = "ringway check DIR [flags]",
      .description =
          "Reads the manifests in DIR (*.yaml, *.yml, *.json, subdirectories too) as \"ringway "
          "run\"\n"
          "does, translates them, and prints every problem with its file, line, object and "
          "field.\n",
      .argument = "DIR",
      .flags = {{"--ingress-class", "NAME",
                 "kubernetes.io/ingress.class that is served; default ringway",
                 [&](auto value) { return take_text(value, options.class_name); }},
                {"--default-backend", "NAMESPACE/SERVICE:PORT",
                 "Service for requests that match no route",
                 [&](auto value) -> std::optional<std::string> {
                   if (!translate::parse_backend_option(value))
                     return "must be NAMESPACE/SERVICE:PORT";
                   options.default_backend = value;
                   return std::nullopt;
                 }},
                {"--configmap", "NAMESPACE/NAME", "ConfigMap with settings for everything",
                 [&](auto value) { return take_config_map(value, options.config_map); }},
                {"--tcp-services-configmap", "NAMESPACE/NAME", "ConfigMap of TCP ports",
                 [&](auto value) { return take_config_map(value, options.tcp_services); }},
                {"--udp-services-configmap", "NAMESPACE/NAME", "ConfigMap of UDP ports",
                 [&](auto value) { return take_config_map(value, options.udp_services); }},
                {"--default-certificate", "NAMESPACE/SECRET", "certificate for hosts without one",
                 [&](auto value) -> std::optional<std::string> {
                   if (!translate::valid_name_option(value)) return "must be NAMESPACE/SECRET";
                   options.default_certificate = value;
                   return std::nullopt;
                 }}},
      .epilogue = "Exit code: 0 no problem, 1 at least one, 2 wrong usage.\n"};
}

}  // namespace

int check_command(const std::vector<std::string>& arguments) {
  translate::Options options;
  options.loopback_endpoints = true;
  options.classless = translate::Classless::kServedWithoutClasses;
  const Command command = command_of(options);
  const auto parsed = parse(command, arguments);
  if (!parsed) return usage_error("check", parsed.error());
  if (parsed->help) {
    std::fputs(help_text(command).c_str(), stdout);
    return kExitGood;
  }
  struct stat info{};
  if (::stat(parsed->argument.c_str(), &info) != 0) {
    return usage_error("check", parsed->argument + ": " + std::strerror(errno));
  }
  if (!S_ISDIR(info.st_mode)) return usage_error("check", parsed->argument + ": not a directory");

  std::string directory = parsed->argument;
  while (directory.size() > 1 && directory.ends_with('/')) directory.pop_back();
  source::DirectoryFiles files(directory);
  source::Batch batch = files.scan({});
  translate::Translator translator(options);
  const translate::Translation translation =
      translator.apply(batch.changes, wall_clock_ns() / static_cast<int64_t>(kNsPerSecond));

  std::vector<model::Problem> problems = std::move(batch.problems);
  problems.insert(problems.end(), translation.problems->begin(), translation.problems->end());
  // As a person goes through them: by file and line.
  std::ranges::sort(problems, {}, [](const model::Problem& problem) {
    return std::tie(problem.location, problem.object, problem.field, problem.message);
  });
  std::set<std::string> bad_files;
  for (const model::Problem& problem : problems) {
    std::printf("%s\n", format(problem).c_str());
    if (!problem.location.file.empty()) bad_files.insert(problem.location.file);
  }
  const std::string read = objects_text(batch.changes.upserts);
  if (problems.empty()) {
    std::printf("no problems: %s\n", read.c_str());
    return kExitGood;
  }
  std::printf("%s in %s: %s\n", count(problems.size(), "problem").c_str(),
              count(bad_files.size(), "file").c_str(), read.c_str());
  return kExitFailed;
}

}  // namespace ringway::cli
