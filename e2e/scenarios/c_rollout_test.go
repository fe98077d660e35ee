package scenarios

// Applications come, go and die under load.

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

func TestRollingUpdate(t *testing.T) {
	for _, unavailable := range []string{"1", "50%"} {
		for _, preStop := range []time.Duration{0, 5 * time.Second} {
			hook := "without preStop"
			if preStop > 0 {
				hook = "with preStop"
			}
			title := fmt.Sprintf("application rolling update, 3 replicas, maxUnavailable %s, %s", unavailable, hook)
			ns := fmt.Sprintf("roll-%s-%d", unavailable[:1], int(preStop.Seconds()))
			t.Run(ns, func(t *testing.T) {
				env.Scenario(t, ns, title, harness.Anywhere, func(s *harness.S) {
					app := s.App(harness.AppSpec{Name: "web", Replicas: 3, MaxUnavailable: unavailable, PreStop: preStop})
					s.Create(harness.Simple(s.NS, "web", ns+".example", "web"))
					s.AwaitServed(ns + ".example")
					l := s.Load(load.Config{Host: ns + ".example", Paths: []string{"/", "/?delay=50ms", "/?size=20000"}})
					s.Sleep(time.Second)
					s.Must(app.Roll(s.Ctx), "rolling update")
					s.Sleep(time.Second)
					r := s.Judge(l)
					if len(r.Pods) < 6 {
						s.Errorf("only %d pods answered, want 3 old and 3 new", len(r.Pods))
					}
				})
			})
		}
	}
}

func TestScale(t *testing.T) {
	env.Scenario(t, "scale", "scale 1→10→1", harness.Anywhere, func(s *harness.S) {
		app := s.App(harness.AppSpec{Name: "web", Replicas: 1})
		s.Create(harness.Simple(s.NS, "web", "scale.example", "web"))
		s.AwaitServed("scale.example")
		l := s.Load(load.Config{Host: "scale.example", Paths: []string{"/", "/?delay=20ms"}})
		s.Must(app.Scale(s.Ctx, 10), "scaling up")
		s.Eventually(soon, "all ten pods answer", func() error {
			if seen := len(l.Snapshot().Pods); seen < 10 {
				return fmt.Errorf("%d of 10", seen)
			}
			return nil
		})
		s.Must(app.Scale(s.Ctx, 1), "scaling down")
		s.Sleep(time.Second)
		s.Judge(l)
	})
}

func TestKilledPod(t *testing.T) {
	env.Scenario(t, "killed-pod", "pod killed without notice", harness.Anywhere, func(s *harness.S) {
		app := s.App(harness.AppSpec{Name: "web", Replicas: 3})
		s.Create(harness.Simple(s.NS, "web", "killed.example", "web"))
		s.AwaitServed("killed.example")
		// POST: a request that was sent may not be sent again, so what is in flight on the dead pod is lost.
		posts := s.Load(load.Config{Host: "killed.example", Paths: []string{"/?delay=20ms"}, Post: true})
		gets := s.Load(load.Config{Host: "killed.example", Paths: []string{"/", "/?delay=20ms"}})
		s.Sleep(2 * time.Second)
		before := posts.Elapsed()
		_, err := app.KillOne(s.Ctx)
		s.Must(err, "killing a pod")
		s.Sleep(2 * time.Second)
		p, g := s.Count(posts), s.Count(gets)
		if g.Failed > 0 {
			s.Errorf("GET can be sent to another pod: %s; first %v", g, g.Failures[:min(3, len(g.Failures))])
		}
		// 250 requests/s of 20 ms over three pods: about two are in flight on each; a bound that a busy machine does not reach.
		if p.Failed > 33 {
			s.Errorf("%d POSTs failed, more than one a connection: %s", p.Failed, p)
		}
		for _, failure := range p.Failures {
			if failure.After < before-time.Second {
				s.Errorf("a POST failed before the pod was killed: %v", failure)
			}
		}
		s.Fact("%d of %d POSTs in flight on the dead pod were lost, %d of %d GETs", p.Failed, p.Sent, g.Failed, g.Sent)
	})
}

func TestNamespaceDeleted(t *testing.T) {
	env.Scenario(t, "doomed", "namespace deleted", harness.Anywhere, func(s *harness.S) {
		s.App(harness.AppSpec{Name: "web", Replicas: 2})
		s.Create(harness.Simple(s.NS, "web", "doomed.example", "web"), harness.Simple(s.NS, "web2", "doomed2.example", "web"))
		s.AwaitServed("doomed.example")
		s.AwaitServed("doomed2.example")
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		s.Must(s.Kube.CoreV1().Namespaces().Delete(ctx, s.NS, metav1.DeleteOptions{}), "deleting the namespace")
		if !s.Full() { // The namespace controller's work.
			all, now := metav1.ListOptions{}, metav1.DeleteOptions{}
			s.Must(s.Kube.CoreV1().Services(s.NS).Delete(ctx, "web", now), "Service")
			s.Must(s.Kube.DiscoveryV1().EndpointSlices(s.NS).DeleteCollection(ctx, now, all), "EndpointSlices")
			s.Must(s.Kube.NetworkingV1().Ingresses(s.NS).DeleteCollection(ctx, now, all), "Ingresses")
		}
		check(s, want{"doomed.example", "/", "404"}, want{"doomed2.example", "/", "404"})
	})
}
