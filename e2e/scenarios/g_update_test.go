package scenarios

// Ringway itself is replaced under load. Needs pods.

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

func TestInstalled(t *testing.T) {
	env.Scenario(t, "installed", "installed by the chart: restricted pods, helm test", harness.FullOnly, func(s *harness.S) {
		chart := s.Chart()
		for _, deployment := range []string{chart.Controllers(), chart.Proxies()} {
			pods, err := chart.Pods(s.Ctx, deployment)
			s.Must(err, "pods of %s", deployment)
			if len(pods) != 2 {
				s.Errorf("%s has %d pods, want 2", deployment, len(pods))
			}
			for _, p := range pods {
				for _, c := range p.Status.ContainerStatuses {
					if n := chart.Crashes(&p, c.Name); n > 0 {
						s.Errorf("%s in %s ended %d times by itself", c.Name, p.Name, n)
					}
				}
				if deployment == chart.Proxies() && (p.Spec.AutomountServiceAccountToken == nil || *p.Spec.AutomountServiceAccountToken) {
					s.Errorf("%s has a service account's token", p.Name)
				}
			}
		}
		text, err := chart.Test(s.Ctx)
		s.Must(err, "helm test")
		s.Fact("namespace enforces Pod Security restricted; helm test: %s", text)
		s.Fact("ring: %s", ring(s, chart))
	})
}

// ring is the I/O backend that the proxies run on.
func ring(s *harness.S, r harness.Ringway) string {
	texts, err := r.Metrics(s.Ctx)
	if err != nil {
		return err.Error()
	}
	for _, backend := range []string{"io_uring", "epoll"} {
		if n, err := harness.Metric(texts, "ringway_io_backend", `backend="`+backend+`"`); err == nil && int(n) == len(texts) {
			return backend
		}
	}
	return "mixed"
}

// replaced runs something that replaces proxies, under load and with WebSockets open.
func replaced(s *harness.S, what func() error) {
	s.App(harness.AppSpec{Name: "web", Replicas: 3})
	host := s.NS + ".example"
	s.Create(harness.Simple(s.NS, "web", host, "web"))
	s.AwaitServed(host)
	l := s.Load(load.Config{Host: host, Paths: []string{"/", "/?delay=50ms", "/?size=20000"}, FreshRate: 50})
	sockets := s.Sockets(10, host)
	s.Eventually(soon, "ten WebSockets", func() error {
		if c := sockets.Counts(); c.Opened < 10 {
			return fmt.Errorf("%d open: %v", c.Opened, c.Why)
		}
		return nil
	})
	s.Sleep(2 * time.Second)
	s.Must(what(), "replacing the proxies")
	s.Sleep(3 * time.Second)
	r, c := s.Count(l), sockets.Stop()
	if r.Failed > 0 {
		s.Errorf("%s; first %v", r, r.Failures[:min(5, len(r.Failures))])
	}
	if c.Refused > 0 || c.Lost > 0 {
		s.Errorf("WebSockets: %d could not be opened, %d messages lost: %v", c.Refused, c.Lost, c.Why)
	}
	s.Fact("10 WebSockets: %d messages, %d lost, %d closed by the drain and opened again, %d refused", c.Messages, c.Lost, c.Closed, c.Refused)
}

func TestProxyRollingUpdate(t *testing.T) {
	env.Scenario(t, "proxy-roll", "rolling update of the proxies under load, WebSockets open", harness.FullOnly, func(s *harness.S) {
		replaced(s, func() error { return s.Chart().Roll(s.Ctx, s.Chart().Proxies()) })
	})
}

func TestHelmUpgrade(t *testing.T) {
	env.Scenario(t, "helm-upgrade", "helm upgrade under load, WebSockets open", harness.FullOnly, func(s *harness.S) {
		replaced(s, func() error {
			return s.Chart().Upgrade(s.Ctx, "proxy.logLevel=debug", "controlPlane.logLevel=debug", "controller.podAnnotations.e2e=again")
		})
		s.Must(s.Chart().Upgrade(s.Ctx), "back to the first values")
	})
}

// TestNoUring: the profile of every recent container runtime forbids io_uring.
func TestNoUring(t *testing.T) {
	env.Scenario(t, "no-uring", "seccomp profile that forbids io_uring: epoll", harness.FullOnly, func(s *harness.S) {
		before := ring(s, s.Ringway())
		profile := filepath.Join(s.Cluster.Dir(), "kubelet/seccomp/e2e/no-uring.json")
		s.Must(os.MkdirAll(filepath.Dir(profile), 0o755), "folder of profiles")
		s.Must(os.WriteFile(profile, []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["io_uring_setup","io_uring_enter","io_uring_register"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}`), 0o644), "profile")
		s.App(harness.AppSpec{Name: "web", Replicas: 2})
		s.Create(harness.Simple(s.NS, "web", "no-uring.example", "web"))
		s.AwaitServed("no-uring.example")
		l := s.Load(load.Config{Host: "no-uring.example"})
		s.Must(s.Chart().Upgrade(s.Ctx, "seccomp.type=Localhost", "seccomp.localhostProfile=e2e/no-uring.json"), "helm upgrade")
		if after := ring(s, s.Ringway()); after != "epoll" {
			s.Errorf("the proxies run on %s", after)
		}
		s.Sleep(3 * time.Second)
		s.Fact("%s before, epoll under the profile", before)
		s.Must(s.Chart().Upgrade(s.Ctx), "back to the first values")
		r := s.Count(l)
		if r.Failed > 0 {
			s.Errorf("%s; first %v", r, r.Failures[:min(5, len(r.Failures))])
		}
	})
}

// TestZUninstall comes last: nothing may be left, nor the address in the status of Ingresses.
func TestZUninstall(t *testing.T) {
	env.Scenario(t, "uninstall", "helm uninstall: nothing is left, addresses are taken out", harness.FullOnly, func(s *harness.S) {
		s.SteadyMayFail()
		s.App(harness.AppSpec{Name: "web", Replicas: 1})
		s.Create(harness.Simple(s.NS, "web", "uninstall.example", "web"))
		s.Eventually(soon, "the address in the Ingress's status", func() error { return addressShown(s, "web") })
		s.Must(s.Chart().Uninstall(s.Ctx), "helm uninstall")
		s.Eventually(3*time.Minute, "nothing of the release", func() error { return left(s, "ringway") })
		if addressShown(s, "web") == nil {
			s.Errorf("the Ingress shows an address although nothing serves it")
		}
	})
}
