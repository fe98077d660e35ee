package scenarios

import (
	"testing"
	"time"

	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

// TestJudge: without a proxy in between the client sees the death of a pod. If it did not, all that follows would say nothing.
func TestJudge(t *testing.T) {
	env.Bare(t, "judge", "the client sees what nothing hides: a pod killed without a proxy in front", func(s *harness.S) {
		app := s.App(harness.AppSpec{Name: "web", Replicas: 1})
		addresses, err := app.Addresses(s.Ctx)
		s.Must(err, "addresses")
		l := s.Load(load.Config{Address: addresses[0], Host: "judge.example"})
		s.Eventually(soon, "two hundred answers", func() error {
			if l.Snapshot().OK < 200 {
				return errFew
			}
			return nil
		})
		if r := l.Snapshot(); r.Failed > 0 {
			s.Errorf("before the death: %s", r)
		}
		_, err = app.KillOne(s.Ctx)
		s.Must(err, "killing the pod")
		s.Sleep(time.Second)
		r := l.Stop()
		if r.Reasons["connection refused"] == 0 {
			s.Errorf("nobody was refused: %s", r)
		}
		s.Fact("before the table begins: %d of %d requests failed, as they must", r.Failed, r.Sent)
	})
}
