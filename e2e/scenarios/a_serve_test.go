package scenarios

// What an Ingress means. The 25 scenarios of Kubernetes' own ingress conformance features (default backend, host rules, class, load balancing,
// path rules), restated: https://github.com/kubernetes-sigs/ingress-controller-conformance, features/.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ringway.test/e2e/cluster"
	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

const soon = time.Minute // Within this a change must have arrived, however busy the machine is.

// want is a request and which application must answer it; "404" and the like: a status of Ringway's own.
type want struct{ host, path, app string }

func check(s *harness.S, wants ...want) {
	s.Helper()
	for _, w := range wants {
		s.Eventually(soon, w.host+w.path+" → "+w.app, func() error { return verify(s, w) })
	}
}

func verify(s *harness.S, w want) error {
	answer, err := s.Get(s.Ctx, s.Ringway().HTTP(), w.host, w.path)
	if err != nil {
		return err
	}
	if answer.Pod == "" {
		if fmt.Sprint(answer.Status) == w.app {
			return nil
		}
		return fmt.Errorf("status %d", answer.Status)
	}
	if w.app == "" || !appOf(answer.Pod, w.app) {
		return fmt.Errorf("answered by %s", answer.Pod)
	}
	if path, _, _ := strings.Cut(w.path, "?"); answer.Host != w.host || answer.Path != path {
		return fmt.Errorf("the backend saw %s%s", answer.Host, answer.Path)
	}
	return nil
}

// appOf: pods are called APP-… by a Deployment and NAMESPACE-APP-… as processes.
func appOf(pod, app string) bool {
	return strings.HasPrefix(pod, app+"-") || strings.Contains(pod, "-"+app+"-")
}

func TestServe(t *testing.T) {
	env.Scenario(t, "serve", "an Ingress is served, its address shown", harness.Anywhere, func(s *harness.S) {
		s.App(harness.AppSpec{Name: "web", Replicas: 2})
		s.Create(harness.Simple(s.NS, "web", "serve.example", "web"))
		s.AwaitServed("serve.example")
		l := s.Load(load.Config{Host: "serve.example"})
		s.Eventually(soon, "the address in the Ingress's status", func() error { return addressShown(s, "web") })
		answer, err := s.Get(s.Ctx, s.Ringway().HTTP(), "serve.example", "/x?y=z")
		s.Must(err, "request")
		if answer.Headers.Get("X-Forwarded-Host") != "serve.example" || answer.Headers.Get("X-Request-Id") == "" || answer.Query != "y=z" {
			s.Errorf("the backend saw %v, query %q", answer.Headers, answer.Query)
		}
		text, err := s.Kubectl(s.Ctx, "", "-n", s.NS, "get", "ingress", "web", "--no-headers")
		s.Must(err, "kubectl get ingress")
		s.Fact("kubectl get ingress: %s", strings.Join(strings.Fields(text), " "))
		s.Sleep(5 * time.Second)
		s.Judge(l)
	})
}

