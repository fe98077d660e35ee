package cluster

// What runs inside a node's namespaces as their first process.

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitArgument is the first argument of the program that starts a cluster when it is to be a node's first process.
const InitArgument = "node-init"

// RunInit is the node's first process: it sets up private views of /proc, /sys, /run, /var and /etc and a network, writes "ready" to
// descriptor 3, and supervises until it is killed. Returns only on a failure to start.
func RunInit(dir string) error {
	l := layout(dir)
	if os.Getpid() != 1 {
		return fmt.Errorf("%s is for the inside of a node", InitArgument)
	}
	if err := mounts(l); err != nil {
		return fmt.Errorf("mounts: %w", err)
	}
	if err := network(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil { // Among the node's own mounts: kubelet wants it.
		return err
	}
	listener, err := net.Listen("unix", l.socket())
	if err != nil {
		return err
	}
	ready := os.NewFile(3, "ready")
	if _, err := ready.WriteString("ready"); err != nil {
		return err
	}
	ready.Close()
	return newSupervisor(l).serve(listener)
}

func mounts(l layout) error {
	mount := func(source, target, kind string, flags uintptr, data string) error {
		if err := unix.Mount(source, target, kind, flags, data); err != nil {
			return fmt.Errorf("%s on %s: %w", source, target, err)
		}
		return nil
	}
	for _, dir := range []string{"cgroups", "var-upper", "var-work", "etc-upper", "etc-work"} {
		if err := os.MkdirAll(l.path(dir), 0o755); err != nil {
			return err
		}
	}
	// Private first, else taking the copy of the cgroup mounts away below would take the originals too.
	steps := []func() error{
		func() error { return mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return mount("proc", "/proc", "proc", 0, "") },
		// A new sysfs shows this network namespace and hides the cgroup mounts: they are carried over.
		func() error { return mount("/sys/fs/cgroup", l.path("cgroups"), "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return mount("sysfs", "/sys", "sysfs", 0, "") },
		func() error { return mount(l.path("cgroups"), "/sys/fs/cgroup", "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return unix.Unmount(l.path("cgroups"), unix.MNT_DETACH) },
		func() error { return mount("tmpfs", "/run", "tmpfs", 0, "mode=755") },
		func() error { return os.MkdirAll("/run/lock", 0o755) },
	}
	for _, top := range []string{"var", "etc"} {
		data := fmt.Sprintf("lowerdir=/%s,upperdir=%s,workdir=%s", top, l.path(top+"-upper"), l.path(top+"-work"))
		steps = append(steps, func() error { return mount("overlay", "/"+top, "overlay", 0, data) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(NodeName)); err != nil {
		return err
	}
	// The machine's resolver cannot be reached from here: programs shall fail at once instead of after ten seconds.
	os.Remove("/etc/resolv.conf")
	files := map[string]string{
		"/etc/hosts":          "127.0.0.1 localhost " + NodeName + "\n",
		"/etc/resolv.conf":    "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
		l.path("resolv.conf"): "nameserver " + NodeIP + "\n", // Kubelet's upstream: there is none.
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func network() error {
	for _, command := range []string{
		"link set lo up",
		"link add node0 type bridge", // Not every kernel has a dummy device: an empty bridge serves, and the outside plugs into it.
		"addr add " + NodeIP + "/24 dev node0",
		"link set node0 up",
		"route add default dev node0", // Service addresses must be routable before they are translated.
		"netns add " + outsideNetNS,
		"link add outside0 type veth peer name eth0 netns " + outsideNetNS,
		"link set outside0 master node0 up",
		"-n " + outsideNetNS + " link set lo up",
		"-n " + outsideNetNS + " addr add " + OutsideIP + "/24 dev eth0",
		"-n " + outsideNetNS + " link set eth0 up",
		"-n " + outsideNetNS + " route add default via " + NodeIP,
	} {
		if text, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, text)
		}
	}
	sysctls := map[string]string{
		"net/ipv4/ip_forward":                 "1",
		"net/ipv6/conf/all/forwarding":        "1",
		"net/ipv4/conf/all/route_localnet":    "1",
		"net/bridge/bridge-nf-call-iptables":  "1", // Absent where bridges do not pass through iptables.
		"net/ipv4/ip_local_port_range":        "10240 65000",
		"net/ipv4/ip_unprivileged_port_start": "80",
	}
	for name, value := range sysctls {
		err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644)
		if err != nil && !(os.IsNotExist(err) && strings.Contains(name, "bridge")) {
			return err
		}
	}
	return nil
}

// cloneFlags are the namespaces of a node.
const cloneFlags = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
