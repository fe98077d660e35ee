package cluster

// The outside of a node: starting, entering and ending it.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options of Start.
type Options struct {
	Name          string // Several clusters of different names run at once.
	Mode          Mode
	Images        []string  // Tar files to load; Full only.
	DieWithParent bool      // The cluster ends with the thread that starts it, however that ends. The caller locks its thread.
	Out           io.Writer // Progress.
}

// Cluster is one that runs.
type Cluster struct {
	Name   string
	Mode   Mode
	PID    int // Of its first process, as the machine sees it.
	Layout layout
	binary *Binaries
	out    io.Writer
	begin  time.Time
}

// Start makes a cluster. On a failure nothing is left behind but its folder, which holds the logs.
func Start(b *Binaries, o Options) (*Cluster, error) {
	if err := preconditions(o.Mode); err != nil {
		return nil, err
	}
	l, err := layoutOf(b.cache, o.Name)
	if err != nil {
		return nil, err
	}
	if known, err := Open(b, o.Name); err == nil {
		return nil, fmt.Errorf("cluster %s runs already (pid %d)", o.Name, known.PID)
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	sweep(b)
	c := &Cluster{Name: o.Name, Mode: o.Mode, Layout: l, binary: b, out: o.Out, begin: time.Now()}
	if err := c.clear(); err != nil { // What a run that was killed left.
		return nil, err
	}
	if err := os.MkdirAll(l.path("log"), 0o755); err != nil {
		return nil, err
	}
	if err := l.writePKI(); err != nil {
		return nil, err
	}
	if err := c.startNode(o.DieWithParent); err != nil {
		return nil, err
	}
	c.say("namespaces (pid %d)", c.PID)
	err = c.startControlPlane()
	if err == nil && o.Mode == Full {
		err = c.startNodeDaemons(o.Images)
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("%w; logs in %s", err, l.path("log"))
	}
	return c, nil
}

func preconditions(mode Mode) error {
	if mode != API && mode != Full {
		return fmt.Errorf("mode %q: api or full", mode)
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root: network and mount namespaces")
	}
	tools := []string{"ip", "nsenter"}
	if mode == Full {
		tools = append(tools, "containerd", "ctr", "runc", "iptables", "conntrack")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed: ./dev setup cluster", tool)
		}
	}
	return nil
}

// sweep removes what clusters left whose starter was killed: their folder, once it is old and nothing runs there.
func sweep(b *Binaries) {
	entries, _ := os.ReadDir(filepath.Join(b.cache, "run"))
	for _, entry := range entries {
		info, err := entry.Info()
		l, nameError := layoutOf(b.cache, entry.Name())
		if err != nil || nameError != nil || time.Since(info.ModTime()) < time.Hour {
			continue // It may be starting.
		}
		if _, err := Open(b, entry.Name()); err != nil {
			(&Cluster{Name: entry.Name(), Layout: l}).clear()
		}
	}
}

// Open finds a cluster that runs.
func Open(b *Binaries, name string) (*Cluster, error) {
	l, err := layoutOf(b.cache, name)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(l.pidFile())
	if err != nil {
		return nil, fmt.Errorf("no cluster %s runs", name)
	}
	c := &Cluster{Layout: l, binary: b, out: io.Discard, begin: time.Now()}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, err
	}
	c.Layout = l
	if !c.alive() {
		return nil, fmt.Errorf("cluster %s has ended", name)
	}
	return c, nil
}

// alive: process numbers are used again, so the command line decides.
func (c *Cluster) alive() bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID))
	return err == nil && strings.Contains(string(line), InitArgument+"\x00"+string(c.Layout)+"\x00")
}

func (c *Cluster) startNode(dieWithParent bool) error {
	env, err := c.binary.Env()
	if err != nil {
		return err
	}
	log, err := os.Create(c.Layout.log("node"))
	if err != nil {
		return err
	}
	defer log.Close()
	readyOut, readyIn, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyOut.Close()
	cmd := exec.Command("/proc/self/exe", InitArgument, string(c.Layout))
	cmd.Env = append(env, "KUBECONFIG="+c.Kubeconfig())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{readyIn}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: cloneFlags, Setsid: true}
	if dieWithParent {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	err = cmd.Start()
	readyIn.Close()
	if err != nil {
		return fmt.Errorf("new namespaces: %w", err)
	}
	c.PID = cmd.Process.Pid
	go cmd.Wait() // Reaps it.
	readyOut.SetReadDeadline(time.Now().Add(30 * time.Second))
	if word, err := io.ReadAll(readyOut); err != nil || string(word) != "ready" {
		c.kill()
		text, _ := os.ReadFile(c.Layout.log("node"))
		return fmt.Errorf("the node did not start: %s", strings.TrimSpace(string(text)))
	}
	text, err := json.Marshal(map[string]any{"Name": c.Name, "Mode": c.Mode, "PID": c.PID})
	if err != nil {
		return err
	}
	return os.WriteFile(c.Layout.pidFile(), text, 0o644)
}

// Stop ends everything and removes it. The kernel ends what runs in the namespaces with their first process.
func (c *Cluster) Stop() error {
	c.kill()
	return c.clear()
}

func (c *Cluster) kill() {
	if c.PID > 0 {
		syscall.Kill(c.PID, syscall.SIGKILL)
	}
	for deadline := time.Now().Add(30 * time.Second); c.alive() && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
}

