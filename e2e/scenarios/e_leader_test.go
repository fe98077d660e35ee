package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ringway.test/e2e/harness"
)

// TestLeader: of two controllers one writes status; when it is killed the other does.
func TestLeader(t *testing.T) {
	env.Scenario(t, "leader", "two controllers: one writes status; leader killed", harness.Anywhere, func(s *harness.S) {
		s.App(harness.AppSpec{Name: "web", Replicas: 1})
		if !s.Full() {
			p := s.Processes()
			s.Must(p.RunController(s.Ctx, 1), "a second controller")
			s.Cleanup(func() { s.Cluster.Kill(harness.Controller + "-1") })
		}
		changes := watchStatus(s)
		s.Create(harness.Simple(s.NS, "before", "before.leader.example", "web"))
		s.Eventually(soon, "status by the first leader", func() error { return addressShown(s, "before") })
		first := holder(s)
		killed := time.Now()
		kill(s, first)
		// Kubelet ends a deleted pod when it comes to it; until then that pod may lead, and rightly so.
		s.Eventually(2*time.Minute, "another leader", func() error {
			if holder(s) == first {
				return fmt.Errorf("the lease is still of %s", first)
			}
			return nil
		})
		s.Create(harness.Simple(s.NS, "after", "after.leader.example", "web"))
		s.Eventually(2*time.Minute, "status by the next leader", func() error { return addressShown(s, "after") })
		took := time.Since(killed)
		s.Fact("status by the other %.1f s after the death of the leader", took.Seconds())
		if took > 20*time.Second && !s.Quick {
			s.Errorf("the other leader took %s, want at most 20 s", took)
		}
		if !s.Full() {
			s.Must(s.Processes().RunController(s.Ctx, 0), "the first controller again")
		}
		s.Sleep(3 * time.Second)
		if n := changes("before"); n != 1 {
			s.Errorf("the status of one Ingress was changed %d times, want once", n)
		}
	})
}

// holder of the only Lease in Ringway's namespace.
func holder(s *harness.S) (identity string) {
	s.Eventually(soon, "a lease with a holder", func() error {
		leases, err := s.Kube.CoordinationV1().Leases(harness.Namespace).List(s.Ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, lease := range leases.Items {
			if identity = ptr.Deref(lease.Spec.HolderIdentity, ""); identity != "" {
				return nil
			}
		}
		return errors.New("nobody holds one")
	})
	return identity
}

func kill(s *harness.S, identity string) {
	if !s.Full() {
		// The first process was alone when it became leader.
		s.Must(s.Cluster.Kill(harness.Controller), "killing the leader")
		return
	}
	// Not only its process: kubelet would start it again in the same pod within a second.
	_, err := s.Kubectl(s.Ctx, "", "-n", harness.Namespace, "delete", "pod", podOf(s, identity).Name, "--grace-period=0", "--force")
	s.Must(err, "deleting the leader's pod")
}

// podOf finds the controller that calls itself so.
func podOf(s *harness.S, identity string) corev1.Pod {
	chart := s.Chart()
	pods, err := chart.Pods(s.Ctx, chart.Controllers())
	s.Must(err, "pods of controllers")
	for _, p := range pods {
		if strings.Contains(identity, p.Name) {
			return p
		}
	}
	s.Fatalf("no controller is called %s", identity)
	return corev1.Pod{}
}

// TestLeaderCutOff: packets of the leader to the API server vanish, as when its node loses the network. It cannot know who leads, so it must not
// write; the other must. What is served stays served, and when the leader is back everything agrees.
func TestLeaderCutOff(t *testing.T) {
	env.Scenario(t, "cut-off", "leader cut off from the API server: the other writes status", harness.FullOnly, func(s *harness.S) {
		_, l := outageSet(s, "cut.example")
		s.Eventually(soon, "an address", func() error { return addressShown(s, "web") })
		changes := watchStatus(s)
		first := holder(s)
		rule := []string{"INPUT", "-s", podOf(s, first).Status.PodIP, "-p", "tcp", "--dport", "6443", "-j", "DROP"}
		iptables := func(verb string) error {
			text, err := s.Cluster.Inside(s.Ctx, append([]string{"iptables", "-w", verb}, rule...)...).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("iptables %s: %w: %s", verb, err, text)
			}
			return err
		}
		s.Must(iptables("-I"), "cutting off %s", first)
		mended := false
		s.Cleanup(func() {
			if !mended {
				s.Cluster.Inside(context.Background(), append([]string{"iptables", "-w", "-D"}, rule...)...).Run()
			}
		})
		cut := time.Now()
		s.Create(harness.Simple(s.NS, "meanwhile", "cut-meanwhile.example", "two"))
		s.Eventually(2*time.Minute, "status by the other", func() error { return addressShown(s, "meanwhile") })
		took := time.Since(cut)
		if took > 20*time.Second && !s.Quick {
			s.Errorf("the other leader took %s, want at most 20 s", took)
		}
		s.Fact("status by the other %.1f s after the cut", took.Seconds())
		s.Sleep(s.Outage())
		fresh, all := askEach(s, "cut-meanwhile.example", "two")
		s.Fact("an Ingress made meanwhile is served by %d of %d proxies", fresh, all)
		s.Must(iptables("-D"), "mending")
		mended = true
		endOutage(s, "cut.example", l, func() { s.Update(harness.Simple(s.NS, "web", "cut.example", "two")) })
		for _, host := range []string{"cut.example", "cut-meanwhile.example"} {
			s.Eventually(2*time.Minute, host+" by every proxy", func() error {
				if fresh, all := askEach(s, host, "two"); fresh != all {
					return fmt.Errorf("%d of %d", fresh, all)
				}
				return nil
			})
		}
		if n := changes("meanwhile"); n != 1 {
			s.Errorf("the status of an Ingress was changed %d times, want once", n)
		}
	})
}

