package harness

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ringway.test/e2e/cluster"
)

// ChartInstall is a release of the chart. The image is not among its values: the one of `./dev image` is loaded, and is the chart's default.
type ChartInstall struct {
	env         *Env
	name, ns    string
	http, https string   // Node ports.
	values      []string // NAME=VALUE, in order.
	controllers string   // Name of the controllers' Deployment; the proxies' own in topology `single`.
	proxies     string
	killed      map[string]int32 // Times that we killed a container, by pod and container.
}

// installChart makes the release that scenarios play with: two controllers, two proxies, a Service of type NodePort.
func installChart(ctx context.Context, e *Env) (Ringway, error) {
	return e.InstallChart(ctx, "ringway", Namespace, "30080", "30443", "controller.replicaCount=2", "controlPlane.replicaCount=2",
		"controlPlane.resources.requests.cpu=10m", "controlPlane.resources.requests.memory=32Mi", "uninstall.takeOutStatus=true",
		"controlPlane.extraArgs[0]="+compareOften)
}

// InstallChart makes a release in a namespace that is there.
func (e *Env) InstallChart(ctx context.Context, name, ns, http, https string, values ...string) (*ChartInstall, error) {
	c := &ChartInstall{env: e, name: name, ns: ns, http: http, https: https, killed: map[string]int32{}, values: append([]string{
		"controller.service.type=NodePort", "controller.service.nodePorts.http=" + http, "controller.service.nodePorts.https=" + https,
		// A node of two small cores carries everything here.
		"controller.resources.requests.cpu=10m", "controller.resources.requests.memory=32Mi",
		"proxy.accessLog=off", "proxy.drainSeconds=15", "proxy.preStopSeconds=5", "controller.terminationGracePeriodSeconds=60",
		"controller.metrics.enabled=true"}, values...)}
	if err := c.Upgrade(ctx); err != nil {
		return nil, err
	}
	return c, c.find(ctx)
}

// Upgrade installs or upgrades the release with more values and returns when all its pods are the new ones.
func (c *ChartInstall) Upgrade(ctx context.Context, more ...string) error {
	args := []string{"upgrade", "--install", c.name, c.env.ChartDir(), "--namespace", c.ns, "--wait", "--timeout", podsLimit.String()}
	for _, value := range append(c.values, more...) {
		args = append(args, "--set-string", value)
		if typed(value) {
			args[len(args)-2] = "--set"
		}
	}
	if _, err := c.env.helm(ctx, args...); err != nil {
		why := c.env.whyNot(ctx, c.ns, "")
		return fmt.Errorf("%w%s", err, why)
	}
	return c.settled(ctx)
}

// typed: numbers and booleans are not strings in the chart's schema.
func typed(value string) bool {
	_, text, _ := strings.Cut(value, "=")
	var number int
	_, err := fmt.Sscan(text, &number)
	isNumber := err == nil && fmt.Sprint(number) == text
	return isNumber || text == "true" || text == "false"
}

