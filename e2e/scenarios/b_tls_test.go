package scenarios

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ringway.test/e2e/cluster"
	"ringway.test/e2e/harness"
	"ringway.test/e2e/load"
)

func TestSecretLife(t *testing.T) {
	env.Scenario(t, "secret", "TLS Secret created, replaced, broken, mended, deleted", harness.Anywhere, func(s *harness.S) {
		const host = "secret.example"
		authority, err := cluster.NewAuthority("e2e secret")
		s.Must(err, "authority")
		s.App(harness.AppSpec{Name: "web", Replicas: 2})
		s.Create(harness.WithTLS(harness.Simple(s.NS, "web", host, "web"), "tls", host))
		s.AwaitServed(host)
		plain := s.Load(load.Config{Host: host})
		// Clients that do not look at the certificate must be served throughout, whatever the Secret is.
		secure := s.Load(load.Config{Host: host, TLS: &tls.Config{ServerName: host, InsecureSkipVerify: true}, FreshRate: 40})
		if err := presents(s, authority, host, nil); err == nil {
			s.Fatal("there is a certificate although the Secret does not exist")
		}
		first, second, third := s.Issue(authority, host), s.Issue(authority, host), s.Issue(authority, host)
		s.Secret("tls", first)
		s.Eventually(soon, "the certificate of a new Secret", func() error { return presents(s, authority, host, &first) })
		s.Secret("tls", second)
		s.Eventually(soon, "the certificate of a replaced Secret", func() error { return presents(s, authority, host, &second) })
		s.Secret("tls", cluster.Pair{Certificate: []byte("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n"), Key: second.Key})
		// A broken and a deleted Secret leave the last good certificate. A change after it proves that the controller has seen it.
		stays := func(what, later string, pair cluster.Pair) {
			s.Create(harness.Simple(s.NS, later, later+".secret.example", "web"))
			s.AwaitServed(later + ".secret.example")
			s.Must(presents(s, authority, host, &pair), "after a %s Secret", what)
		}
		stays("broken", "later", second)
		s.Secret("tls", third)
		s.Eventually(soon, "the certificate of a mended Secret", func() error { return presents(s, authority, host, &third) })
		s.Must(s.Kube.CoreV1().Secrets(s.NS).Delete(s.Ctx, "tls", metav1.DeleteOptions{}), "deleting the Secret")
		stays("deleted", "latest", third)
		s.Fact("broken and deleted Secrets leave the last good certificate")
		s.Judge(secure)
		s.Judge(plain)
	})
}

// presents: the certificate for the host is signed by the authority and, if given, is that one.
func presents(s *harness.S, authority *cluster.Authority, host string, pair *cluster.Pair) error {
	ctx, cancel := context.WithTimeout(s.Ctx, 10*time.Second)
	defer cancel()
	raw, err := s.Outside.DialContext(ctx, "tcp", s.Ringway().HTTPS())
	if err != nil {
		return err
	}
	defer raw.Close()
	pool := x509.NewCertPool()
	pool.AddCert(authority.Certificate)
	connection := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: host})
	if err := connection.HandshakeContext(ctx); err != nil {
		return err
	}
	if pair == nil {
		return nil
	}
	want, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		return err
	}
	if got := connection.ConnectionState().PeerCertificates[0]; !got.Equal(want.Leaf) {
		return fmt.Errorf("certificate %s, want %s", got.SerialNumber, want.Leaf.SerialNumber)
	}
	return nil
}