// askEach asks every proxy by itself and counts those that answer from that application.
func askEach(s *harness.S, host, app string) (fresh, all int) {
	chart := s.Chart()
	pods, err := chart.Pods(s.Ctx, chart.Proxies())
	s.Must(err, "pods of proxies")
	for _, p := range pods {
		answer, err := s.Get(s.Ctx, p.Status.PodIP+":8080", host, "/")
		if err == nil && appOf(answer.Pod, app) {
			fresh++
		}
	}
	return fresh, len(pods)
}

// watchStatus counts how often the status of an Ingress of the scenario's namespace changes.
func watchStatus(s *harness.S) func(name string) int {
	ctx, cancel := context.WithCancel(s.Ctx)
	s.Cleanup(cancel)
	w, err := s.Kube.NetworkingV1().Ingresses(s.NS).Watch(ctx, metav1.ListOptions{})
	s.Must(err, "watching Ingresses")
	counts := make(chan map[string]int, 1)
	counts <- map[string]int{}
	go func() {
		last := map[string]string{}
		for event := range w.ResultChan() {
			name, status, ok := statusOf(event.Object)
			if !ok {
				continue
			}
			if before, known := last[name]; known && before != status {
				m := <-counts
				m[name]++
				counts <- m
			}
			last[name] = status
		}
	}()
	return func(name string) int {
		m := <-counts
		defer func() { counts <- m }()
		return m[name]
	}
}

// TestQuietStatus: nothing changes, so nothing is written. Counted by the API server.
func TestQuietStatus(t *testing.T) {
	quiet := 10 * time.Minute
	if env != nil && env.Quick {
		quiet = 20 * time.Second
	}
	env.Scenario(t, "quiet", fmt.Sprintf("status: zero writes over %s", quiet), harness.Anywhere, func(s *harness.S) {
		s.App(harness.AppSpec{Name: "web", Replicas: 2})
		for n := range 20 {
			s.Create(harness.Simple(s.NS, fmt.Sprintf("i-%d", n), fmt.Sprintf("q-%d.example", n), "web"))
		}
		for n := range 20 {
			s.Eventually(soon, "an address", func() error { return addressShown(s, fmt.Sprintf("i-%d", n)) })
		}
		s.Sleep(2 * time.Second)
		before, err := writes(s)
		s.Must(err, "the API server's metrics")
		s.Sleep(quiet)
		after, err := writes(s)
		s.Must(err, "the API server's metrics")
		if after != before {
			s.Errorf("%g writes of Ingresses although nothing changed", after-before)
		}
		s.Fact("%g writes of Ingresses or their status", after-before)
	})
}

// writes of Ingresses that the API server has taken.
func writes(s *harness.S) (float64, error) {
	text, err := s.Kubectl(s.Ctx, "", "get", "--raw=/metrics")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, verb := range []string{"PATCH", "PUT", "APPLY"} {
		n, err := harness.Metric([]string{text}, "apiserver_request_total", `resource="ingresses"`, `verb="`+verb+`"`)
		if err == nil {
			sum += n
		}
	}
	return sum, nil
}
