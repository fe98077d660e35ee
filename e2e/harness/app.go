package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	appPort      = 8080
	backendImage = "ringway.test/backend:1"
)

// AppSpec says what an application is like.
type AppSpec struct {
	NS, Name       string
	Replicas       int
	MaxUnavailable string        // Of a rolling update: "1", "50%".
	PreStop        time.Duration // A hook that sleeps, as careful people have.
}

// App is an application behind a Service of its name, port 80 ("http"). Its backends say their pod's name.
type App interface {
	// Pods that serve.
	Pods(ctx context.Context) ([]string, error)
	// Addresses of them, HOST:PORT.
	Addresses(ctx context.Context) ([]string, error)
	// Scale returns when exactly n are ready and no other is left.
	Scale(ctx context.Context, n int) error
	// Roll replaces every pod within the bounds of the spec and returns when the last old one is gone.
	Roll(ctx context.Context) error
	// KillOne ends one pod's program without notice and gives its name; something replaces it after a moment.
	KillOne(ctx context.Context) (string, error)
}

// App makes one and returns when all pods are ready.
func (s *S) App(spec AppSpec) App {
	s.Helper()
	if spec.NS == "" {
		spec.NS = s.NS
	}
	app, err := s.Env.newApp(s.Ctx, spec)
	s.Must(err, "application %s", spec.Name)
	if p, ok := app.(*processApp); ok {
		s.Cleanup(p.stop)
	}
	return app
}

func (e *Env) newApp(ctx context.Context, spec AppSpec) (App, error) {
	if spec.MaxUnavailable == "" {
		spec.MaxUnavailable = "1"
	}
	if e.Full() {
		return newPodApp(ctx, e, spec)
	}
	return newProcessApp(ctx, e, spec)
}

// Answer is what a backend says.
type Answer struct {
	Status  int
	Pod     string
	Method  string
	Host    string
	Path    string
	Query   string
	Proto   string
	Headers http.Header
	Header  http.Header `json:"-"` // Of the response.
	Text    string      `json:"-"`
}

// Get asks Ringway from outside, once, on a connection of its own.
func (e *Env) Get(ctx context.Context, address, host, path string) (Answer, error) {
	return e.get(ctx, &http.Client{Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: e.Outside.DialContext, DisableKeepAlives: true, DisableCompression: true}}, "http://"+address, host, path)
}

func (e *Env) get(ctx context.Context, client *http.Client, base, host, path string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return Answer{}, err
	}
	request.Host = host
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{}
	json.Unmarshal(body, &answer) // Not a backend's: the fields stay empty.
	answer.Status, answer.Header, answer.Text = response.StatusCode, response.Header, string(body)
	return answer, nil
}

// Serves is an error unless that host and path are answered by a backend.
func (s *S) Serves(host, path string) error {
	answer, err := s.Get(s.Ctx, s.ringway.HTTP(), host, path)
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK || answer.Pod == "" {
		return fmt.Errorf("http://%s%s: status %d, %.100q", host, path, answer.Status, answer.Text)
	}
	return nil
}

// AwaitServed ends the scenario unless they come.
func (s *S) AwaitServed(host string, paths ...string) {
	s.Helper()
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	for _, path := range paths {
		s.Eventually(time.Minute, "http://"+host+path, func() error { return s.Serves(host, path) })
		if chart, ok := s.ringway.(*ChartInstall); ok { // One of the proxies answered; the others may be a moment behind.
			s.Eventually(time.Minute, "http://"+host+path+" by every proxy", func() error { return chart.eachServes(s.Ctx, host, path) })
		}
	}
}
