package harness

// Objects in few words.

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"ringway.test/e2e/cluster"
)

// IngressClass of Ringway.
const IngressClass = "ringway"

// Path of an Ingress: "/foo" (Prefix), "=/foo" (Exact), "~/foo" (ImplementationSpecific); "service" or "service:port".
type Path struct{ Path, Service string }

// Rule of an Ingress. Without a host it is for every host.
type Rule struct {
	Host  string
	Paths []Path
}

// Ingress makes one of Ringway's class.
func Ingress(ns, name string, rules ...Rule) *networkingv1.Ingress {
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: map[string]string{}},
		Spec: networkingv1.IngressSpec{IngressClassName: ptr.To(IngressClass)}}
	for _, r := range rules {
		rule := networkingv1.IngressRule{Host: r.Host}
		rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
		for _, p := range r.Paths {
			kind := networkingv1.PathTypePrefix
			path := p.Path
			switch {
			case strings.HasPrefix(path, "="):
				kind, path = networkingv1.PathTypeExact, path[1:]
			case strings.HasPrefix(path, "~"):
				kind, path = networkingv1.PathTypeImplementationSpecific, path[1:]
			}
			rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{Path: path, PathType: &kind, Backend: *backend(p.Service)})
		}
		ingress.Spec.Rules = append(ingress.Spec.Rules, rule)
	}
	return ingress
}

// Simple serves one host from one Service.
func Simple(ns, name, host, service string) *networkingv1.Ingress {
	return Ingress(ns, name, Rule{host, []Path{{"/", service}}})
}

func backend(service string) *networkingv1.IngressBackend {
	return &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}}}
}

// Default sets the backend of what matches no rule.
func Default(ingress *networkingv1.Ingress, service string) *networkingv1.Ingress {
	ingress.Spec.DefaultBackend = backend(service)
	return ingress
}

// WithTLS serves hosts with a Secret.
func WithTLS(ingress *networkingv1.Ingress, secret string, hosts ...string) *networkingv1.Ingress {
	ingress.Spec.TLS = append(ingress.Spec.TLS, networkingv1.IngressTLS{Hosts: hosts, SecretName: secret})
	// What is asked in plain is answered in plain, so that the same load goes on.
	ingress.Annotations["nginx.ingress.kubernetes.io/ssl-redirect"] = "false"
	return ingress
}

// Create makes Ingresses.
func (s *S) Create(all ...*networkingv1.Ingress) {
	s.Helper()
	s.Must(s.Env.create(s.Ctx, all), "creating Ingresses")
}

// create makes many at a time: the API server is quicker than one after the other.
func (e *Env) create(ctx context.Context, all []*networkingv1.Ingress) error {
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	slots := make(chan struct{}, 8)
	for i, ingress := range all {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			_, errs[i] = e.Kube.NetworkingV1().Ingresses(ingress.Namespace).Create(ctx, ingress, metav1.CreateOptions{})
		}()
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("%s/%s: %w", all[i].Namespace, all[i].Name, err)
		}
	}
	return nil
}

// Update replaces an Ingress's spec and annotations.
func (s *S) Update(ingress *networkingv1.Ingress) {
	s.Helper()
	api := s.Kube.NetworkingV1().Ingresses(ingress.Namespace)
	// The leader may write the status of the same object in between.
	s.Must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		old, err := api.Get(s.Ctx, ingress.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		old.Spec, old.Annotations = ingress.Spec, ingress.Annotations
		_, err = api.Update(s.Ctx, old, metav1.UpdateOptions{})
		return err
	}), "updating Ingress %s", ingress.Name)
}

// Delete removes an Ingress.
func (s *S) Delete(name string) {
	s.Helper()
	s.Must(s.Kube.NetworkingV1().Ingresses(s.NS).Delete(s.Ctx, name, metav1.DeleteOptions{}), "deleting Ingress %s", name)
}

// Secret puts a certificate into a Secret of type kubernetes.io/tls, made or replaced.
func (s *S) Secret(name string, pair cluster.Pair) {
	s.Helper()
	api := s.Kube.CoreV1().Secrets(s.NS)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.NS, Name: name}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": pair.Certificate, "tls.key": pair.Key}}
	if _, err := api.Get(s.Ctx, name, metav1.GetOptions{}); err == nil {
		_, err = api.Update(s.Ctx, secret, metav1.UpdateOptions{})
		s.Must(err, "Secret %s", name)
		return
	}
	_, err := api.Create(s.Ctx, secret, metav1.CreateOptions{})
	s.Must(err, "Secret %s", name)
}

// Issue makes a certificate for hosts.
func (s *S) Issue(authority *cluster.Authority, hosts ...string) cluster.Pair {
	s.Helper()
	pair, err := authority.Issue(pkix.Name{CommonName: hosts[0]}, hosts...)
	s.Must(err, "certificate")
	return pair
}
