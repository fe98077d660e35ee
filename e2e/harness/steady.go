package harness

// The steady application: three backends that no scenario touches. Requests to it go on through every scenario; whatever else happens, not
// one may fail.

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ringway.test/e2e/load"
)

const (
	steadyNS   = "steady"
	steadyHost = "steady.example"
)

// Steady is that application.
type Steady struct {
	env *Env
	app App
}

// ready starts Ringway and the steady application, once a run.
func (e *Env) ready(ctx context.Context) error {
	if e.steady != nil {
		return nil
	}
	if e.ringway == nil {
		r, err := e.install(context.Background())
		if err != nil {
			return err
		}
		e.ringway = r
	}
	if _, err := e.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: steadyNS}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	app, err := e.newApp(ctx, AppSpec{NS: steadyNS, Name: "app", Replicas: 3})
	if err != nil {
		return err
	}
	if err := e.create(ctx, []*networkingv1.Ingress{Simple(steadyNS, "app", steadyHost, "app")}); err != nil {
		return err
	}
	s := &S{Env: e, Ctx: ctx}
	if err := Eventually(ctx, time.Minute, func() error { return s.Serves(steadyHost, "/") }); err != nil {
		return err
	}
	e.steady = &Steady{env: e, app: app}
	return nil
}

func (s *Steady) load() *load.Load {
	return load.Start(load.Config{Dial: s.env.Outside.DialContext, Address: s.env.ringway.HTTP(), Host: steadyHost, Rate: 200, FreshRate: 20,
		Paths: []string{"/", "/a/b?c=d", "/?size=3000"}})
}
