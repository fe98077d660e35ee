package scenarios

// Many objects, good and bad.

import (
	"fmt"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

// TestInvalid: 500 Ingresses that cannot work among 500 that can.
func TestInvalid(t *testing.T) {
	env.Scenario(t, "invalid", "500 invalid Ingresses among 500 valid", harness.Anywhere, func(s *harness.S) {
		const n = 500
		s.App(harness.AppSpec{Name: "web", Replicas: 3})
		var all []*networkingv1.Ingress
		for i := range n {
			all = append(all, invalid(s.NS, i), harness.Simple(s.NS, fmt.Sprintf("good-%d", i), fmt.Sprintf("good-%d.example", i), "web"))
		}
		began := time.Now()
		s.Create(all...)
		s.Fact("%d objects made in %.1f s", len(all), time.Since(began).Seconds())
		made := time.Now()
		for i := range n {
			s.AwaitServed(fmt.Sprintf("good-%d.example", i))
		}
		s.Fact("all %d valid ones served %.1f s later", n, time.Since(made).Seconds())
		l := s.Load(load.Config{Host: "good-499.example"})
		// The bad ones change and go; the good ones stay.
		for i := 0; i < n; i += 25 {
			bad := invalid(s.NS, i)
			bad.Spec.Rules[0].Host = fmt.Sprintf("still-bad-%d.example", i)
			s.Update(bad)
		}
		for i := 0; i < n; i += 10 {
			s.Delete(fmt.Sprintf("bad-%d", i))
		}
		s.Judge(l)
		for _, i := range []int{0, 250, n - 1} {
			s.AwaitServed(fmt.Sprintf("good-%d.example", i))
		}
	})
}

// invalid Ingresses are taken by the API server and cannot work, each for another reason.
func invalid(ns string, i int) *networkingv1.Ingress {
	bad := harness.Simple(ns, fmt.Sprintf("bad-%d", i), fmt.Sprintf("bad-%d.example", i), "web")
	note := func(key, value string) { bad.Annotations["nginx.ingress.kubernetes.io/"+key] = value }
	switch i % 7 {
	case 0: // A Service that does not exist.
		bad.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "nowhere"
	case 1: // A port that the Service does not have.
		bad.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port = networkingv1.ServiceBackendPort{Name: "no-such-port"}
	case 2: // A regular expression that is none.
		note("use-regex", "true")
		kind := networkingv1.PathTypeImplementationSpecific
		bad.Spec.Rules[0].HTTP.Paths[0].PathType, bad.Spec.Rules[0].HTTP.Paths[0].Path = &kind, "/((("
	case 3: // Values that are none.
		note("proxy-read-timeout", "soon")
		note("proxy-body-size", "much")
	case 4: // Code of another proxy.
		note("configuration-snippet", "return 418; }")
	case 5: // The host and path of a valid one: the older wins.
		bad.Spec.Rules[0].Host = fmt.Sprintf("good-%d.example", i)
		bad.Spec.Rules[0].HTTP.Paths[0].Path = "/taken"
		note("rewrite-target", "/$99")
	case 6: // A Secret that does not exist.
		bad.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{bad.Spec.Rules[0].Host}, SecretName: "no-such-secret"}}
	}
	return bad
}

// TestChangeToEffect measures from the begin of the write to the first answer that shows it, with 1,000 Ingresses in the cluster. The time is
// printed beside its target; whether the change arrives at all is what is judged.
func TestChangeToEffect(t *testing.T) {
	env.Scenario(t, "effect", "change → effect with 1,000 Ingresses", harness.Anywhere, func(s *harness.S) {
		const n = 1000
		samples := 100
		if s.Quick {
			samples = 30
		}
		s.App(harness.AppSpec{Name: "one", Replicas: 1})
		s.App(harness.AppSpec{Name: "two", Replicas: 1})
		var all []*networkingv1.Ingress
		for i := range n {
			all = append(all, harness.Simple(s.NS, fmt.Sprintf("i-%d", i), fmt.Sprintf("effect-%d.example", i), "one"))
		}
		s.Create(all...)
		s.AwaitServed(fmt.Sprintf("effect-%d.example", n-1))
		s.AwaitServed("effect-0.example")
		poller := s.Poller()
		var whole, event []time.Duration
		for i := range samples {
			name, host := fmt.Sprintf("i-%d", i*7), fmt.Sprintf("effect-%d.example", i*7)
			api := s.Kube.NetworkingV1().Ingresses(s.NS)
			var began time.Time
			// The leader may write the status of the same object in between.
			s.Must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
				old, err := api.Get(s.Ctx, name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				old.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "two"
				began = time.Now()
				_, err = api.Update(s.Ctx, old, metav1.UpdateOptions{})
				return err
			}), "update")
			stored := time.Now()
			s.Must(poller.Until(s.Ctx, soon, host, func(pod string) bool { return appOf(pod, "two") }), "the change of %s", host)
			whole, event = append(whole, time.Since(began)), append(event, time.Since(stored))
		}
		report := func(what string, times []time.Duration, target time.Duration) {
			slices.Sort(times)
			p50, p99 := times[len(times)/2], times[len(times)*99/100]
			verdict := "met"
			if p99 > target {
				verdict = "missed"
			}
			s.Fact("%s: p50 %.0f ms, p99 %.0f ms (target %d ms: %s)", what, p50.Seconds()*1000, p99.Seconds()*1000, target.Milliseconds(), verdict)
		}
		report("write to effect", whole, 250*time.Millisecond)
		report("stored to effect", event, 100*time.Millisecond)
	})
}