func addressShown(s *harness.S, name string) error {
	ingress, err := s.Kube.NetworkingV1().Ingresses(s.NS).Get(s.Ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if len(ingress.Status.LoadBalancer.Ingress) == 0 {
		return errors.New("no address yet")
	}
	return nil
}

func TestDefaultBackend(t *testing.T) {
	env.Scenario(t, "default-backend", "conformance: default backend", harness.Anywhere, func(s *harness.S) {
		s.App(harness.AppSpec{Name: "rest", Replicas: 1})
		s.App(harness.AppSpec{Name: "named", Replicas: 1})
		s.Create(harness.Default(harness.Ingress(s.NS, "all"), "rest"))
		check(s, want{"anything.example", "/", "rest"}, want{"other.example", "/deep/path", "rest"}, want{"10.0.0.1", "/", "rest"})
		s.Update(harness.Default(harness.Ingress(s.NS, "all", harness.Rule{Host: "named.example", Paths: []harness.Path{{Path: "/app", Service: "named"}}}), "rest"))
		// With rules beside it the default backend is for the hosts of those rules, as ingress-nginx has it.
		check(s, want{"named.example", "/app", "named"}, want{"named.example", "/else", "rest"}, want{"anything.example", "/app", "404"})
		s.Delete("all")
		check(s, want{"anything.example", "/", "404"}, want{"named.example", "/app", "404"})
	})
}

func TestHostRules(t *testing.T) {
	env.Scenario(t, "host-rules", "conformance: host rules, wildcard, certificate", harness.Anywhere, func(s *harness.S) {
		authority, err := cluster.NewAuthority("e2e hosts")
		s.Must(err, "authority")
		s.App(harness.AppSpec{Name: "exact", Replicas: 1})
		s.App(harness.AppSpec{Name: "wild", Replicas: 1})
		s.Secret("exact-tls", s.Issue(authority, "exact.hosts.example"))
		s.Secret("wild-tls", s.Issue(authority, "*.wild.example"))
		s.Create(harness.WithTLS(harness.Simple(s.NS, "exact", "exact.hosts.example", "exact"), "exact-tls", "exact.hosts.example"),
			harness.WithTLS(harness.Simple(s.NS, "wild", "*.wild.example", "wild"), "wild-tls", "*.wild.example"))
		check(s, want{"exact.hosts.example", "/", "exact"}, want{"a.wild.example", "/x", "wild"}, want{"b.wild.example", "/", "wild"},
			want{"wild.example", "/", "404"}, want{"a.b.wild.example", "/", "404"}, want{"other.hosts.example", "/", "404"},
			want{"EXACT.hosts.example", "/", "exact"})
		for host, app := range map[string]string{"exact.hosts.example": "exact", "a.wild.example": "wild"} {
			s.Eventually(soon, "https://"+host, func() error { return secureGet(s, authority, host, app) })
		}
		if err := secureGet(s, authority, "a.b.wild.example", "wild"); err == nil {
			s.Errorf("a certificate for *.wild.example was taken as one for a.b.wild.example")
		}
	})
}

// secureGet wants an answer over TLS with a certificate that the authority signed for that host.
func secureGet(s *harness.S, authority *cluster.Authority, host, app string) error {
	pool := x509.NewCertPool()
	pool.AddCert(authority.Certificate)
	transport := &http.Transport{DialContext: s.Outside.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: host}}
	ctx, cancel := context.WithTimeout(s.Ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.Ringway().HTTPS()+"/", nil)
	if err != nil {
		return err
	}
	request.Host = host
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if pod := response.Header.Get("X-Pod"); response.StatusCode != http.StatusOK || !appOf(pod, app) {
		return fmt.Errorf("status %d from %q", response.StatusCode, pod)
	}
	return nil
}

func TestClass(t *testing.T) {
	env.Scenario(t, "class", "conformance: ingress class", harness.Anywhere, func(s *harness.S) {
		s.App(harness.AppSpec{Name: "web", Replicas: 1})
		foreign := harness.Simple(s.NS, "foreign", "foreign.class.example", "web")
		foreign.Spec.IngressClassName = ptr.To("somebody-else")
		none := harness.Simple(s.NS, "none", "none.class.example", "web")
		none.Spec.IngressClassName = nil
		annotated := harness.Simple(s.NS, "annotated", "annotated.class.example", "web")
		annotated.Spec.IngressClassName = nil
		annotated.Annotations["kubernetes.io/ingress.class"] = harness.IngressClass
		_, err := s.Kube.NetworkingV1().IngressClasses().Create(s.Ctx, &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "somebody-else"},
			Spec: networkingv1.IngressClassSpec{Controller: "example.invalid/other"}}, metav1.CreateOptions{})
		s.Must(err, "IngressClass")
		s.Cleanup(func() {
			s.Kube.NetworkingV1().IngressClasses().Delete(context.Background(), "somebody-else", metav1.DeleteOptions{})
		})
		s.Create(foreign, none, annotated, harness.Simple(s.NS, "ours", "ours.class.example", "web"))
		// Ours came last: when it is served the others have been seen.
		check(s, want{"ours.class.example", "/", "web"}, want{"annotated.class.example", "/", "web"},
			want{"foreign.class.example", "/", "404"}, want{"none.class.example", "/", "404"})
		foreign.Spec.IngressClassName = ptr.To(harness.IngressClass)
		s.Update(foreign)
		check(s, want{"foreign.class.example", "/", "web"})
	})
}

