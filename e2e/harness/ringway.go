package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ringway.test/e2e/cluster"
)

// Namespace of Ringway itself.
const Namespace = "ringway-system"

// Ringway as it runs.
type Ringway interface {
	HTTP() string // HOST:PORT as clients outside see it.
	HTTPS() string
	// KillControllers ends all of them without notice and keeps them away; StartControllers brings them back and waits until they work.
	KillControllers(ctx context.Context) error
	StartControllers(ctx context.Context) error
	// Metrics of the proxies, one text each.
	Metrics(ctx context.Context) ([]string, error)
}

// Ringway of this run.
func (e *Env) Ringway() Ringway { return e.ringway }

func (e *Env) install(ctx context.Context) (Ringway, error) {
	if err := e.Secured(ctx, Namespace, "restricted"); err != nil {
		return nil, err
	}
	if e.Full() {
		return installChart(ctx, e)
	}
	return startProcesses(ctx, e)
}

// Secured makes the namespace, if it is not there, and has it enforce a level of Pod Security.
func (e *Env) Secured(ctx context.Context, ns, level string) error {
	_, err := e.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	_, err = e.Kubectl(ctx, "", "label", "namespace", ns, "--overwrite", "pod-security.kubernetes.io/enforce="+level)
	return err
}

// helm runs Helm in the node's network.
func (e *Env) helm(ctx context.Context, args ...string) (string, error) {
	return output(e.Cluster.Command(ctx, append([]string{"helm"}, args...)...))
}

// Kubectl runs kubectl as the administrator; input may be empty.
func (e *Env) Kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := e.Cluster.Command(ctx, append([]string{"kubectl"}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	return output(cmd)
}

func output(cmd *exec.Cmd) (string, error) {
	var out, errors strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(errors.String()))
	}
	return out.String(), nil
}

// ChartDir is the folder of Ringway's Helm chart.
func (e *Env) ChartDir() string { return filepath.Join(e.Root, "charts/ringway") }

// Processes is Ringway as processes in the node: what the small topology of the chart is in one pod. The controller has the rights that the
// chart gives it and no other.
type Processes struct {
	env        *Env
	kubeconfig string
}

// compareOften: what a controller does every five minutes happens in every scenario. A controller that ends by it is missed.
const compareOften = "--compare-seconds=20"

// Names of processes.
const (
	Controller = "ringway-controller"
	Proxy      = "ringway-proxy"
	proxyAdmin = "127.0.0.1:10254"
	published  = "203.0.113.7" // What Ingresses show as their address.
)

// ControllerAdmin gives the n-th controller's admin address; the first is 0. Kubernetes' own daemons have ports up to 10259.
func ControllerAdmin(n int) string { return fmt.Sprintf("127.0.0.1:%d", 10270+n) }

func startProcesses(ctx context.Context, e *Env) (Ringway, error) {
	p := &Processes{env: e}
	for _, program := range []string{Controller, Proxy} {
		if _, err := os.Stat(filepath.Join(e.Bin, program)); err != nil {
			return nil, fmt.Errorf("%w: ./dev build release", err)
		}
	}
	if err := p.authorize(ctx); err != nil {
		return nil, err
	}
	if err := p.RunController(ctx, 0); err != nil {
		return nil, err
	}
	return p, p.RunProxy(ctx)
}

// authorize gives the controller the chart's roles and a token of the chart's service account.
func (p *Processes) authorize(ctx context.Context) error {
	e := p.env
	rendered, err := e.helm(ctx, "template", "ringway", e.ChartDir(), "--namespace", Namespace, "--kube-version", "1.35.0")
	if err != nil {
		return err
	}
	var wanted []string
	for _, document := range strings.Split(rendered, "\n---\n") {
		for _, kind := range []string{"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "IngressClass", "ConfigMap"} {
			if strings.Contains("\n"+document, "\nkind: "+kind+"\n") && !strings.Contains(document, "helm.sh/hook") {
				wanted = append(wanted, document)
			}
		}
	}
	if _, err := e.Kubectl(ctx, strings.Join(wanted, "\n---\n"), "apply", "-f", "-"); err != nil {
		return err
	}
	token, err := e.Kubectl(ctx, "", "create", "token", "ringway-controller", "-n", Namespace, "--duration=24h")
	if err != nil {
		return err
	}
	dir := e.Cluster.Dir()
	tokenFile := filepath.Join(dir, "controller.token")
	if err := os.WriteFile(tokenFile, []byte(strings.TrimSpace(token)), 0o600); err != nil {
		return err
	}
	authority, err := os.ReadFile(filepath.Join(dir, "pki/ca.crt"))
	if err != nil {
		return err
	}
	p.kubeconfig = filepath.Join(dir, "kubeconfig/ringway.conf")
	return e.Cluster.Layout.WriteKubeconfig(p.kubeconfig, authority, fmt.Sprintf("{tokenFile: %q}", tokenFile))
}

