package harness

// An application that is a Deployment.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// podsLimit bounds the time that pods take to come and go on a busy machine.
const podsLimit = 4 * time.Minute

type podApp struct {
	env   *Env
	spec  AppSpec
	rolls int
}

func newPodApp(ctx context.Context, e *Env, spec AppSpec) (App, error) {
	a := &podApp{env: e, spec: spec}
	if _, err := e.Kube.CoreV1().Services(spec.NS).Create(ctx, serviceOf(spec), metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if _, err := e.Kube.AppsV1().Deployments(spec.NS).Create(ctx, a.deployment(), metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	return a, a.settled(ctx)
}

func (a *podApp) deployment() *appsv1.Deployment {
	labels := map[string]string{"app": a.spec.Name}
	container := corev1.Container{Name: "backend", Image: backendImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: appPort}},
		// Not quick to say no: a machine that is busy for a second shall not make all pods unready at once.
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 5, TimeoutSeconds: 5,
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(appPort)}}},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("5m"), "memory": resource.MustParse("16Mi")}}}
	if a.spec.PreStop > 0 {
		container.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: int64(a.spec.PreStop.Seconds())}}}
	}
	unavailable := intstr.Parse(a.spec.MaxUnavailable)
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: a.spec.Name, Namespace: a.spec.NS}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(a.spec.Replicas)),
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &unavailable, MaxSurge: ptr.To(intstr.FromInt32(0))}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To[int64](30), AutomountServiceAccountToken: ptr.To(false), Containers: []corev1.Container{container}}},
	}}
}

func (a *podApp) list(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := a.env.Kube.CoreV1().Pods(a.spec.NS).List(ctx, metav1.ListOptions{LabelSelector: "app=" + a.spec.Name})
	if err != nil {
		return nil, err
	}
	return pods.Items, nil
}

func (a *podApp) Pods(ctx context.Context) ([]string, error) {
	pods, err := a.list(ctx)
	var names []string
	for _, p := range pods {
		if p.DeletionTimestamp == nil && podReady(&p) {
			names = append(names, p.Name)
		}
	}
	return names, err
}

func (a *podApp) Addresses(ctx context.Context) ([]string, error) {
	pods, err := a.list(ctx)
	var all []string
	for _, p := range pods {
		all = append(all, net.JoinHostPort(p.Status.PodIP, strconv.Itoa(appPort)))
	}
	return all, err
}

func podReady(p *corev1.Pod) bool {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// settled returns when the Deployment is what it should be and no other pod is left.
func (a *podApp) settled(ctx context.Context) error {
	return rolledOut(ctx, a.env, a.spec.NS, a.spec.Name, "app="+a.spec.Name)
}

func rolledOut(ctx context.Context, e *Env, ns, name, selector string) error {
	return Eventually(ctx, podsLimit, func() error {
		d, err := e.Kube.AppsV1().Deployments(ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		want := ptr.Deref(d.Spec.Replicas, 1)
		if d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas != want || d.Status.AvailableReplicas != want || d.Status.Replicas != want {
			return fmt.Errorf("deployment %s/%s: %d updated and %d available of %d%s", ns, name, d.Status.UpdatedReplicas, d.Status.AvailableReplicas, want,
				e.whyNot(ctx, ns, selector))
		}
		pods, err := e.Kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		if len(pods.Items) != int(want) {
			return fmt.Errorf("deployment %s/%s: %d pods, want %d", ns, name, len(pods.Items), want)
		}
		return nil
	})
}

// whyNot says what pods wait for.
func (e *Env) whyNot(ctx context.Context, ns, selector string) string {
	pods, err := e.Kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return ""
	}
	var why []string
	for _, p := range pods.Items {
		for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			if c.State.Waiting != nil && c.State.Waiting.Reason != "PodInitializing" {
				why = append(why, fmt.Sprintf("%s: %s %s", p.Name, c.State.Waiting.Reason, c.State.Waiting.Message))
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue {
				why = append(why, p.Name+": "+c.Message)
			}
		}
	}
	if len(why) == 0 {
		return ""
	}
	return " (" + strings.Join(why, "; ") + ")"
}

func (a *podApp) patch(ctx context.Context, patch string) error {
	_, err := a.env.Kube.AppsV1().Deployments(a.spec.NS).Patch(ctx, a.spec.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func (a *podApp) Scale(ctx context.Context, n int) error {
	if err := a.patch(ctx, fmt.Sprintf(`{"spec":{"replicas":%d}}`, n)); err != nil {
		return err
	}
	return a.settled(ctx)
}

func (a *podApp) Roll(ctx context.Context) error {
	a.rolls++
	if err := a.patch(ctx, fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"e2e/roll":"%d"}}}}}`, a.rolls)); err != nil {
		return err
	}
	return a.settled(ctx)
}

// KillOne kills the container's process behind kubelet's back; kubelet starts it again in the same pod.
func (a *podApp) KillOne(ctx context.Context) (string, error) {
	pods, err := a.list(ctx)
	if err != nil {
		return "", err
	}
	if len(pods) == 0 || len(pods[0].Status.ContainerStatuses) == 0 {
		return "", errors.New("no pod to kill")
	}
	victim := pods[0]
	restarts := victim.Status.ContainerStatuses[0].RestartCount
	if err := a.env.killContainer(ctx, &victim, "backend"); err != nil {
		return "", err
	}
	return victim.Name, Eventually(ctx, podsLimit, func() error {
		p, err := a.env.Kube.CoreV1().Pods(a.spec.NS).Get(ctx, victim.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !podReady(p) || p.Status.ContainerStatuses[0].RestartCount == restarts {
			return fmt.Errorf("pod %s is not back", victim.Name)
		}
		return nil
	})
}

// killContainer sends SIGKILL to a container's first process.
func (e *Env) killContainer(ctx context.Context, p *corev1.Pod, container string) error {
	for _, c := range p.Status.ContainerStatuses {
		if c.Name != container {
			continue
		}
		id := strings.TrimPrefix(c.ContainerID, "containerd://")
		text, err := e.Cluster.Inside(ctx, "ctr", "--address", "/run/containerd/containerd.sock", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", id).CombinedOutput()
		if err != nil {
			return fmt.Errorf("killing %s in %s: %w: %s", container, p.Name, err, text)
		}
		return nil
	}
	return fmt.Errorf("pod %s has no container %s", p.Name, container)
}