func TestLoadBalancing(t *testing.T) {
	env.Scenario(t, "load-balancing", "conformance: load balancing over 10 pods", harness.Anywhere, func(s *harness.S) {
		s.App(harness.AppSpec{Name: "ten", Replicas: 10})
		s.Create(harness.Simple(s.NS, "ten", "ten.example", "ten"))
		s.AwaitServed("ten.example")
		l := s.Load(load.Config{Host: "ten.example"})
		s.Sleep(5 * time.Second)
		r := s.Judge(l)
		least, most := spread(r.Pods)
		if len(r.Pods) != 10 {
			s.Errorf("%d of 10 pods answered: %v", len(r.Pods), r.Pods)
		}
		s.Fact("10 pods, %d to %d requests each", least, most)
	})
}

func spread(pods map[string]int) (least, most int) {
	least = 1 << 30
	for _, count := range pods {
		least, most = min(least, count), max(most, count)
	}
	return
}

func TestPathRules(t *testing.T) {
	// One Ingress a host, so that rules do not meet unless they shall.
	rules := []struct {
		name  string
		paths []harness.Path
		wants []want // host is filled in
	}{
		{"exact", []harness.Path{{Path: "=/foo", Service: "one"}}, []want{{"", "/foo", "one"}}},
		{"exact-not-slash", []harness.Path{{Path: "=/foo", Service: "one"}}, []want{{"", "/foo/", "404"}}},
		{"exact-slash", []harness.Path{{Path: "=/foo/", Service: "one"}}, []want{{"", "/foo/", "one"}, {"", "/foo", "404"}}},
		{"exact-case", []harness.Path{{Path: "=/foo", Service: "one"}}, []want{{"", "/FOO", "404"}}},
		{"exact-no-prefix", []harness.Path{{Path: "=/foo", Service: "one"}}, []want{{"", "/foo/bar", "404"}, {"", "/foobar", "404"}}},
		{"prefix-root", []harness.Path{{Path: "/", Service: "one"}}, []want{{"", "/", "one"}, {"", "/any/thing", "one"}}},
		{"prefix", []harness.Path{{Path: "/foo", Service: "one"}}, []want{{"", "/foo", "one"}, {"", "/foo/", "one"}}},
		{"prefix-case", []harness.Path{{Path: "/foo", Service: "one"}}, []want{{"", "/FOO", "404"}}},
		{"prefix-slash", []harness.Path{{Path: "/aaa/bbb/", Service: "one"}}, []want{{"", "/aaa/bbb", "one"}, {"", "/aaa/bbb/", "one"}}},
		{"prefix-deep", []harness.Path{{Path: "/aaa/bbb", Service: "one"}}, []want{{"", "/aaa/bbb/ccc", "one"}}},
		{"prefix-element", []harness.Path{{Path: "/aaa/bb", Service: "one"}}, []want{{"", "/aaa/bbb", "404"}}},
		{"prefix-not-part", []harness.Path{{Path: "/aaa/bbb", Service: "one"}}, []want{{"", "/aaa/bbbxyz", "404"}}},
		{"longest", []harness.Path{{Path: "/", Service: "one"}, {Path: "/aaa", Service: "two"}, {Path: "/aaa/bbb", Service: "three"}},
			[]want{{"", "/aaa/ccc", "two"}, {"", "/aaa/bbb/ccc", "three"}, {"", "/ccc", "one"}}},
		{"exact-wins", []harness.Path{{Path: "/foo", Service: "one"}, {Path: "=/foo", Service: "two"}}, []want{{"", "/foo", "two"}, {"", "/foo/x", "one"}}},
		{"query", []harness.Path{{Path: "=/foo", Service: "one"}}, []want{{"", "/foo?a=b", "one"}}},
		{"implementation", []harness.Path{{Path: "~/foo", Service: "one"}}, []want{{"", "/foo", "one"}, {"", "/bar", "404"}}},
	}
	env.Scenario(t, "path-rules", fmt.Sprintf("conformance: %d path rules", len(rules)), harness.Anywhere, func(s *harness.S) {
		for _, name := range []string{"one", "two", "three"} {
			s.App(harness.AppSpec{Name: name, Replicas: 1})
		}
		for _, rule := range rules {
			s.Create(harness.Ingress(s.NS, rule.name, harness.Rule{Host: rule.name + ".paths.example", Paths: rule.paths}))
		}
		for _, rule := range rules {
			for _, w := range rule.wants {
				w.host = rule.name + ".paths.example"
				if w.app == "404" { // Not because it is not there yet: another path of the host, or that of the last rule, is.
					check(s, want{"implementation.paths.example", "/foo", "one"})
				}
				check(s, w)
			}
		}
	})
}
