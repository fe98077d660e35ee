package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ringway.test/e2e/load"
)

// S is a scenario while it runs. The steady application (steady.go) is under load all the while and must not fail.
type S struct {
	*testing.T
	*Env
	Ctx   context.Context
	NS    string // Its own namespace; removed afterwards.
	row   Row
	mu    sync.Mutex
	loads []*load.Load
	calm  bool // The steady load may fail: the scenario takes down what it needs.
}

// Where a scenario can run.
type Where int

const (
	Anywhere Where = iota
	FullOnly       // Needs pods.
	APIOnly        // Plays with processes directly.
)

// Scenario runs one and books its row.
func (e *Env) Scenario(t *testing.T, ns, title string, where Where, body func(s *S)) {
	t.Helper()
	e.run(t, ns, title, where, func(s *S) {
		if err := e.ready(s.Ctx); err != nil {
			s.Fatalf("Ringway could not be started: %v", err)
		}
		steady := e.steady.load()
		defer func() {
			r := steady.Stop()
			s.book(r)
			if r.Failed > 0 && !s.calm {
				s.Errorf("the steady application, which nobody touched: %s; first %v", r, r.Failures[:min(3, len(r.Failures))])
			}
		}()
		defer s.stopLoads()
		s.Cleanup(e.heal) // A scenario that failed in the middle must not fail the next.
		body(s)
	})
}

// heal starts again what a scenario took down.
func (e *Env) heal() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	all, err := e.Cluster.Processes()
	if err != nil {
		return
	}
	running := map[string]bool{}
	for _, p := range all {
		running[p.Name] = p.Running
	}
	for _, daemon := range []string{"etcd", "kube-apiserver"} {
		if !running[daemon] {
			if err := e.Cluster.RunDaemon(daemon); err != nil {
				fmt.Printf("e2e: %s could not be started again: %v\n", daemon, err)
			}
		}
	}
	if chart, ok := e.ringway.(*ChartInstall); ok {
		if err := chart.heal(ctx); err != nil {
			fmt.Printf("e2e: the release could not be brought back: %v\n", err)
		}
	}
	p, ok := e.ringway.(*Processes)
	if ok && !running[Controller] {
		if err := p.RunController(ctx, 0); err != nil {
			fmt.Printf("e2e: the controller could not be started again: %v\n", err)
		}
	}
	if ok && !running[Proxy] {
		if err := p.RunProxy(ctx); err != nil {
			fmt.Printf("e2e: the proxy could not be started again: %v\n", err)
		}
	}
}

// Bare runs one without Ringway.
func (e *Env) Bare(t *testing.T, ns, title string, body func(s *S)) {
	t.Helper()
	e.run(t, ns, title, Anywhere, func(s *S) {
		defer s.stopLoads()
		body(s)
	})
}

func (e *Env) run(t *testing.T, ns, title string, where Where, body func(s *S)) {
	t.Helper()
	if e == nil {
		t.Skip("no cluster: scenarios are run by ./dev e2e, which needs root and Go")
	}
	if where == FullOnly && !e.Full() {
		e.Table.leftOut(title)
		t.Skip("needs pods: ./dev e2e without --api")
	}
	if where == APIOnly && e.Full() {
		t.Skip("is for processes: ./dev e2e --api")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &S{T: t, Env: e, Ctx: ctx, NS: ns, row: Row{Title: title}}
	begin := time.Now()
	defer func() {
		cancel()
		s.row.Took = time.Since(begin)
		s.row.Verdict = "passed"
		if t.Failed() {
			s.row.Verdict = "FAILED"
		} else if t.Skipped() {
			s.row.Verdict = "skipped"
		}
		e.Table.add(s.row)
		fmt.Printf("e2e: %-7s %5.0f s  %s (%s)\n", s.row.Verdict, s.row.Took.Seconds(), title, s.row.Load)
	}()
	s.namespace()
	body(s)
}

func (s *S) namespace() {
	_, err := s.Kube.CoreV1().Namespaces().Create(s.Ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.NS}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		s.Fatalf("namespace %s: %v", s.NS, err)
	}
	s.Cleanup(func() { s.Env.clear(s.NS) })
}

// clear removes what a scenario made. Without controller-manager a namespace does not empty itself.
func (e *Env) clear(ns string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	all := metav1.ListOptions{}
	now := metav1.DeleteOptions{}
	e.Kube.NetworkingV1().Ingresses(ns).DeleteCollection(ctx, now, all)
	e.Kube.DiscoveryV1().EndpointSlices(ns).DeleteCollection(ctx, now, all)
	e.Kube.CoreV1().Secrets(ns).DeleteCollection(ctx, now, all)
	if services, err := e.Kube.CoreV1().Services(ns).List(ctx, all); err == nil {
		for _, service := range services.Items {
			e.Kube.CoreV1().Services(ns).Delete(ctx, service.Name, now)
		}
	}
	e.Kube.AppsV1().Deployments(ns).DeleteCollection(ctx, now, all)
	e.Kube.CoreV1().Namespaces().Delete(ctx, ns, now)
}

// Fact is something worth a place in the table.
func (s *S) Fact(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.row.Facts = append(s.row.Facts, fmt.Sprintf(format, args...))
}

// SteadyMayFail is for scenarios that take away what every request needs.
func (s *S) SteadyMayFail() { s.calm = true }

// Load begins one against Ringway from outside; it ends with Judge or with the scenario.
func (s *S) Load(c load.Config) *load.Load {
	c.Dial = s.Outside.DialContext
	if c.Address == "" {
		c.Address = s.ringway.HTTP()
		if c.TLS != nil {
			c.Address = s.ringway.HTTPS()
		}
	}
	l := load.Start(c)
	s.mu.Lock()
	s.loads = append(s.loads, l)
	s.mu.Unlock()
	return l
}

// Judge ends a load: not one request may have failed.
func (s *S) Judge(l *load.Load) load.Result {
	s.Helper()
	r := s.Count(l)
	if r.Failed > 0 {
		s.Errorf("%s; first: %v", r, r.Failures[:min(5, len(r.Failures))])
	}
	if r.Again > 0 {
		s.Errorf("%d connections ended under a request although nothing was taken down in front of it", r.Again)
	}
	return r
}

// Count ends a load and leaves the verdict to the scenario.
func (s *S) Count(l *load.Load) load.Result {
	r := l.Stop()
	s.mu.Lock()
	s.loads = slices.DeleteFunc(s.loads, func(other *load.Load) bool { return other == l })
	s.mu.Unlock()
	s.book(r)
	if rate := float64(r.Sent) / r.Duration.Seconds(); rate < 100 && r.Duration > 5*time.Second {
		s.Errorf("the client sent only %.0f requests/s: this run says nothing", rate)
	}
	return r
}

func (s *S) stopLoads() {
	for _, l := range slices.Clone(s.loads) {
		s.Count(l)
	}
}

func (s *S) book(r load.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.row.Load = s.row.Load.Plus(r)
}

// Eventually fails the scenario if it never comes true.
func (s *S) Eventually(limit time.Duration, what string, try func() error) {
	s.Helper()
	if err := Eventually(s.Ctx, limit, try); err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// Must ends the scenario on an error.
func (s *S) Must(err error, what string, args ...any) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", fmt.Sprintf(what, args...), err)
	}
}

// Sleep waits, or until the scenario ends.
func (s *S) Sleep(d time.Duration) {
	select {
	case <-s.Ctx.Done():
	case <-time.After(d):
	}
}
