package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == InitArgument {
		os.Stderr.WriteString(RunInit(os.Args[2]).Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestEveryProgramHasAPinnedModule(t *testing.T) {
	b, err := OpenBinaries(t.TempDir(), "build")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range FullPrograms {
		path, err := b.Path(program)
		if err != nil || !strings.Contains(path, "/bin/"+program) {
			t.Errorf("%s: %q, %v", program, path, err)
		}
	}
	if _, err := b.Path("kubeadm"); err == nil {
		t.Error("an unknown program has a path")
	}
}

func TestLayoutRefusesWhatTheNodeHides(t *testing.T) {
	if _, err := layoutOf("/var/cache", "a"); err == nil {
		t.Error("/var is the node's own")
	}
	for _, name := range []string{"", "../x", "A", "a/b", strings.Repeat("x", 40)} {
		if _, err := layoutOf("/work", name); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	if l, err := layoutOf("/variable", "a-1"); err != nil || l.path("log") != "/variable/run/a-1/log" {
		t.Errorf("%q, %v", l, err)
	}
}

func TestAuthority(t *testing.T) {
	authority, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(pkix.Name{CommonName: "x"}, "a.example", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority.Certificate)
	for _, host := range []string{"a.example", "10.0.0.1"} {
		if _, err := certificate.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool}); err != nil {
			t.Error(err)
		}
	}
	if _, err := certificate.Leaf.Verify(x509.VerifyOptions{DNSName: "b.example", Roots: pool}); err == nil {
		t.Error("b.example was taken")
	}
}

func TestImageIsTheSameBytesAndWhole(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("\x7fELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	image := Image{Name: "x.test/y:1", Entrypoint: []string{"/a/b/program"}, User: "1:1", Files: map[string]string{"/a/b/program": program}}
	var texts [2][]byte
	for i := range texts {
		path := filepath.Join(dir, "image.tar")
		if err := image.Write(path); err != nil {
			t.Fatal(err)
		}
		texts[i], _ = os.ReadFile(path)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("two images of the same files differ")
	}
	parts := map[string][]byte{}
	for archive := tar.NewReader(bytes.NewReader(texts[0])); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		parts[header.Name], _ = io.ReadAll(archive)
	}
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(parts["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest[0].RepoTags[0] != image.Name || parts[manifest[0].Config] == nil {
		t.Errorf("manifest %+v", manifest)
	}
	if layer := parts[manifest[0].Layers[0]]; digest(layer)+"/layer.tar" != manifest[0].Layers[0] || !bytes.Contains(layer, []byte("a/b/program")) {
		t.Error("the layer is not what its name says")
	}
}

// TestNode starts a node without Kubernetes: its isolation, its processes, its end.
func TestNode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	cache, err := os.MkdirTemp("/tmp", "cluster-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(cache)
	b, err := OpenBinaries(cache, "build")
	if err != nil {
		t.Fatal(err)
	}
	l, err := layoutOf(cache, "unit")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Name: "unit", Mode: API, Layout: l, binary: b, out: io.Discard}
	if err := os.MkdirAll(l.path("log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.startNode(false); err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	again, err := Open(b, "unit")
	if err != nil || again.PID != c.PID {
		t.Fatalf("%v, %v", again, err)
	}
	t.Run("processes", func(t *testing.T) { nodeProcesses(t, c) })
	t.Run("network", func(t *testing.T) { nodeNetwork(t, c) })
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b, "unit"); err == nil {
		t.Error("it is still there")
	}
	if _, err := os.Stat(string(l)); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
	if mounts, _ := os.ReadFile("/proc/mounts"); bytes.Contains(mounts, []byte(cache)) {
		t.Error("a mount leaked into the machine")
	}
}

func nodeProcesses(t *testing.T, c *Cluster) {
	if err := c.Run(Process{Name: "sleeper", Args: []string{"/bin/sleep", "1000"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(Process{Name: "sleeper", Args: []string{"/bin/sleep", "1000"}}); err == nil {
		t.Error("the same name runs twice")
	}
	if status, err := c.Wait("sleeper", 10*time.Millisecond); err != nil || !status.Running {
		t.Errorf("%+v, %v", status, err)
	}
	if err := c.Kill("sleeper"); err != nil {
		t.Error(err)
	}
	if status, err := c.Wait("sleeper", 0); err != nil || status.Exit != 128+int(syscall.SIGKILL) {
		t.Errorf("%+v, %v", status, err)
	}
	if err := c.Run(Process{Name: "code", Args: []string{"/bin/sh", "-c", "echo said; exit 7"}}); err != nil {
		t.Fatal(err)
	}
	if status, err := c.Wait("code", 10*time.Second); err != nil || status.Running || status.Exit != 7 {
		t.Errorf("%+v, %v", status, err)
	}
	if text, _ := os.ReadFile(c.Layout.log("code")); string(text) != "said\n" {
		t.Errorf("log %q", text)
	}
	if err := c.Signal("nobody", syscall.SIGTERM); err == nil {
		t.Error("a signal reached nobody")
	}
	if err := c.Run(Process{Name: "missing", Args: []string{"/no/such/program"}}); err == nil {
		t.Error("a missing program was started")
	}
	if text, err := c.Inside(context.Background(), "hostname").Output(); err != nil || strings.TrimSpace(string(text)) != NodeName {
		t.Errorf("hostname %q, %v", text, err)
	}
}

func nodeNetwork(t *testing.T, c *Cluster) {
	node, err := c.Node()
	if err != nil {
		t.Fatal(err)
	}
	outside, err := c.Outside()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := node.Listen("tcp", NodeIP+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(connection, connection.RemoteAddr().String())
			connection.Close()
		}
	}()
	connection, err := outside.DialContext(context.Background(), "tcp", NodeIP+":80")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(connection)
	if host, _, _ := net.SplitHostPort(string(text)); err != nil || host != OutsideIP {
		t.Errorf("the node saw %q, %v", text, err)
	}
	connection.Close()
	// The machine may have a route to some other such address; ours says something at once.
	if connection, err := net.DialTimeout("tcp", NodeIP+":80", time.Second); err == nil {
		connection.SetDeadline(time.Now().Add(time.Second))
		if text, _ := io.ReadAll(connection); len(text) > 0 {
			t.Errorf("the machine reaches the node: %q", text)
		}
		connection.Close()
	}
}
