package cluster

// The programs of Kubernetes, built once from their Go modules. Each component is a module of its own under build/ whose go.mod and go.sum
// pin everything; what is built lies in CACHE/COMPONENT-VERSION-KEY/bin, where KEY is a hash over those two files and the flags, so that a
// changed pin builds anew and an old one is still there.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

type component struct {
	name     string // Folder under build/.
	module   string // The module whose version in go.mod is the component's.
	programs map[string]string
	flags    func(version string) string // Of the linker, beside -s -w.
}

var components = []component{
	{name: "etcd", module: "go.etcd.io/etcd/server/v3", programs: map[string]string{"etcd": "go.etcd.io/etcd/server/v3"}},
	{name: "kubernetes", module: "k8s.io/kubernetes", programs: map[string]string{
		"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
		"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
		"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
		"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
		"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
		"kube-proxy":              "k8s.io/kubernetes/cmd/kube-proxy",
	}, flags: kubernetesVersion},
	{name: "helm", module: "helm.sh/helm/v4", programs: map[string]string{"helm": "helm.sh/helm/v4/cmd/helm"},
		flags: func(version string) string { return "-X helm.sh/helm/v4/internal/version.version=" + version }},
	{name: "coredns", module: "github.com/coredns/coredns", programs: map[string]string{"coredns": "github.com/coredns/coredns"}},
}

// Programs that each mode needs, in the order in which they are built.
var (
	APIPrograms  = []string{"etcd", "kube-apiserver", "kubectl", "helm"}
	FullPrograms = append(slices.Clone(APIPrograms), "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns")
)

// Without these a server built from its module says v0.0.0, and Helm and kubelet refuse it.
func kubernetesVersion(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	var flags []string
	for _, at := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, pair := range []string{"gitVersion=" + version, "gitMajor=" + parts[0], "gitMinor=" + parts[1], "gitTreeState=clean",
			"gitCommit=module", "buildDate=1970-01-01T00:00:00Z"} {
			flags = append(flags, "-X "+at+"."+pair)
		}
	}
	return strings.Join(flags, " ")
}

// Binaries finds and builds the programs.
type Binaries struct {
	cache   string
	modules string // The folder build/ of this package.
}

// OpenBinaries takes the cache (empty: CacheDir) and the folder that holds the modules.
func OpenBinaries(cache, modules string) (*Binaries, error) {
	if cache == "" {
		var err error
		if cache, err = CacheDir(); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(modules, "kubernetes", "go.mod")); err != nil {
		return nil, fmt.Errorf("%s does not hold the modules of the cluster's programs: %w", modules, err)
	}
	return &Binaries{cache: cache, modules: modules}, nil
}

// CacheDir is where built programs and the state of clusters lie: $RINGWAY_CLUSTER_CACHE or ~/.cache/ringway-cluster.
func CacheDir() (string, error) {
	if dir := os.Getenv("RINGWAY_CLUSTER_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for what is built: set RINGWAY_CLUSTER_CACHE (%w)", err)
	}
	return filepath.Join(dir, "ringway-cluster"), nil
}

// Path of a program, built or not.
func (b *Binaries) Path(program string) (string, error) {
	c, err := componentOf(program)
	if err != nil {
		return "", err
	}
	dir, _, err := b.home(c)
	return filepath.Join(dir, program), err
}

// Env is the environment with all programs first in PATH.
func (b *Binaries) Env() ([]string, error) {
	path := os.Getenv("PATH")
	for _, c := range components {
		dir, _, err := b.home(c)
		if err != nil {
			return nil, err
		}
		path = dir + ":" + path
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "PATH=") })
	return append(env, "PATH="+path), nil
}

