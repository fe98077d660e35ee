// The real binary as a process. `run` gets shell scripts in place of the two planes: what is tested
// is how it starts, watches and ends them.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace ringway::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;

const std::string kRingway = std::string(BINARY_DIR) + "/bin/ringway";

// A started process whose stdout and stderr go to one pipe.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments) {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(fds[1], 1);
      ::dup2(fds[1], 2);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(fds[1]);
    out_fd_ = fds[0];
  }
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(out_fd_);
  }

  void signal(int number) const { ::kill(pid_, number); }

  // Reads until `text` appears in the output or ten seconds are over.
  bool wait_for(const std::string& text) {
    const auto deadline = steady_clock::now() + std::chrono::seconds(10);
    while (output_.find(text) == std::string::npos) {
      if (steady_clock::now() > deadline || !read_some())
        return output_.find(text) != std::string::npos;
    }
    return true;
  }

  // The exit code; 128 + the signal.
  int wait() {
    const auto deadline = steady_clock::now() + std::chrono::seconds(20);
    while (steady_clock::now() < deadline && read_some()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  const std::string& output() const { return output_; }

 private:
  // false: end of the output.
  bool read_some() {
    pollfd fd{out_fd_, POLLIN, 0};
    if (::poll(&fd, 1, 100) <= 0) return true;
    char buffer[4096];
    const ssize_t count = ::read(out_fd_, buffer, sizeof buffer);
    if (count > 0) output_.append(buffer, static_cast<size_t>(count));
    return count > 0;
  }

  pid_t pid_ = 0;
  int out_fd_ = -1;
  std::string output_;
};

class CliTest : public testing::Test {
 protected:
  CliTest() {
    std::string pattern = fs::temp_directory_path() / "ringway-cli-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    fs::create_directory(root_ / "site");
  }
  ~CliTest() override { fs::remove_all(root_); }

  void script(const std::string& name, const std::string& text) {
    std::ofstream(root_ / name) << "#!/bin/sh\n" << text;
    fs::permissions(root_ / name, fs::perms::owner_all);
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / "site" / name) << text;
  }
  // Runs a copy of the binary, so that its children are the scripts beside it.
  Process run(std::vector<std::string> flags) {
    if (!fs::exists(root_ / "ringway")) fs::copy_file(kRingway, root_ / "ringway");
    flags.insert(flags.begin(), {root_ / "ringway", "run", root_ / "site"});
    return Process(std::move(flags));
  }
  std::pair<int, std::string> ringway(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kRingway);
    Process process(std::move(arguments));
    const int code = process.wait();
    return {code, process.output()};
  }
  std::string site() const { return root_ / "site"; }

  fs::path root_;
};

constexpr char kWaitForTerm[] =
    "trap 'echo NAME got TERM; exit 0' TERM\necho NAME: \"$@\"\nwhile :; do sleep 0.05; done\n";

std::string waiting(const std::string& name) {
  std::string text = kWaitForTerm;
  for (size_t at; (at = text.find("NAME")) != std::string::npos;) text.replace(at, 4, name);
  return text;
}

TEST_F(CliTest, WrongUsageIsOneLineAndExitCode2) {
  const std::vector<std::vector<std::string>> kCases = {
      {"nosuch"},
      {"run"},
      {"run", "/nosuch"},
      {"run", site(), "--http", "0"},
      {"run", site(), "--io", "iocp"},
      {"run", site(), "--workers", "many"},
      {"run", site(), "--admin", "10254"},
      {"run", site(), "--http", "off", "--https", "off"},
      {"run", site(), "--nosuch"},
      {"check"},
      {"check", "/nosuch"},
      {"check", "/dev/null"},
      {"check", site(), "--default-backend", "x"},
      {"config", "extra"},
      {"config", "--admin", "x"},
      {"probe"},
      {"probe", "https://127.0.0.1/"},
      {"probe", "http://127.0.0.1/", "--status", "7"},
      {"pause", "extra"},
      {"install-file", "/dev/null"},
      {"install-file", "--to", "x"}};
  for (const auto& arguments : kCases) {
    const auto [code, output] = ringway(arguments);
    EXPECT_EQ(code, 2) << output;
    EXPECT_THAT(output, HasSubstr("ringway"));
    EXPECT_EQ(std::ranges::count(output, '\n'), 1) << output;
  }
}

TEST_F(CliTest, HelpIsOnStdoutAndListsFlags) {
  for (const char* command : {"run", "check", "config"}) {
    const auto [code, output] = ringway({command, "--help"});
    EXPECT_EQ(code, 0);
    EXPECT_THAT(output, HasSubstr("Usage: ringway " + std::string(command)));
    EXPECT_THAT(output, HasSubstr("Exit code"));
  }
  EXPECT_EQ(ringway({"--help"}).first, 0);
  EXPECT_THAT(ringway({"--version"}).second, HasSubstr("ringway 0."));
}

