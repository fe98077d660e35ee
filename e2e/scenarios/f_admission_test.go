package scenarios

// The validating webhook, asked by a real API server.

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ringway.test/e2e/cluster"
	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

const webhookAddress = "127.0.0.1:10280"

// TestAdmission: an Ingress that cannot be served is refused when it is applied, with the reason; one that can is taken and served.
func TestAdmission(t *testing.T) {
	env.Scenario(t, "admission", "admission webhook: invalid Ingresses refused with the reason, valid ones served", harness.APIOnly, func(s *harness.S) {
		s.App(harness.AppSpec{Name: "web", Replicas: 2})
		s.Create(harness.Simple(s.NS, "first", "ad.example", "web"))
		s.AwaitServed("ad.example")
		openWebhook(s)
		l := s.Load(load.Config{Host: "ad.example"})
		api := s.Kube.NetworkingV1().Ingresses(s.NS)

		bad := harness.Simple(s.NS, "bad", "bad.ad.example", "web")
		bad.Annotations["nginx.ingress.kubernetes.io/proxy-body-size"] = "huge"
		taken := harness.Simple(s.NS, "taken", "ad.example", "web")
		regex := harness.Simple(s.NS, "regex", "regex.ad.example", "web")
		regex.Annotations["nginx.ingress.kubernetes.io/use-regex"] = "true"
		regex.Spec.Rules[0].HTTP.Paths[0].Path = "/a("
		regex.Spec.Rules[0].HTTP.Paths[0].PathType = ptr.To(networkingv1.PathTypeImplementationSpecific)
		for _, c := range []struct {
			ingress *networkingv1.Ingress
			reason  string
		}{
			{bad, "proxy-body-size"},
			{taken, "belongs to the older Ingress " + s.NS + "/first"},
			{regex, "regular expression"},
		} {
			_, err := api.Create(s.Ctx, c.ingress, metav1.CreateOptions{})
			if err == nil || !strings.Contains(err.Error(), "admission webhook") || !strings.Contains(err.Error(), c.reason) {
				s.Errorf("Ingress %s: want a refusal by the webhook that says %q, got %v", c.ingress.Name, c.reason, err)
			}
		}

		// Good ones pass, also those whose Service is not there yet, and are served.
		s.Create(harness.Simple(s.NS, "good", "good.ad.example", "web"), harness.Simple(s.NS, "early", "early.ad.example", "not-yet"))
		s.AwaitServed("good.ad.example")

		// A change for the worse is refused and nothing changes; what is somebody else's class is nobody's business here.
		good, err := api.Get(s.Ctx, "good", metav1.GetOptions{})
		s.Must(err, "reading an Ingress")
		good.Annotations = map[string]string{"nginx.ingress.kubernetes.io/proxy-read-timeout": "soon"}
		if _, err := api.Update(s.Ctx, good, metav1.UpdateOptions{}); err == nil || !strings.Contains(err.Error(), "proxy-read-timeout") {
			s.Errorf("a change for the worse: want a refusal that names the annotation, got %v", err)
		}
		other := harness.Simple(s.NS, "other", "ad.example", "web")
		other.Spec.IngressClassName = ptr.To("somebody-elses")
		s.Create(other)
		began := time.Now()
		const looks = 50
		for range looks {
			if _, err := api.Create(s.Ctx, bad, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err == nil {
				s.Errorf("a dry run was not refused")
			}
		}
		s.Fact("refused within %.1f ms, the API server's own part included", float64(time.Since(began).Microseconds())/1000/looks)
		s.AwaitServed("good.ad.example")
		s.Judge(l)
	})
}

// openWebhook runs a controller with the webhook beside the other one, and registers it for the scenario's namespace.
func openWebhook(s *harness.S) {
	authority, err := cluster.NewAuthority("webhook")
	s.Must(err, "an authority")
	pair := s.Issue(authority, "127.0.0.1")
	dir := s.TempDir()
	files := map[string][]byte{"tls.crt": pair.Certificate, "tls.key": pair.Key}
	for name, bytes := range files {
		s.Must(os.WriteFile(filepath.Join(dir, name), bytes, 0o600), "writing %s", name)
	}
	s.Must(s.Processes().RunController(s.Ctx, 2, "--validating-webhook="+webhookAddress, "--validating-webhook-certificate="+filepath.Join(dir, "tls.crt"),
		"--validating-webhook-key="+filepath.Join(dir, "tls.key")), "a controller with the webhook")
	s.Cleanup(func() { s.Cluster.Kill(harness.Controller + "-2") })

	webhooks := s.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err = webhooks.Create(s.Ctx, &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "ringway-e2e"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    "validate.ingress.ringway.dev",
			ClientConfig:            admissionv1.WebhookClientConfig{URL: ptr.To("https://" + webhookAddress + "/validate"), CABundle: authority.PEM},
			Rules:                   []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}, Rule: admissionv1.Rule{APIGroups: []string{"networking.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"ingresses"}}}},
			FailurePolicy:           ptr.To(admissionv1.Fail),
			SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.NS}},
		}}}, metav1.CreateOptions{})
	s.Must(err, "registering the webhook")
	s.Cleanup(func() {
		webhooks.Delete(context.Background(), "ringway-e2e", metav1.DeleteOptions{})
	})
	// The API server learns of a configuration by a watch.
	api := s.Kube.NetworkingV1().Ingresses(s.NS)
	s.Eventually(time.Minute, "the webhook is asked", func() error {
		probe := harness.Simple(s.NS, "probe", "probe.ad.example", "web")
		probe.Annotations["nginx.ingress.kubernetes.io/proxy-body-size"] = "huge"
		_, err := api.Create(s.Ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("a wrong Ingress passed")
		}
		if !strings.Contains(err.Error(), "proxy-body-size") {
			return err
		}
		return nil
	})
}