// Build makes what is missing, one program after the other, and says so on out.
func (b *Binaries) Build(programs []string, out io.Writer) error {
	var missing []string
	for _, program := range programs {
		path, err := b.Path(program)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	for i, program := range missing {
		if err := b.build(program, fmt.Sprintf("%d/%d", i+1, len(missing)), out); err != nil {
			return err
		}
	}
	return nil
}

func (b *Binaries) build(program, count string, out io.Writer) error {
	c, err := componentOf(program)
	if err != nil {
		return err
	}
	dir, flags, err := b.home(c)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, program)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(path+".lock", func() { fmt.Fprintf(out, "cluster: another run builds %s; waiting for it\n", program) })
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return nil // Another run built it meanwhile.
	}
	fmt.Fprintf(out, "cluster: building %s (%s): once, minutes on a small machine\n", program, count)
	begin := time.Now()
	fresh := path + ".new"
	// One compile job per core leaves a small machine usable beside it when it is nice.
	cmd := exec.Command("nice", "-n", "10", "go", "build", "-trimpath", "-ldflags", flags, "-o", fresh, c.programs[program])
	cmd.Dir = filepath.Join(b.modules, c.name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	tail := &lastLines{}
	cmd.Stdout, cmd.Stderr = tail, tail
	stop := heartbeat(out, program, begin)
	err = cmd.Run()
	stop()
	if err != nil {
		return fmt.Errorf("building %s in %s failed: %w\n%s", program, cmd.Dir, err, tail)
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "cluster: built %s in %.0f s, %d MB\n", program, time.Since(begin).Seconds(), info.Size()>>20)
	return nil
}

// lock is held by one run at a time; the kernel gives it back when that ends, however it ends.
func lock(path string, waits func()) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		waits()
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			file.Close()
			return nil, err
		}
	}
	return func() { file.Close() }, nil
}

// home is the folder of a component's programs, and the linker's flags.
func (b *Binaries) home(c component) (dir, flags string, err error) {
	mod, err := os.ReadFile(filepath.Join(b.modules, c.name, "go.mod"))
	if err != nil {
		return "", "", err
	}
	sum, err := os.ReadFile(filepath.Join(b.modules, c.name, "go.sum"))
	if err != nil {
		return "", "", err
	}
	found := regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(c.module) + `\s+(v[^\s]+)`).FindSubmatch(mod)
	if found == nil {
		return "", "", fmt.Errorf("%s/%s/go.mod does not require %s", b.modules, c.name, c.module)
	}
	version := string(found[1])
	flags = "-s -w"
	if c.flags != nil {
		flags += " " + c.flags(version)
	}
	hash := sha256.New()
	for _, part := range [][]byte{mod, sum, []byte(flags)} {
		fmt.Fprintf(hash, "%d:", len(part))
		hash.Write(part)
	}
	key := hex.EncodeToString(hash.Sum(nil))[:8]
	return filepath.Join(b.cache, c.name+"-"+strings.TrimPrefix(version, "v")+"-"+key, "bin"), flags, nil
}

func componentOf(program string) (component, error) {
	for _, c := range components {
		if _, ok := c.programs[program]; ok {
			return c, nil
		}
	}
	return component{}, fmt.Errorf("no program %q; there are: %s", program, strings.Join(FullPrograms, " "))
}

// heartbeat says every half minute that a long build still runs.
func heartbeat(out io.Writer, program string, begin time.Time) (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(30 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(out, "cluster: … %s, %.0f s\n", program, time.Since(begin).Seconds())
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// lastLines keeps the end of a program's output.
type lastLines struct{ text []byte }

func (l *lastLines) Write(p []byte) (int, error) {
	l.text = append(l.text, p...)
	if len(l.text) > 16<<10 {
		l.text = l.text[len(l.text)-8<<10:]
	}
	return len(p), nil
}

func (l *lastLines) String() string { return string(l.text) }

// GoMissing says why nothing can be built here, or nil.
func GoMissing() error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("no Go in PATH: the cluster's programs are built from their Go modules (Go 1.25 or later)")
	}
	return nil
}

// Modules is the folder of the programs' modules.
func (b *Binaries) Modules() string { return b.modules }
