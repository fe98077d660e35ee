package scenarios

// Parts of the control plane die. Traffic does not notice; changes made meanwhile arrive afterwards.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"ringway.test/e2e/cluster"
	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

// outageSet is an application under load, and a second one to switch to.
func outageSet(s *harness.S, host string) (harness.App, *load.Load) {
	app := s.App(harness.AppSpec{Name: "one", Replicas: 3})
	s.App(harness.AppSpec{Name: "two", Replicas: 1})
	s.Create(harness.Simple(s.NS, "web", host, "one"))
	s.AwaitServed(host)
	return app, s.Load(load.Config{Host: host})
}

// endOutage: the change made meanwhile has arrived, or one made now does.
func endOutage(s *harness.S, host string, l *load.Load, change func()) {
	back := time.Now()
	if change != nil {
		change()
	}
	check(s, want{host, "/", "two"})
	s.Fact("the change arrived %.1f s after the return", time.Since(back).Seconds())
	s.Judge(l)
}

func TestControllerKilled(t *testing.T) {
	env.Scenario(t, "controller-killed", fmt.Sprintf("controllers killed for %s", outage()), harness.Anywhere, func(s *harness.S) {
		_, l := outageSet(s, "ck.example")
		s.Must(s.Ringway().KillControllers(s.Ctx), "killing the controllers")
		s.Update(harness.Simple(s.NS, "web", "ck.example", "two"))
		s.Create(harness.Simple(s.NS, "new", "ck-new.example", "two"))
		s.Sleep(s.Outage())
		if err := s.Serves("ck-new.example", "/"); err == nil {
			s.Errorf("an Ingress made while no controller ran was served")
		}
		s.Must(s.Ringway().StartControllers(s.Ctx), "starting the controllers")
		endOutage(s, "ck.example", l, nil)
		check(s, want{"ck-new.example", "/", "two"})
	})
}

func TestAPIServerStopped(t *testing.T) {
	env.Scenario(t, "api-stopped", fmt.Sprintf("API server killed for %s", outage()), harness.Anywhere, func(s *harness.S) {
		_, l := outageSet(s, "as.example")
		s.Must(s.Cluster.Kill("kube-apiserver"), "killing the API server")
		s.Sleep(s.Outage())
		s.Must(s.Cluster.RunDaemon("kube-apiserver"), "starting the API server")
		endOutage(s, "as.example", l, func() { s.Update(harness.Simple(s.NS, "web", "as.example", "two")) })
	})
}

func TestEtcdStopped(t *testing.T) {
	env.Scenario(t, "etcd-stopped", fmt.Sprintf("etcd killed for %s", outage()), harness.Anywhere, func(s *harness.S) {
		_, l := outageSet(s, "es.example")
		s.Must(s.Cluster.Kill("etcd"), "killing etcd")
		s.Sleep(s.Outage())
		s.Must(s.Cluster.RunDaemon("etcd"), "starting etcd")
		s.Eventually(3*time.Minute, "the API server after etcd's return", func() error {
			_, err := s.Kubectl(s.Ctx, "", "get", "--raw=/readyz")
			return err
		})
		endOutage(s, "es.example", l, func() { s.Update(harness.Simple(s.NS, "web", "es.example", "two")) })
	})
}

func outage() time.Duration {
	if env == nil {
		return 0
	}
	return env.Outage()
}

// TestWatchGone: the controller comes back with a resourceVersion that the server no longer has: 410, and a new list. In a cluster of processes
// the controller is held still meanwhile, so that its watches end for certain at a version that is compacted away.
func TestWatchGone(t *testing.T) {
	env.Scenario(t, "watch-gone", "watch closed with 410 after a compaction", harness.Anywhere, func(s *harness.S) {
		_, l := outageSet(s, "wg.example")
		s.Create(harness.Simple(s.NS, "leaves", "wg-leaves.example", "two"))
		s.AwaitServed("wg-leaves.example")
		if !s.Full() {
			s.Must(s.Cluster.Signal(harness.Controller, syscall.SIGSTOP), "holding the controller")
		}
		s.Update(harness.Simple(s.NS, "web", "wg.example", "two"))
		s.Delete("leaves")
		for n := range 50 {
			s.Create(harness.Simple(s.NS, fmt.Sprintf("more-%d", n), fmt.Sprintf("wg-%d.example", n), "two"))
		}
		s.Must(s.Cluster.Kill("kube-apiserver"), "killing the API server")
		s.Must(compact(s), "compacting etcd")
		s.Must(s.Cluster.RunDaemon("kube-apiserver"), "starting the API server")
		if !s.Full() {
			s.Must(s.Cluster.Signal(harness.Controller, syscall.SIGCONT), "letting the controller go on")
		}
		endOutage(s, "wg.example", l, nil)
		check(s, want{"wg-leaves.example", "/", "404"}, want{"wg-0.example", "/", "two"}, want{"wg-49.example", "/", "two"})
	})
}

// compact removes all history from etcd, by its gateway in JSON.
func compact(s *harness.S) error {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: s.Node.DialContext, DisableKeepAlives: true}}
	post := func(path, body string, out any) error {
		response, err := client.Post(cluster.EtcdURL+path, "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("etcd %s: %s: %s: %w", path, response.Status, text, err)
		}
		return json.Unmarshal(text, out)
	}
	var at struct{ Header struct{ Revision string } }
	if err := post("/v3/kv/range", `{"key":"AA=="}`, &at); err != nil {
		return err
	}
	s.Fact("compacted at revision %s", at.Header.Revision)
	return post("/v3/kv/compaction", `{"revision":"`+at.Header.Revision+`","physical":true}`, &struct{}{})
}

// TestSnapshot: a proxy that starts while no controller answers serves what it had.
func TestSnapshot(t *testing.T) {
	env.Scenario(t, "snapshot", "proxy restarted with the controllers away: serves from its snapshot", harness.Anywhere, func(s *harness.S) {
		s.SteadyMayFail() // The only proxy, or one of two, is killed with what is in flight on it.
		outageSet(s, "sn.example")
		s.Sleep(3 * time.Second) // The copy on disk is at most a second behind.
		s.Must(s.Ringway().KillControllers(s.Ctx), "killing the controllers")
		if s.Full() {
			chart := s.Chart()
			s.Must(chart.RestartProxies(s.Ctx), "killing the proxies")
		} else {
			p := s.Processes()
			s.Must(p.StopProxy(s.Ctx), "killing the proxy")
			s.Must(p.RunProxy(s.Ctx), "starting the proxy")
		}
		began := time.Now()
		s.AwaitServed("sn.example")
		s.Fact("served %.1f s after the start", time.Since(began).Seconds())
		l := s.Load(load.Config{Host: "sn.example"})
		s.Sleep(5 * time.Second)
		s.Must(s.Ringway().StartControllers(s.Ctx), "starting the controllers")
		endOutage(s, "sn.example", l, func() { s.Update(harness.Simple(s.NS, "web", "sn.example", "two")) })
	})
}
