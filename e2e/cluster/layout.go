// Package cluster runs a real, single-node Kubernetes from programs built of its Go modules.
//
// A cluster is one process in new mount, network, PID, UTS and IPC namespaces (node_init.go). All daemons, pods and test processes are its
// descendants, and its addresses exist only inside, so that the machine's own network, /run, /var and /etc stay as they are, several clusters
// run at once, and the death of that one process ends everything. Needs root.
//
// Mode API is etcd and kube-apiserver alone: no garbage collection, no endpoints made from selectors, namespaces that do not finish deleting.
// Mode Full adds controller-manager, scheduler, containerd, kubelet, kube-proxy and CoreDNS.
package cluster

import (
	"fmt"
	"path/filepath"
	"regexp"
)

// Addresses inside the node's network namespace.
const (
	NodeName     = "node0"
	NodeIP       = "10.89.0.1"
	OutsideIP    = "10.89.0.100" // A network namespace of its own behind a veth: where clients stand.
	PodCIDR      = "10.244.0.0/24"
	ClusterCIDR  = "10.244.0.0/16"
	ServiceCIDR  = "10.96.0.0/16"
	APIServiceIP = "10.96.0.1"
	DNSIP        = "10.96.0.10"
	APIServer    = "https://" + NodeIP + ":6443"
	EtcdURL      = "http://127.0.0.1:2379"

	containerdSocket = "/run/containerd/containerd.sock"
	outsideNetNS     = "outside"
)

// Mode says how much of Kubernetes runs.
type Mode string

const (
	API  Mode = "api"
	Full Mode = "full"
)

// Programs that must be built for a mode.
func (m Mode) Programs() []string {
	if m == Full {
		return FullPrograms
	}
	return APIPrograms
}

// layout is what lies in a cluster's folder. Nothing of it may be under /run, /var or /etc: a node has its own.
type layout string

func (l layout) path(parts ...string) string {
	return filepath.Join(append([]string{string(l)}, parts...)...)
}
func (l layout) pki(name string) string        { return l.path("pki", name) }
func (l layout) kubeconfig(user string) string { return l.path("kubeconfig", user+".conf") }
func (l layout) log(daemon string) string      { return l.path("log", daemon+".log") }
func (l layout) socket() string                { return l.path("node.sock") }
func (l layout) pidFile() string               { return l.path("node.pid") }

var (
	nameForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)
	privateInner = regexp.MustCompile(`^/(run|var|etc|sys|proc)(/|$)`)
)

// layoutOf gives the folder of the cluster of that name.
func layoutOf(cache, name string) (layout, error) {
	if !nameForm.MatchString(name) {
		return "", fmt.Errorf("cluster name %q: small letters, digits and dashes, at most 31", name)
	}
	dir, err := filepath.Abs(filepath.Join(cache, "run", name))
	if err != nil {
		return "", err
	}
	if privateInner.MatchString(dir) {
		return "", fmt.Errorf("%s is hidden from the node, which has its own /run, /var and /etc: set RINGWAY_CLUSTER_CACHE to another place", dir)
	}
	if len(layout(dir).socket()) > 100 {
		return "", fmt.Errorf("%s is too long for a socket's address: set RINGWAY_CLUSTER_CACHE to a shorter place", dir)
	}
	return layout(dir), nil
}
