// One object by its name, for kinds of which only what is referenced may be read (Secrets): needs
// the verbs get and watch on that object, not list. Loop's thread only.
//
// A watch of the one name is opened, and when the server has taken it the object is read: what the
// answer says is then newer than the beginning of the watch, and events are newer still. So neither
// a resourceVersion nor a list is needed. Where watching is not allowed the object is read now and
// then.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/random.h"
#include "controlplane/kube/api_client.h"
#include "controlplane/kube/resource.h"
#include "controlplane/kube/retry.h"
#include "controlplane/kube/timings.h"
#include "controlplane/kube/watch.h"

namespace ringway::kube {

class NamedWatch {
 public:
  struct Listener {
    std::function<void(const Item&)> upserted;
    std::function<void(const Item&)> removed;
    std::function<void()> changed;  // answered() or problem() may have.
  };

  NamedWatch(ApiClient& client, const Resource& resource, std::string ns, std::string name,
             const Timings& timings, Retries& retries, Random& random, Listener listener);
  ~NamedWatch();  // Tells nothing.
  NamedWatch(const NamedWatch&) = delete;
  NamedWatch& operator=(const NamedWatch&) = delete;

  void start();
  bool started() const { return started_; }
  // Whether it is known if the object exists (or the server will not say). Once true it stays so.
  bool answered() const { return answered_; }
  const Item* item() const { return item_ ? &*item_ : nullptr; }
  const std::optional<model::Problem>& problem() const { return problem_; }
  uint64_t failures() const { return failures_; }

 private:
  void open();
  void on_event(const WatchEvent& event);
  void on_watch_end(WatchEnd end);
  void ask();
  void on_answer(Result result);
  void on_refused(const Response& response);
  void again(std::chrono::milliseconds retry_after = {}, std::chrono::milliseconds more = {});
  void pause(std::chrono::milliseconds more = {});
  void take(std::string_view json);
  void gone();
  void set_problem(std::optional<model::Problem> problem);
  void answer();

  ApiClient& client_;
  const Resource& resource_;
  const std::string ns_, name_;
  const Timings timings_;
  Random& random_;
  const Listener listener_;
  Watch watch_;
  Retry retry_;
  ApiClient::CallId ask_call_ = 0;
  uint64_t opened_ns_ = 0;  // When the server took the watch under way; 0 = not yet.
  bool watched_ = false;    // The server took one once: it may be watched.
  bool heard_ = false;      // An event came since the object was asked for: the answer is older.
  bool started_ = false;
  bool answered_ = false;
  uint32_t refusals_ = 0;
  uint64_t failures_ = 0;
  std::optional<Item> item_;
  std::optional<model::Problem> problem_;
};

}  // namespace ringway::kube
