package cluster

// containerd, kubelet, kube-proxy and cluster DNS of a full cluster.

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed coredns.yaml
var dnsManifest []byte

const (
	pauseImage = "ringway.test/pause:1"
	dnsImage   = "ringway.test/coredns:1"
)

const cniConfig = `{"cniVersion":"0.4.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"%s"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"%s"}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
`

// restrict_oom_score_adj: root of a container or small machine may lack CAP_SYS_RESOURCE, and runc then cannot lower the score of a pod's
// sandbox and fails to start it.
const containerdConfig = `version = 2
root = "%s"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "%s"
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: %[1]s
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %[2]s}}
authorization: {mode: Webhook}
tlsCertFile: %[3]s
tlsPrivateKeyFile: %[4]s
clusterDNS: [%[5]s]
clusterDomain: cluster.local
resolvConf: %[6]s
podLogsDir: %[7]s
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%%, imagefs.available: 1%%, nodefs.inodesFree: 1%%}
nodeStatusUpdateFrequency: 2s
syncFrequency: 10s
maxPods: 110
`

const kubeProxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: %s
hostnameOverride: %s
bindAddress: 0.0.0.0
clientConnection: {kubeconfig: %s}
conntrack: {maxPerCore: 0, min: 0}
nodePortAddresses: ["%s/32"]
`

func (c *Cluster) startNodeDaemons(images []string) error {
	if err := c.writeNodeFiles(); err != nil {
		return err
	}
	steps := []func() error{
		c.startContainerd,
		func() error { return c.loadAll(images) },
		c.startKubelet,
		c.startKubeProxy,
		c.startDNS,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) writeNodeFiles() error {
	l := c.Layout
	files := map[string]string{
		l.path("cni/10-bridge.conflist"): fmt.Sprintf(cniConfig, PodCIDR, l.path("cni-ipam")),
		l.path("containerd.toml"):        fmt.Sprintf(containerdConfig, l.path("containerd"), pauseImage, l.path("cni")),
		l.path("kubelet.yaml"): fmt.Sprintf(kubeletConfig, c.cgroup(), l.pki("ca.crt"), l.pki("kubelet-server.crt"), l.pki("kubelet-server.key"),
			DNSIP, l.path("resolv.conf"), l.path("pod-logs")),
		l.path("kube-proxy.yaml"): fmt.Sprintf(kubeProxyConfig, ClusterCIDR, NodeName, l.kubeconfig("kube-proxy"), NodeIP),
	}
	for path, text := range files {
		if err := writeFile(path, []byte(text)); err != nil {
			return err
		}
	}
	return c.makeCgroups()
}

// makeCgroups makes the node's group in each hierarchy; kubelet does not make its root. Version 2 has one hierarchy.
func (c *Cluster) makeCgroups() error {
	all := c.cgroups()
	if len(all) == 0 {
		return os.MkdirAll("/sys/fs/cgroup"+c.cgroup(), 0o755)
	}
	for _, dir := range all {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // Empty in a new group, and then nothing can run in it.
		text, err := os.ReadFile("/sys/fs/cgroup/cpuset/" + file)
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			return err
		}
		if err := os.WriteFile("/sys/fs/cgroup/cpuset"+c.cgroup()+"/"+file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startContainerd() error {
	path, err := exec.LookPath("containerd")
	if err != nil {
		return err
	}
	if err := c.Run(Process{Name: "containerd", Args: []string{path, "--config", c.Layout.path("containerd.toml")}}); err != nil {
		return err
	}
	err = until(startTime, "containerd", func() error {
		return c.Inside(context.Background(), "ctr", "--address", containerdSocket, "version").Run()
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, c.tail("containerd"))
	}
	c.say("containerd answers")
	return nil
}

// loadAll imports the cluster's own images, made here, and those given.
func (c *Cluster) loadAll(images []string) error {
	coredns, err := c.binary.Path("coredns")
	if err != nil {
		return err
	}
	own := []Image{
		{Name: pauseImage, Entrypoint: []string{"/pause"}, Files: map[string]string{"/pause": "/proc/self/exe"}, Args: []string{PauseArgument}},
		{Name: dnsImage, Entrypoint: []string{"/coredns"}, Files: map[string]string{"/coredns": coredns}},
	}
	for i, image := range own {
		tar := c.Layout.path(fmt.Sprintf("image-%d.tar", i))
		if err := image.Write(tar); err != nil {
			return err
		}
		images = append([]string{tar}, images...)
	}
	for _, tar := range images {
		if err := c.Load(tar); err != nil {
			return err
		}
	}
	c.say("%d images loaded", len(images))
	return nil
}

func (c *Cluster) startKubelet() error {
	l := c.Layout
	path, err := c.binary.Path("kubelet")
	if err != nil {
		return err
	}
	args := []string{path, "--config=" + l.path("kubelet.yaml"), "--kubeconfig=" + l.kubeconfig("kubelet"), "--root-dir=" + l.path("kubelet"),
		"--hostname-override=" + NodeName, "--node-ip=" + NodeIP, "--v=2"}
	if err := c.Run(Process{Name: "kubelet", Args: args}); err != nil {
		return err
	}
	if err := until(startTime, "kubelet", c.nodeReady); err != nil {
		return fmt.Errorf("%w\n%s", err, c.tail("kubelet"))
	}
	c.say("node Ready")
	return nil
}

func (c *Cluster) nodeReady() error {
	client, err := c.apiClient()
	if err != nil {
		return err
	}
	response, err := client.Get(APIServer + "/api/v1/nodes/" + NodeName)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("node: %s", response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return nil
		} else if condition.Type == "Ready" {
			err = fmt.Errorf("not Ready: %s", condition.Message)
		}
	}
	if err == nil {
		err = fmt.Errorf("no condition Ready yet")
	}
	return err
}

func (c *Cluster) startKubeProxy() error {
	path, err := c.binary.Path("kube-proxy")
	if err != nil {
		return err
	}
	if err := c.Run(Process{Name: "kube-proxy", Args: []string{path, "--config=" + c.Layout.path("kube-proxy.yaml"), "--v=1"}}); err != nil {
		return err
	}
	if err := until(startTime, "kube-proxy", func() error { return c.answers("kube-proxy") }); err != nil {
		return fmt.Errorf("%w\n%s", err, c.tail("kube-proxy"))
	}
	c.say("kube-proxy answers")
	return nil
}

func (c *Cluster) startDNS() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	manifest := bytes.ReplaceAll(dnsManifest, []byte("$IMAGE"), []byte(dnsImage))
	manifest = bytes.ReplaceAll(manifest, []byte("$IP"), []byte(DNSIP))
	apply := c.Command(ctx, "kubectl", "apply", "-f", "-")
	apply.Stdin = bytes.NewReader(manifest)
	if text, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("cluster DNS: %w: %s", err, text)
	}
	wait := c.Command(ctx, "kubectl", "-n", "kube-system", "rollout", "status", "deploy/coredns", "--timeout="+startTime.String())
	if text, err := wait.CombinedOutput(); err != nil {
		return fmt.Errorf("cluster DNS: %w: %s", err, strings.TrimSpace(string(text)))
	}
	c.say("cluster DNS answers")
	return nil
}

// PodLogs is where kubelet writes containers' output.
func (c *Cluster) PodLogs() string { return filepath.Join(string(c.Layout), "pod-logs") }