TEST_F(CliTest, CheckPrintsProblemsAndExits1) {
  write("a.yaml", R"(apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front}
spec:
  rules:
  - host: a.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
)");
  auto [code, output] = ringway({"check", site() + "/"});
  EXPECT_EQ(code, 1);
  EXPECT_EQ(output,
            site() +
                "/a.yaml:1: error: Ingress default/front: spec.rules[0].http.paths[0].backend: "
                "Service default/web does not exist; the path answers 503\n"
                "1 problem in 1 file: 1 object (1 Ingress)\n");
  write("b.yaml", R"(apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 9001}]
endpoints: [{addresses: [127.0.0.1]}]
)");
  std::tie(code, output) = ringway({"check", site()});
  EXPECT_EQ(code, 0);
  EXPECT_EQ(output, "no problems: 3 objects (1 Ingress, 1 Service, 1 EndpointSlice)\n");
}

TEST_F(CliTest, ConfigSaysWhenNobodyAnswers) {
  const auto [code, output] = ringway({"config", "--admin", "127.0.0.1:1"});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("ringway config: http://127.0.0.1:1/config: "));
}

// A server on loopback that gives each response of a list to one connection, in order.
class Responses {
 public:
  explicit Responses(std::vector<std::string> responses)
      : server_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(server_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(server_, 8), 0);
    ::getsockname(server_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this, responses = std::move(responses)] {
      for (const std::string& response : responses) serve(response);
    });
  }
  ~Responses() {
    ::shutdown(server_, SHUT_RDWR);  // Ends an accept() that still waits.
    thread_.join();
    ::close(server_);
  }
  const std::string& address() const { return address_; }
  // Of the last connection. REQUIRES: its client has ended.
  const std::string& request() const { return request_; }

 private:
  void serve(const std::string& response) {
    const int client = ::accept(server_, nullptr, nullptr);
    if (client < 0) return;
    std::string request(4096, '\0');
    request.resize(
        static_cast<size_t>(std::max<ssize_t>(::read(client, request.data(), request.size()), 0)));
    request_ = request;
    EXPECT_EQ(::write(client, response.data(), response.size()),
              static_cast<ssize_t>(response.size()));
    ::close(client);
  }

  int server_;
  std::string address_, request_;
  std::thread thread_;
};

TEST_F(CliTest, ConfigPrintsTheAnswer) {
  Responses server({"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"listeners\"}"});
  const auto [code, output] = ringway({"config", "--admin", server.address()});
  EXPECT_EQ(code, 0);
  EXPECT_EQ(output, "{\"listeners\"}\n");
  EXPECT_THAT(server.request(), HasSubstr("GET /config HTTP/1.1\r\n"));
}

constexpr char kNotFound[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
constexpr char kGood[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

TEST_F(CliTest, ProbeComparesTheStatus) {
  Responses server({kNotFound, kNotFound});
  const std::string url = "http://" + server.address() + "/page";
  const auto [code, output] = ringway({"probe", url});
  EXPECT_EQ(code, 1);
  EXPECT_EQ(output, "ringway probe: " + url + ": answered 404, wanted is 200\n");
  const auto [wanted_code, wanted_output] = ringway({"probe", url, "--status=404"});
  EXPECT_EQ(wanted_code, 0);
  EXPECT_EQ(wanted_output, url + ": answered 404, 0 bytes\n");
  EXPECT_THAT(server.request(), HasSubstr("GET /page HTTP/1.1\r\n"));
}

TEST_F(CliTest, ProbeTriesAgainUntilTheAnswerIsAsWanted) {
  Responses server({kNotFound, "garbage", kGood});
  const auto [code, output] =
      ringway({"probe", "http://" + server.address() + "/", "--within", "60"});
  EXPECT_EQ(code, 0) << output;
  EXPECT_THAT(output, HasSubstr("answered 200, 3 bytes"));
}

TEST_F(CliTest, ProbeSaysWhenNobodyAnswers) {
  const auto [code, output] = ringway({"probe", "http://127.0.0.1:1/"});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("ringway probe: http://127.0.0.1:1/: "));
}

TEST_F(CliTest, PauseEndsWithASignalAndWithTime) {
  Process process({kRingway, "pause", "--seconds", "600"});
  process.signal(SIGTERM);  // Whether it waits already or not: it ends.
  EXPECT_THAT(process.wait(), testing::AnyOf(0, 128 + SIGTERM));
  EXPECT_EQ(ringway({"pause", "--seconds", "0"}).first, 0);
}

TEST_F(CliTest, InstallFileCopiesWholeAndLeavesTheSameAlone) {
  write("profile.json", "{\"a\": 1}\n");
  const std::string from = site() + "/profile.json", to = root_ / "host/ringway/proxy.json";
  EXPECT_EQ(ringway({"install-file", from, "--to", to}),
            (std::pair{0, to + ": installed, 9 bytes\n"}));
  EXPECT_EQ(fs::status(to).permissions(), fs::perms(0644));
  EXPECT_EQ(ringway({"install-file", from, "--to", to}),
            (std::pair{0, to + ": is there already, 9 bytes\n"}));
  write("profile.json", "{}");
  EXPECT_EQ(ringway({"install-file", from, "--to", to}),
            (std::pair{0, to + ": installed, 2 bytes\n"}));
  EXPECT_EQ(std::distance(fs::directory_iterator(fs::path(to).parent_path()), {}), 1);
}

TEST_F(CliTest, InstallFileThatStaysEndsWithASignal) {
  write("profile.json", "{}");
  Process process(
      {kRingway, "install-file", site() + "/profile.json", "--to", root_ / "proxy.json", "--stay"});
  ASSERT_TRUE(process.wait_for("installed, 2 bytes"));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 0);
}

