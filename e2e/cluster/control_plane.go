package cluster

// etcd, kube-apiserver, and in a full cluster kube-controller-manager and kube-scheduler.

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// startTime bounds how long a daemon may take to answer: a busy machine of two cores needs most of a minute for the first API server.
const startTime = 3 * time.Minute

// daemonArgs is the command line of a daemon of the control plane.
func (c *Cluster) daemonArgs(name string) []string {
	l := c.Layout
	config := func(user string) []string {
		return []string{"--kubeconfig=" + l.kubeconfig(user), "--authentication-kubeconfig=" + l.kubeconfig(user),
			"--authorization-kubeconfig=" + l.kubeconfig(user), "--leader-elect=false", "--bind-address=127.0.0.1"}
	}
	switch name {
	case "etcd":
		const peer = "http://127.0.0.1:2380"
		return []string{"etcd", "--name=default", "--data-dir=" + l.path("etcd"), "--listen-client-urls=" + EtcdURL, "--advertise-client-urls=" + EtcdURL,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
			"--unsafe-no-fsync"} // What is on disk need not outlive the machine.
	case "kube-apiserver":
		return []string{"kube-apiserver", "--etcd-servers=" + EtcdURL, "--secure-port=6443", "--bind-address=0.0.0.0", "--advertise-address=" + NodeIP,
			"--service-cluster-ip-range=" + ServiceCIDR, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
			"--client-ca-file=" + l.pki("ca.crt"), "--tls-cert-file=" + l.pki("apiserver.crt"), "--tls-private-key-file=" + l.pki("apiserver.key"),
			"--kubelet-client-certificate=" + l.pki("apiserver-kubelet-client.crt"), "--kubelet-client-key=" + l.pki("apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority=" + l.pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			"--requestheader-client-ca-file=" + l.pki("ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + l.pki("front-proxy-client.crt"), "--proxy-client-key-file=" + l.pki("front-proxy-client.key"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local", "--service-account-key-file=" + l.pki("sa.pub"),
			"--service-account-signing-key-file=" + l.pki("sa.key"), "--v=1"}
	case "kube-controller-manager":
		// A node that could not say for 50 s that it lives, because etcd was away, has all its pods marked not ready when etcd is back: in a
		// cluster of one node every Service is then without endpoints, whatever serves it. Longer than the outages of the scenarios.
		return append([]string{name, "--node-monitor-grace-period=10m", "--use-service-account-credentials=true", "--service-account-private-key-file=" + l.pki("sa.key"),
			"--root-ca-file=" + l.pki("ca.crt"), "--cluster-signing-cert-file=" + l.pki("ca.crt"), "--cluster-signing-key-file=" + l.pki("ca.key"),
			"--requestheader-client-ca-file=" + l.pki("ca.crt"), "--allocate-node-cidrs=false", "--service-cluster-ip-range=" + ServiceCIDR},
			config("controller-manager")...)
	case "kube-scheduler":
		return append([]string{name}, config("scheduler")...)
	}
	return nil
}

// RunDaemon starts, or starts again after its end, a daemon of the control plane and returns when it answers.
func (c *Cluster) RunDaemon(name string) error {
	args := c.daemonArgs(name)
	if args == nil {
		return fmt.Errorf("no daemon %q", name)
	}
	path, err := c.binary.Path(args[0])
	if err != nil {
		return err
	}
	args[0] = path
	if err := c.Run(Process{Name: name, Args: args}); err != nil {
		return err
	}
	return until(startTime, name, func() error { return c.answers(name) })
}

func (c *Cluster) answers(name string) error {
	node, err := c.Node()
	if err != nil {
		return err
	}
	plain := &http.Client{Transport: &http.Transport{DialContext: node.DialContext, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	switch name {
	case "etcd":
		return get(plain, EtcdURL+"/health")
	case "kube-apiserver":
		client, err := c.apiClient()
		if err != nil {
			return err
		}
		return get(client, APIServer+"/readyz")
	case "kube-controller-manager": // It has done its first work when this exists.
		client, err := c.apiClient()
		if err != nil {
			return err
		}
		return get(client, APIServer+"/api/v1/namespaces/default/serviceaccounts/default")
	case "kube-proxy":
		return get(plain, "http://127.0.0.1:10256/healthz")
	}
	return nil
}

func get(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status + ": " + string(text))
	}
	return err
}

func (c *Cluster) startControlPlane() error {
	daemons := []string{"etcd", "kube-apiserver"}
	if c.Mode == Full {
		daemons = append(daemons, "kube-controller-manager", "kube-scheduler")
	}
	for _, name := range daemons {
		if err := c.RunDaemon(name); err != nil {
			return fmt.Errorf("%w\n%s", err, c.tail(name))
		}
		c.say("%s answers", name)
	}
	return nil
}

// tail is the end of a daemon's log, for messages.
func (c *Cluster) tail(name string) string {
	text, _ := os.ReadFile(c.Layout.log(name))
	return string(text[max(0, len(text)-2000):])
}
