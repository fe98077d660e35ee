// A small HTTP/1.1 server for tests, a thread per connection. It can misbehave as a test wants:
// answer in parts, stay silent, cut the connection.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ringway::kube {

class HttpServer {
 public:
  struct Request {
    std::string method, path, query, body;
    std::map<std::string, std::string> headers;     // Names in lower case.
    std::map<std::string, std::string> parameters;  // Of the query, decoded.
    std::string parameter(const std::string& name) const {
      const auto at = parameters.find(name);
      return at == parameters.end() ? "" : at->second;
    }
  };

  class Reply {
   public:
    explicit Reply(int fd) : fd_(fd) {}
    void send(int status, std::string_view body,
              const std::map<std::string, std::string>& headers = {});
    // A chunked body. false: the peer is gone, or the server ends.
    bool begin(int status = 200);
    bool write(std::string_view part);
    void end();
    void cut();  // Closes without an end of the body.
    bool raw(std::string_view bytes);
    bool peer_gone() const;  // It closed its side.
    bool keep_alive() const { return keep_alive_; }

   private:
    const int fd_;
    bool keep_alive_ = true;
  };
  using Handler = std::function<void(const Request&, Reply&)>;

  explicit HttpServer(Handler handler);  // 127.0.0.1, a free port.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  size_t accepted() const { return accepted_; }
  bool stopping() const { return stopping_; }
  void cut_all();  // Every open connection ends at once.

 private:
  void accept_all();
  void serve(int fd);

  const Handler handler_;
  int listen_fd_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<size_t> accepted_ = 0;
  std::mutex mutex_;
  std::set<int> open_;                // Guarded by mutex_.
  std::vector<std::thread> threads_;  // Guarded by mutex_.
  std::thread acceptor_;
};

}  // namespace ringway::kube
