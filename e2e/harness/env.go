// Package harness is what scenarios stand on: a running cluster, Ringway in it, applications behind it, a client outside that judges, and
// the table of what came out.
//
// The same scenario runs in both modes where it can. In a full cluster Ringway is installed by its chart and applications are Deployments. With
// an API server alone, controller and proxy are processes in the node, applications too, and the harness plays the parts of the controllers
// that are not there: it writes EndpointSlices as kube-controller-manager would.
package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"ringway.test/e2e/cluster"
)

// Env is one run.
type Env struct {
	Cluster *cluster.Cluster
	Config  *rest.Config
	Kube    kubernetes.Interface
	Outside *cluster.NetNS // Where clients stand.
	Node    *cluster.NetNS
	Root    string // Of the repository.
	Bin     string // Of Ringway's programs.
	Backend string // The application's program.
	Quick   bool   // Outages of seconds instead of minutes.
	Table   *Table

	mu      sync.Mutex
	ringway Ringway
	steady  *Steady
	next    int // Of the addresses of applications that are processes.
}

// Open takes the cluster named by RINGWAY_CLUSTER, which `cluster run` sets; nil without one.
func Open() (*Env, error) {
	name := os.Getenv("RINGWAY_CLUSTER")
	if name == "" {
		return nil, nil
	}
	binaries, err := cluster.OpenBinaries("", os.Getenv("RINGWAY_CLUSTER_MODULES"))
	if err != nil {
		return nil, err
	}
	c, err := cluster.Open(binaries, name)
	if err != nil {
		return nil, err
	}
	e := &Env{Cluster: c, Root: os.Getenv("RINGWAY_ROOT"), Bin: os.Getenv("RINGWAY_BIN"), Quick: os.Getenv("RINGWAY_E2E_QUICK") == "1"}
	if e.Root == "" || e.Bin == "" {
		return nil, fmt.Errorf("RINGWAY_ROOT and RINGWAY_BIN are not set: scenarios are run by ./dev e2e")
	}
	e.Backend = filepath.Join(e.Root, "build/e2e/bin/backend")
	if e.Node, err = c.Node(); err != nil {
		return nil, err
	}
	if e.Outside, err = c.Outside(); err != nil {
		return nil, err
	}
	if e.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig()); err != nil {
		return nil, err
	}
	e.Config.Dial = e.Node.DialContext
	e.Config.WarningHandler = rest.NoWarnings{}
	e.Config.QPS, e.Config.Burst = 500, 1000
	if e.Kube, err = kubernetes.NewForConfig(e.Config); err != nil {
		return nil, err
	}
	e.Table = &Table{mode: c.Mode, begin: time.Now()}
	return e, nil
}

// Outage is how long a part stays away: two minutes, or seconds in a quick run.
func (e *Env) Outage() time.Duration {
	if e.Quick {
		return 10 * time.Second
	}
	return 2 * time.Minute
}

// Full says whether there are pods.
func (e *Env) Full() bool { return e.Cluster.Mode == cluster.Full }

// Eventually tries until there is no error. Limits are generous: a busy machine must not decide.
func Eventually(ctx context.Context, limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %w", limit, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
