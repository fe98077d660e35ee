package scenarios

// Other shapes of the installation, each a release of its own beside the one that all scenarios play with. Needs pods.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

// beside installs a release of topology `single` with a class of its name in a namespace of that level of Pod Security.
func beside(s *harness.S, name, level, http, https string, values ...string) *harness.ChartInstall {
	s.Helper()
	ns := "ringway-" + name
	s.Must(s.Secured(s.Ctx, ns, level), "namespace %s", ns)
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Kube.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{})
	})
	r, err := s.InstallChart(s.Ctx, name, ns, http, https, append([]string{"topology=single", "controller.replicaCount=1",
		"controller.ingressClassResource.name=" + name, "controller.ingressClass=" + name,
		"controller.ingressClassResource.controllerValue=ringway.dev/" + name}, values...)...)
	s.Must(err, "installing release %s", name)
	return r
}

func TestSingle(t *testing.T) {
	env.Scenario(t, "single", "topology single: served, shown, helm test, updated under load, its controller killed", harness.FullOnly, func(s *harness.S) {
		const host = "single.example"
		r := beside(s, "small", "restricted", "30180", "30543")
		s.App(harness.AppSpec{Name: "one", Replicas: 2})
		s.App(harness.AppSpec{Name: "two", Replicas: 1})
		ingress := harness.Simple(s.NS, "web", host, "one")
		ingress.Spec.IngressClassName = ptr.To("small")
		s.Create(ingress)
		served := func(app string) {
			s.Helper()
			s.Eventually(soon, host+" by "+app, func() error {
				answer, err := s.Get(s.Ctx, r.HTTP(), host, "/")
				if err == nil && !appOf(answer.Pod, app) {
					err = fmt.Errorf("status %d, pod %q", answer.Status, answer.Pod)
				}
				return err
			})
		}
		served("one")
		if err := verify(s, want{host, "/", "404"}); err != nil {
			s.Errorf("the other release serves an Ingress that is not of its class: %v", err)
		}
		s.Eventually(soon, "the address in the Ingress's status", func() error { return addressShown(s, "web") })
		phase, err := r.Test(s.Ctx)
		s.Must(err, "helm test")
		l := s.Load(load.Config{Address: r.HTTP(), Host: host, FreshRate: 50})
		s.Sleep(time.Second)
		s.Must(r.Roll(s.Ctx, r.Proxies()), "rolling update")
		s.Sleep(time.Second)
		if r := s.Count(l); r.Failed > 0 {
			s.Errorf("rolling update: %s; first %v", r, r.Failures[:min(5, len(r.Failures))])
		}
		// A pod with a container that is being started again is not ready, and this one is alone: what is refused is counted, not judged. Kept
		// connections go on.
		l = s.Load(load.Config{Address: r.HTTP(), Host: host, FreshRate: 50})
		s.Sleep(time.Second)
		s.Must(r.RestartControllers(s.Ctx), "killing the controller beside its proxy")
		ingress.Spec = harness.Simple(s.NS, "web", host, "two").Spec
		ingress.Spec.IngressClassName = ptr.To("small")
		s.Update(ingress)
		served("two")
		killed := s.Count(l)
		if refused := killed.Reasons["connection refused"]; killed.Failed > refused {
			s.Errorf("killing the controller: %s", killed)
		}
		s.Fact("helm test: %s; rolling update: 0 failed; controller killed: %d new connections refused while its container started again", phase, killed.Failed)
		s.Must(r.Uninstall(s.Ctx), "helm uninstall")
	})
}

// TestSeccompInstaller: the chart's own profile, brought to the node by the chart, is what the proxy runs under. The proxy starts when it is there.
func TestSeccompInstaller(t *testing.T) {
	env.Scenario(t, "installer", "the chart's seccomp profile by its installer: io_uring under it", harness.FullOnly, func(s *harness.S) {
		folder := filepath.Join(s.Cluster.Dir(), "kubelet/seccomp")
		values := []string{"seccomp.type=Localhost", "seccomp.installer.enabled=true", "seccomp.installer.kubeletSeccompDir=" + folder}
		uring := ring(s, s.Ringway()) == "io_uring" // Else this machine has none, whatever the profile.
		if uring {
			values = append(values, "proxy.io=uring")
		}
		r := beside(s, "sealed", "privileged", "30181", "30544", values...)
		wanted, err := os.ReadFile(filepath.Join(s.ChartDir(), "files/seccomp/ringway-proxy.json"))
		s.Must(err, "the chart's profile")
		got, err := os.ReadFile(filepath.Join(folder, "ringway/ringway-proxy.json"))
		s.Must(err, "the profile on the node")
		if string(got) != string(wanted) {
			s.Errorf("the profile on the node is not the chart's: %d bytes, want %d", len(got), len(wanted))
		}
		backend := ring(s, r)
		if uring && backend != "io_uring" {
			s.Errorf("the proxy runs on %s", backend)
		}
		s.Fact("ring under the profile: %s", backend)
		phase, err := r.Test(s.Ctx)
		s.Must(err, "helm test")
		s.Fact("helm test: %s", phase)
		s.Must(r.Uninstall(s.Ctx), "helm uninstall")
	})
}

// TestRestricted: what needs more than level `restricted` is refused there, by the API server and not by the chart's luck.
func TestRestricted(t *testing.T) {
	env.Scenario(t, "restricted", "a pod that is not restricted is refused where Ringway runs", harness.FullOnly, func(s *harness.S) {
		_, err := s.Kubectl(s.Ctx, "", "-n", harness.Namespace, "run", "root", "--image=ringway.test/backend:1", "--restart=Never")
		if err == nil {
			s.Kubectl(s.Ctx, "", "-n", harness.Namespace, "delete", "pod", "root", "--now")
			s.Fatal("a pod without a security context was taken: the namespace does not enforce anything")
		}
		if !strings.Contains(err.Error(), `violates PodSecurity "restricted`) {
			s.Must(err, "kubectl run")
		}
	})
}

// left says what a release has left behind, but for its Secrets and its Lease: its controllers made those.
func left(s *harness.S, name string) error {
	text, err := s.Kubectl(s.Ctx, "", "get", "deployments,daemonsets,services,configmaps,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,ingressclasses,pods",
		"-A", "-l", "app.kubernetes.io/instance="+name, "-o", "name")
	if err == nil && strings.TrimSpace(text) != "" {
		err = errors.New("left: " + strings.Join(strings.Fields(text), " "))
	}
	return err
}
