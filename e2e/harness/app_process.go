package harness

// An application of processes in the node, each with an address of its own. The harness does to them and to the EndpointSlice what kubelet and
// kube-controller-manager would, without their politeness: a terminating pod gets its signal at the same moment as the change of the slice.

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"ringway.test/e2e/cluster"
)

type processPod struct {
	name, address string
	terminating   bool
}

type processApp struct {
	env  *Env
	spec AppSpec

	mu      sync.Mutex
	pods    []*processPod
	created int
}

func newProcessApp(ctx context.Context, e *Env, spec AppSpec) (App, error) {
	a := &processApp{env: e, spec: spec}
	service := serviceOf(spec)
	service.Spec.Selector = nil
	if _, err := e.Kube.CoreV1().Services(spec.NS).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if _, err := e.Kube.DiscoveryV1().EndpointSlices(spec.NS).Create(ctx, a.slice(), metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	return a, a.Scale(ctx, spec.Replicas)
}

func serviceOf(spec AppSpec) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: spec.Name, Namespace: spec.NS}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": spec.Name},
		Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(appPort)}}}}
}

func (a *processApp) slice() *discoveryv1.EndpointSlice {
	a.mu.Lock()
	defer a.mu.Unlock()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: a.spec.Name + "-1", Namespace: a.spec.NS,
			Labels: map[string]string{discoveryv1.LabelServiceName: a.spec.Name, discoveryv1.LabelManagedBy: "e2e"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](appPort), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, p := range a.pods {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{p.address}, NodeName: ptr.To(cluster.NodeName),
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(!p.terminating), Serving: ptr.To(true), Terminating: ptr.To(p.terminating)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: a.spec.NS, Name: p.name}})
	}
	return slice
}

func (a *processApp) publish(ctx context.Context) error {
	_, err := a.env.Kube.DiscoveryV1().EndpointSlices(a.spec.NS).Update(ctx, a.slice(), metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) && ctx.Err() == nil {
		_, err = a.env.Kube.DiscoveryV1().EndpointSlices(a.spec.NS).Create(ctx, a.slice(), metav1.CreateOptions{})
	}
	return err
}

// address gives one that no other application has had: a late packet must not find a stranger.
func (e *Env) address(ctx context.Context) (string, error) {
	e.mu.Lock()
	n := e.next
	e.next++
	e.mu.Unlock()
	address := fmt.Sprintf("10.244.%d.%d", n/250, 2+n%250)
	text, err := e.Cluster.Command(ctx, "ip", "addr", "add", address+"/32", "dev", "lo").CombinedOutput()
	if err != nil && !strings.Contains(string(text), "File exists") {
		return "", fmt.Errorf("address %s: %w: %s", address, err, text)
	}
	return address, nil
}

// start runs a pod and returns when it is ready; the slice does not have it yet.
func (a *processApp) start(ctx context.Context) (*processPod, error) {
	address, err := a.env.address(ctx)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.created++
	p := &processPod{name: fmt.Sprintf("%s-%s-%d", a.spec.NS, a.spec.Name, a.created), address: address}
	a.mu.Unlock()
	listen := address + ":" + strconv.Itoa(appPort)
	if err := a.env.Cluster.Run(cluster.Process{Name: p.name, Args: []string{a.env.Backend, "-listen", listen, "-name", p.name}}); err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: a.env.Node.DialContext, DisableKeepAlives: true}}
	return p, Eventually(ctx, time.Minute, func() error {
		response, err := client.Get("http://" + listen + "/ready")
		if err == nil {
			response.Body.Close()
		}
		return err
	})
}

func (a *processApp) add(ctx context.Context, n int) error {
	var fresh []*processPod
	for range n {
		p, err := a.start(ctx)
		if err != nil {
			return err
		}
		fresh = append(fresh, p)
	}
	a.mu.Lock()
	a.pods = append(a.pods, fresh...)
	a.mu.Unlock()
	return a.publish(ctx)
}

// remove ends pods as a cluster does: slice and hook at once, the signal after the hook, the entry when the program has ended.
func (a *processApp) remove(ctx context.Context, pods []*processPod) error {
	a.mu.Lock()
	for _, p := range pods {
		p.terminating = true
	}
	a.mu.Unlock()
	errs := make(chan error, len(pods)+1)
	go func() { errs <- a.publish(ctx) }()
	for _, p := range pods {
		go func() {
			time.Sleep(a.spec.PreStop)
			if err := a.env.Cluster.Signal(p.name, syscall.SIGTERM); err != nil {
				errs <- err
				return
			}
			status, err := a.env.Cluster.Wait(p.name, time.Minute)
			if err == nil && status.Running {
				err = fmt.Errorf("%s does not end", p.name)
			}
			errs <- err
		}()
	}
	var first error
	for range len(pods) + 1 {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	a.mu.Lock()
	a.pods = slices.DeleteFunc(a.pods, func(p *processPod) bool { return slices.Contains(pods, p) })
	a.mu.Unlock()
	if err := a.publish(ctx); first == nil {
		first = err
	}
	return first
}

func (a *processApp) Pods(context.Context) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, p := range a.pods {
		if !p.terminating {
			names = append(names, p.name)
		}
	}
	return names, nil
}

func (a *processApp) Addresses(context.Context) (all []string, err error) {
	for _, p := range a.live() {
		all = append(all, p.address+":"+strconv.Itoa(appPort))
	}
	return all, nil
}

func (a *processApp) live() []*processPod {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.pods)
}

func (a *processApp) Scale(ctx context.Context, n int) error {
	live := a.live()
	if n >= len(live) {
		return a.add(ctx, n-len(live))
	}
	return a.remove(ctx, live[n:])
}

// Roll as a Deployment with maxSurge 0 does: at most maxUnavailable are away at once.
func (a *processApp) Roll(ctx context.Context) error {
	old := a.live()
	step := 1
	if percent, ok := strings.CutSuffix(a.spec.MaxUnavailable, "%"); ok {
		n, err := strconv.Atoi(percent)
		if err != nil {
			return err
		}
		step = max(1, len(old)*n/100)
	}
	for len(old) > 0 {
		batch := old[:min(step, len(old))]
		old = old[len(batch):]
		if err := a.remove(ctx, batch); err != nil {
			return err
		}
		if err := a.add(ctx, len(batch)); err != nil {
			return err
		}
	}
	return nil
}

func (a *processApp) KillOne(ctx context.Context) (string, error) {
	victim := a.live()[0]
	if err := a.env.Cluster.Kill(victim.name); err != nil {
		return "", err
	}
	// The cluster takes its time to notice.
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Second):
	}
	a.mu.Lock()
	a.pods = slices.DeleteFunc(a.pods, func(p *processPod) bool { return p == victim })
	a.mu.Unlock()
	if err := a.publish(ctx); err != nil {
		return "", err
	}
	return victim.name, a.add(ctx, 1)
}

func (a *processApp) stop() {
	for _, p := range a.live() {
		a.env.Cluster.Signal(p.name, syscall.SIGKILL)
	}
}