TEST_F(CliTest, InstallFileSaysWhatFailed) {
  EXPECT_EQ(ringway({"install-file", "/nosuch", "--to", root_ / "x"}),
            (std::pair{1, std::string("ringway install-file: /nosuch: cannot be read\n")}));
  write("profile.json", "{}");
  const auto [code, output] =
      ringway({"install-file", site() + "/profile.json", "--to", "/dev/null/x"});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("ringway install-file: /dev/null: "));
}

TEST_F(CliTest, RunStartsBothAndEndsThemInOrder) {
  script("ringway-controller", waiting("controller"));
  script("ringway-proxy", waiting("proxy"));
  Process process = run({"--http", "18080", "--https", "127.0.0.1:18443", "--workers", "2", "--io",
                         "epoll", "--log-level", "warn"});
  ASSERT_TRUE(process.wait_for("controller: "));
  ASSERT_TRUE(process.wait_for("proxy: "));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 0) << process.output();
  const std::string& output = process.output();
  EXPECT_THAT(output, HasSubstr("serving " + site() +
                                ", http://0.0.0.0:18080, https://127.0.0.1:18443, "
                                "admin http://127.0.0.1:10254\n"));
  EXPECT_THAT(output, HasSubstr("--source dir:" + site() + " --listen unix:"));
  EXPECT_THAT(output,
              HasSubstr("--http-port 18080 --https-port 18443 --https-address 127.0.0.1:18443 "
                        "--log-level warn\n"));
  EXPECT_THAT(output,
              HasSubstr("--admin 127.0.0.1:10254 --workers 2 --io epoll --log-level warn\n"));
  EXPECT_LT(output.find("proxy got TERM"), output.find("controller got TERM"));
  const size_t at = output.find("unix:") + 5;
  EXPECT_FALSE(fs::exists(fs::path(output.substr(at, output.find(' ', at) - at)).parent_path()));
}

TEST_F(CliTest, RunRestartsADeadController) {
  script("ringway-controller", "echo controller started\nsleep 0.1\nexit 3\n");
  script("ringway-proxy", waiting("proxy"));
  Process process = run({});
  ASSERT_TRUE(process.wait_for(
      "ringway-controller ended: exit code 3; the proxy goes on, restart in 100 ms"));
  ASSERT_TRUE(process.wait_for("restart in 200 ms"));
  process.signal(SIGINT);
  EXPECT_EQ(process.wait(), 0);
  EXPECT_THAT(process.output(), HasSubstr("Interrupt: draining"));
}

TEST_F(CliTest, RunEndsWhenTheProxyIsGone) {
  script("ringway-controller", waiting("controller"));
  script("ringway-proxy", "kill -9 $$\n");
  Process process = run({});
  EXPECT_EQ(process.wait(), 1);
  EXPECT_THAT(process.output(), HasSubstr("ringway-proxy ended: signal 9 (Killed)"));
}

TEST_F(CliTest, RunEndsWhenTheControllerRefusesItsFlags) {
  script("ringway-controller", "echo ringway-controller: --x: no >&2\nexit 2\n");
  script("ringway-proxy", waiting("proxy"));
  Process process = run({});
  EXPECT_EQ(process.wait(), 2);
  EXPECT_THAT(process.output(), HasSubstr("refused its flags"));
}

TEST_F(CliTest, ASecondSignalEndsAtOnce) {
  script("ringway-controller", "trap '' TERM\necho controller up\nwhile :; do sleep 0.05; done\n");
  script("ringway-proxy", "trap '' TERM\necho proxy up\nwhile :; do sleep 0.05; done\n");
  Process process = run({});
  ASSERT_TRUE(process.wait_for("proxy up"));
  ASSERT_TRUE(process.wait_for("controller up"));
  process.signal(SIGTERM);
  ASSERT_TRUE(process.wait_for("draining"));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 1);
  EXPECT_THAT(process.output(), HasSubstr("second signal"));
}

TEST_F(CliTest, RunSaysWhenABinaryIsMissing) {
  Process process = run({});
  EXPECT_EQ(process.wait(), 1);
  EXPECT_THAT(process.output(), HasSubstr("/ringway-controller: No such file"));
}

}  // namespace
}  // namespace ringway::cli