// find learns the names of the two Deployments from the components' label.
func (c *ChartInstall) find(ctx context.Context) error {
	all, err := c.env.Kube.AppsV1().Deployments(c.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, d := range all.Items {
		for _, container := range d.Spec.Template.Spec.Containers {
			line := strings.Join(append(append([]string{container.Name}, container.Command...), container.Args...), " ")
			switch {
			case strings.Contains(line, "--source=kubernetes"):
				c.controllers = d.Name
			case strings.Contains(line, "--controller="):
				c.proxies = d.Name
			}
		}
	}
	if c.controllers == "" || c.proxies == "" {
		return fmt.Errorf("the chart made no Deployments of controllers and proxies: %d Deployments", len(all.Items))
	}
	return nil
}

func (c *ChartInstall) settled(ctx context.Context) error {
	all, err := c.env.Kube.AppsV1().Deployments(c.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, d := range all.Items {
		if err := rolledOut(ctx, c.env, c.ns, d.Name, metav1.FormatLabelSelector(d.Spec.Selector)); err != nil {
			return err
		}
	}
	return nil
}

func (c *ChartInstall) HTTP() string  { return cluster.NodeIP + ":" + c.http }
func (c *ChartInstall) HTTPS() string { return cluster.NodeIP + ":" + c.https }

// Proxies and Controllers are the names of Deployments.
func (c *ChartInstall) Proxies() string     { return c.proxies }
func (c *ChartInstall) Controllers() string { return c.controllers }

// Pods of one of them.
func (c *ChartInstall) Pods(ctx context.Context, deployment string) ([]corev1.Pod, error) {
	d, err := c.env.Kube.AppsV1().Deployments(c.ns).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pods, err := c.env.Kube.CoreV1().Pods(c.ns).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
	if err != nil {
		return nil, err
	}
	return pods.Items, nil
}

func (c *ChartInstall) scale(ctx context.Context, deployment string, n int32) error {
	scale, err := c.env.Kube.AppsV1().Deployments(c.ns).GetScale(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas = n
	_, err = c.env.Kube.AppsV1().Deployments(c.ns).UpdateScale(ctx, deployment, scale, metav1.UpdateOptions{})
	return err
}

// KillControllers asks for none of them, so that they do not come back, and kills what runs.
func (c *ChartInstall) KillControllers(ctx context.Context) error {
	pods, err := c.Pods(ctx, c.controllers)
	if err != nil {
		return err
	}
	if err := c.scale(ctx, c.controllers, 0); err != nil {
		return err
	}
	for _, p := range pods {
		for _, status := range p.Status.ContainerStatuses {
			if err := c.env.killContainer(ctx, &p, status.Name); err != nil && !strings.Contains(err.Error(), "not found") {
				return err
			}
		}
	}
	return Eventually(ctx, podsLimit, func() error {
		left, err := c.Pods(ctx, c.controllers)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d controllers are left", len(left))
		}
		return err
	})
}

// heal gives the Deployments their replicas again; a release with other values, or none, stays.
func (c *ChartInstall) heal(ctx context.Context) error {
	for _, deployment := range []string{c.controllers, c.proxies} {
		d, err := c.env.Kube.AppsV1().Deployments(c.ns).Get(ctx, deployment, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil // Uninstalled.
		} else if err != nil {
			return err
		}
		if ptr.Deref(d.Spec.Replicas, 1) == 0 {
			if err := c.scale(ctx, deployment, 2); err != nil {
				return err
			}
		}
	}
	return c.settled(ctx)
}

func (c *ChartInstall) StartControllers(ctx context.Context) error {
	if err := c.scale(ctx, c.controllers, 2); err != nil {
		return err
	}
	return c.settled(ctx)
}

// Roll replaces all pods of a Deployment.
func (c *ChartInstall) Roll(ctx context.Context, deployment string) error {
	_, err := c.env.Kubectl(ctx, "", "-n", c.ns, "rollout", "restart", "deploy/"+deployment)
	if err != nil {
		return err
	}
	return rolledOut(ctx, c.env, c.ns, deployment, c.selector(ctx, deployment))
}

func (c *ChartInstall) selector(ctx context.Context, deployment string) string {
	d, err := c.env.Kube.AppsV1().Deployments(c.ns).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return metav1.FormatLabelSelector(d.Spec.Selector)
}

func (c *ChartInstall) Metrics(ctx context.Context) ([]string, error) {
	pods, err := c.Pods(ctx, c.proxies)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, p := range pods {
		text, err := c.env.NodeGet(ctx, "http://"+p.Status.PodIP+":10254/metrics")
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// eachServes is an error unless every ready proxy, asked by itself, has the answer of a backend.
func (c *ChartInstall) eachServes(ctx context.Context, host, path string) error {
	pods, err := c.Pods(ctx, c.proxies)
	if err != nil {
		return err
	}
	for _, p := range pods {
		if !podReady(&p) {
			continue
		}
		answer, err := c.env.Get(ctx, p.Status.PodIP+":8080", host, path)
		if err != nil {
			return err
		}
		if answer.Status != http.StatusOK {
			return fmt.Errorf("%s: status %d", p.Name, answer.Status)
		}
	}
	return nil
}

// Chart ends the scenario unless Ringway was installed by its chart.
func (s *S) Chart() *ChartInstall {
	c, ok := s.ringway.(*ChartInstall)
	if !ok {
		s.Skip("needs pods")
	}
	return c
}

// RestartProxies kills the process of every proxy; kubelet starts them again in the same pods.
func (c *ChartInstall) RestartProxies(ctx context.Context) error {
	return c.restart(ctx, c.proxies, "proxy")
}

// RestartControllers does it to the controllers.
func (c *ChartInstall) RestartControllers(ctx context.Context) error {
	return c.restart(ctx, c.controllers, "controller")
}

func (c *ChartInstall) restart(ctx context.Context, deployment, container string) error {
	pods, err := c.Pods(ctx, deployment)
	if err != nil {
		return err
	}
	before := map[string]int32{}
	for _, p := range pods {
		before[p.Name] = restarts(&p, container)
		c.killed[p.Name+"/"+container]++
		if err := c.env.killContainer(ctx, &p, container); err != nil {
			return err
		}
	}
	return Eventually(ctx, podsLimit, func() error {
		now, err := c.Pods(ctx, deployment)
		if err != nil {
			return err
		}
		for _, p := range now {
			if !podReady(&p) || restarts(&p, container) <= before[p.Name] {
				return fmt.Errorf("%s is not back", p.Name)
			}
		}
		return nil
	})
}

// Crashes counts the starts of a container after its first, but for those that we caused.
func (c *ChartInstall) Crashes(p *corev1.Pod, container string) int32 {
	return restarts(p, container) - c.killed[p.Name+"/"+container]
}

func restarts(p *corev1.Pod, container string) int32 {
	for _, status := range p.Status.ContainerStatuses {
		if status.Name == container {
			return status.RestartCount
		}
	}
	return 0
}

// Test runs the chart's own test and gives its phase.
func (c *ChartInstall) Test(ctx context.Context) (string, error) {
	text, err := c.env.helm(ctx, "test", c.name, "--namespace", c.ns, "--timeout", podsLimit.String())
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if phase, ok := strings.CutPrefix(strings.TrimSpace(line), "Phase:"); ok {
			return strings.TrimSpace(phase), nil
		}
	}
	return "", fmt.Errorf("helm test says no phase: %s", text)
}

// Uninstall removes the release.
func (c *ChartInstall) Uninstall(ctx context.Context) error {
	_, err := c.env.helm(ctx, "uninstall", c.name, "--namespace", c.ns, "--wait", "--timeout", podsLimit.String())
	return err
}
