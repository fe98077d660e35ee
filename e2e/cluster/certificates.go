package cluster

// The cluster's authority, its components' certificates, and kubeconfigs.

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const validity = 365 * 24 * time.Hour

// Authority signs certificates. The cluster has one; tests make others for the hosts that they serve.
type Authority struct {
	Certificate *x509.Certificate
	PEM         []byte
	key         crypto.Signer
}

// Pair is a certificate with its key, both PEM.
type Pair struct{ Certificate, Key []byte }

// NewAuthority makes a self-signed one.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := template(pkix.Name{CommonName: name})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{certificate, pemOf("CERTIFICATE", der), key}, nil
}

// Issue signs a certificate for a server (hosts: names and addresses) and client of that subject.
func (a *Authority) Issue(subject pkix.Name, hosts ...string) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	template, err := template(subject)
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key.Public(), a.key)
	if err != nil {
		return Pair{}, err
	}
	keyPEM, err := keyPEM(key)
	return Pair{pemOf("CERTIFICATE", der), keyPEM}, err
}

func template(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity)}, nil
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf("PRIVATE KEY", der), err
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Who there is, and how the files in pki/ are called.
var identities = []struct {
	file    string
	subject pkix.Name
	hosts   []string
}{
	{"apiserver", pkix.Name{CommonName: "kube-apiserver"}, []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local", "127.0.0.1", NodeIP, APIServiceIP}},
	{"apiserver-kubelet-client", pkix.Name{CommonName: "apiserver-kubelet-client", Organization: []string{"system:masters"}}, nil},
	{"front-proxy-client", pkix.Name{CommonName: "front-proxy-client"}, nil},
	{"kubelet-server", pkix.Name{CommonName: NodeName}, []string{NodeName, NodeIP, "127.0.0.1"}},
	{"kubelet", pkix.Name{CommonName: "system:node:" + NodeName, Organization: []string{"system:nodes"}}, nil},
	{"admin", pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, nil},
	{"controller-manager", pkix.Name{CommonName: "system:kube-controller-manager"}, nil},
	{"scheduler", pkix.Name{CommonName: "system:kube-scheduler"}, nil},
	{"kube-proxy", pkix.Name{CommonName: "system:kube-proxy"}, nil},
}

// writePKI makes everything in pki/ and kubeconfig/.
func (l layout) writePKI() error {
	authority, err := NewAuthority("ringway-e2e")
	if err != nil {
		return err
	}
	files := map[string][]byte{"ca.crt": authority.PEM}
	if files["ca.key"], err = keyPEM(authority.key); err != nil {
		return err
	}
	for _, identity := range identities {
		pair, err := authority.Issue(identity.subject, identity.hosts...)
		if err != nil {
			return err
		}
		files[identity.file+".crt"], files[identity.file+".key"] = pair.Certificate, pair.Key
		user := fmt.Sprintf("{client-certificate-data: %s, client-key-data: %s}",
			base64.StdEncoding.EncodeToString(pair.Certificate), base64.StdEncoding.EncodeToString(pair.Key))
		if err := l.WriteKubeconfig(l.kubeconfig(identity.file), authority.PEM, user); err != nil {
			return err
		}
	}
	accounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if files["sa.key"], err = keyPEM(accounts); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(accounts.Public())
	if err != nil {
		return err
	}
	files["sa.pub"] = pemOf("PUBLIC KEY", public)
	for name, text := range files {
		if err := writeFile(l.pki(name), text); err != nil {
			return err
		}
	}
	return nil
}

// WriteKubeconfig writes one for a user given in YAML's flow form.
func (l layout) WriteKubeconfig(path string, authority []byte, user string) error {
	return writeFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: cluster, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: user, user: %s}]
contexts: [{name: context, context: {cluster: cluster, user: user}}]
current-context: context
`, APIServer, base64.StdEncoding.EncodeToString(authority), user))
}

func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
