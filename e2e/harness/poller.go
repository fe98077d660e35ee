package harness

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Poller asks again and again on one kept connection, to see when an answer changes.
type Poller struct {
	env    *Env
	client *http.Client
}

// Poller of the scenario.
func (s *S) Poller() *Poller {
	transport := &http.Transport{DialContext: s.Outside.DialContext, MaxIdleConnsPerHost: 1}
	s.Cleanup(transport.CloseIdleConnections)
	return &Poller{s.Env, &http.Client{Timeout: 10 * time.Second, Transport: transport}}
}

// Until asks every millisecond until the pod that answers is as wanted.
func (p *Poller) Until(ctx context.Context, limit time.Duration, host string, wanted func(pod string) bool) error {
	deadline := time.Now().Add(limit)
	for {
		answer, err := p.env.get(ctx, p.client, "http://"+p.env.ringway.HTTP(), host, "/")
		if err == nil && wanted(answer.Pod) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: status %d, pod %q, error %w", limit, answer.Status, answer.Pod, err)
		}
		time.Sleep(time.Millisecond)
	}
}