func (p *Processes) socket(n int) string {
	return filepath.Join(p.env.Cluster.Dir(), fmt.Sprintf("controller-%d.sock", n))
}

func name(n int) string {
	if n == 0 {
		return Controller
	}
	return fmt.Sprintf("%s-%d", Controller, n)
}

// RunController starts the n-th one and returns when it is ready.
func (p *Processes) RunController(ctx context.Context, n int, more ...string) error {
	args := append([]string{filepath.Join(p.env.Bin, Controller), "--source=kubernetes", "--kubeconfig=" + p.kubeconfig, "--listen=unix:" + p.socket(n),
		"--admin=" + ControllerAdmin(n), "--http-port=80", "--https-port=443", "--publish-status-address=" + published,
		"--election-id=ringway-leader", "--election-namespace=" + Namespace, "--log-level=info", compareOften}, more...)
	env := append(os.Environ(), "POD_NAMESPACE="+Namespace, "POD_NAME="+name(n))
	if err := p.env.Cluster.Run(cluster.Process{Name: name(n), Args: args, Env: env}); err != nil {
		return err
	}
	return p.await(ctx, name(n), ControllerAdmin(n))
}

// RunProxy starts the proxy and returns when it answers; it is ready when it has a configuration.
func (p *Processes) RunProxy(ctx context.Context, more ...string) error {
	state := filepath.Join(p.env.Cluster.Dir(), "proxy-state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	args := append([]string{filepath.Join(p.env.Bin, Proxy), "--controller=unix:" + p.socket(0), "--admin=" + proxyAdmin, "--state-dir=" + state,
		"--drain-timeout=10", "--access-log=off"}, more...)
	if err := p.env.Cluster.Run(cluster.Process{Name: Proxy, Args: args}); err != nil {
		return err
	}
	return p.await(ctx, Proxy, proxyAdmin)
}

// StopProxy ends it without notice, its supervisor first, and returns when its data process is gone too: in a container both end at once.
func (p *Processes) StopProxy(ctx context.Context) error {
	if err := p.env.Cluster.Kill(Proxy); err != nil {
		return err
	}
	return Eventually(ctx, time.Minute, func() error {
		connection, err := p.env.Node.DialContext(ctx, "tcp", proxyAdmin)
		if err != nil {
			return nil
		}
		connection.Close()
		return fmt.Errorf("something listens on %s still", proxyAdmin)
	})
}

func (p *Processes) await(ctx context.Context, process, admin string) error {
	return Eventually(ctx, time.Minute, func() error {
		status, err := p.env.Cluster.Wait(process, 0)
		if err == nil && !status.Running {
			return fmt.Errorf("%s ended with %d: %s", process, status.Exit, p.env.logTail(process))
		}
		_, err = p.env.NodeGet(ctx, "http://"+admin+"/readyz")
		return err
	})
}

func (e *Env) logTail(process string) string {
	text, _ := os.ReadFile(filepath.Join(e.Cluster.Logs(), process+".log"))
	return string(text[max(0, len(text)-1500):])
}

// NodeGet asks something inside the node.
func (e *Env) NodeGet(ctx context.Context, url string) (string, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: e.Node.DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", url, response.Status, body)
	}
	return string(body), err
}

func (p *Processes) HTTP() string  { return cluster.NodeIP + ":80" }
func (p *Processes) HTTPS() string { return cluster.NodeIP + ":443" }

func (p *Processes) KillControllers(context.Context) error { return p.env.Cluster.Kill(Controller) }

func (p *Processes) StartControllers(ctx context.Context) error { return p.RunController(ctx, 0) }

func (p *Processes) Metrics(ctx context.Context) ([]string, error) {
	text, err := p.env.NodeGet(ctx, "http://"+proxyAdmin+"/metrics")
	return []string{text}, err
}

// Processes of an API run; ends the scenario in a full one.
func (s *S) Processes() *Processes {
	p, ok := s.ringway.(*Processes)
	if !ok {
		s.Skip("is for processes")
	}
	return p
}

// Signal reaches one of the processes.
func (p *Processes) Signal(process string, signal syscall.Signal) error {
	return p.env.Cluster.Signal(process, signal)
}

// Metric is the sum of a metric's samples whose labels contain all the parts, over all texts.
func Metric(texts []string, name string, labels ...string) (float64, error) {
	sum, found := 0.0, false
	for _, text := range texts {
		for line := range strings.Lines(text) {
			series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			metric, rest, _ := strings.Cut(series, "{")
			if metric != name || !containsAll(rest, labels) {
				continue
			}
			var number float64
			if _, err := fmt.Sscan(value, &number); err != nil {
				return 0, fmt.Errorf("%s: %w", line, err)
			}
			sum, found = sum+number, true
		}
	}
	if !found {
		return 0, errors.New("no metric " + name)
	}
	return sum, nil
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