// clear removes the cluster's control groups and folder.
func (c *Cluster) clear() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		left := c.removeCgroups()
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control groups that do not end: %s", strings.Join(left, " "))
		}
	}
	return os.RemoveAll(string(c.Layout))
}

func (c *Cluster) removeCgroups() (left []string) {
	roots := append(c.cgroups(), "/sys/fs/cgroup"+c.cgroup())
	for _, root := range roots {
		var dirs []string
		filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs) // Children first.
		for _, dir := range dirs {
			syscall.Rmdir(dir)
		}
		if _, err := os.Stat(root); err == nil {
			left = append(left, root)
		}
	}
	return left
}

// cgroup is the node's, below each hierarchy.
func (c *Cluster) cgroup() string { return "/ringway-" + c.Name }

// cgroups lists the node's control group in each hierarchy of version 1 that there is.
func (c *Cluster) cgroups() []string {
	var all []string
	for _, hierarchy := range []string{"unified", "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd", "net_cls", "perf_event"} {
		if _, err := os.Stat("/sys/fs/cgroup/" + hierarchy + "/cgroup.procs"); err == nil {
			all = append(all, "/sys/fs/cgroup/"+hierarchy+c.cgroup())
		}
	}
	return all
}

// Kubeconfig is the administrator's.
func (c *Cluster) Kubeconfig() string { return c.Layout.kubeconfig("admin") }

// Logs is the folder of all daemons' logs.
func (c *Cluster) Logs() string { return c.Layout.path("log") }

// Dir is the cluster's folder: what tests need on disk goes there and leaves with it.
func (c *Cluster) Dir() string { return string(c.Layout) }

// Node is the node's network namespace.
func (c *Cluster) Node() (*NetNS, error) { return openNetNS(fmt.Sprintf("/proc/%d/ns/net", c.PID)) }

// Outside is the network namespace of clients; it has OutsideIP.
func (c *Cluster) Outside() (*NetNS, error) {
	return openNetNS(fmt.Sprintf("/proc/%d/root/run/netns/%s", c.PID, outsideNetNS))
}

// Command runs a program on the machine's files but in the node's network, with the cluster's programs in PATH and the
// administrator's kubeconfig.
func (c *Cluster) Command(ctx context.Context, args ...string) *exec.Cmd {
	return c.enter(ctx, []string{"--net"}, args)
}

// Inside runs a program in all of the node's namespaces.
func (c *Cluster) Inside(ctx context.Context, args ...string) *exec.Cmd {
	return c.enter(ctx, []string{"--mount", "--net", "--pid", "--uts", "--ipc"}, args)
}

func (c *Cluster) enter(ctx context.Context, namespaces, args []string) *exec.Cmd {
	line := append([]string{"--target", fmt.Sprint(c.PID)}, namespaces...)
	cmd := exec.CommandContext(ctx, "nsenter", append(append(line, "--"), args...)...)
	if env, err := c.binary.Env(); err == nil {
		cmd.Env = append(env, "KUBECONFIG="+c.Kubeconfig())
	}
	return cmd
}

// Run starts a process in the node. Its log is log/NAME.log.
func (c *Cluster) Run(p Process) error {
	_, err := c.Layout.ask(request{Op: "start", Process: p}, 0)
	return err
}

// Signal goes to a process started by Run or by the cluster itself (etcd, kube-apiserver, …).
func (c *Cluster) Signal(name string, signal syscall.Signal) error {
	_, err := c.Layout.ask(request{Op: "signal", Name: name, Signal: int(signal)}, 0)
	return err
}

// Wait returns when the process has ended or the limit is over.
func (c *Cluster) Wait(name string, limit time.Duration) (Status, error) {
	all, err := c.Layout.ask(request{Op: "wait", Name: name, Seconds: limit.Seconds()}, limit)
	if err != nil {
		return Status{}, err
	}
	return all[0], nil
}

// Processes lists what was started.
func (c *Cluster) Processes() ([]Status, error) { return c.Layout.ask(request{Op: "list"}, 0) }

// Kill ends a process at once and returns when it is gone.
func (c *Cluster) Kill(name string) error {
	if err := c.Signal(name, syscall.SIGKILL); err != nil {
		return err
	}
	status, err := c.Wait(name, 30*time.Second)
	if err == nil && status.Running {
		err = fmt.Errorf("%s does not end", name)
	}
	return err
}

// Load imports an image's tar file into containerd.
func (c *Cluster) Load(tar string) error {
	path, err := filepath.Abs(tar)
	if err != nil {
		return err
	}
	text, err := c.Inside(context.Background(), "ctr", "--address", containerdSocket, "-n", "k8s.io", "images", "import", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("image %s: %w: %s", tar, err, text)
	}
	return nil
}

// apiClient speaks to the API server as the administrator, from inside the node.
func (c *Cluster) apiClient() (*http.Client, error) {
	node, err := c.Node()
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(c.Layout.pki("admin.crt"), c.Layout.pki("admin.key"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(c.Layout.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{DialContext: node.DialContext, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}, nil
}

func (c *Cluster) say(format string, args ...any) {
	fmt.Fprintf(c.out, "cluster: %5.1f s  %s\n", time.Since(c.begin).Seconds(), fmt.Sprintf(format, args...))
}

// until tries something again and again until it gives no error.
func until(limit time.Duration, what string, try func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		}
	}
}
