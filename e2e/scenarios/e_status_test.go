package scenarios

import (
	"encoding/json"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// statusOf an Ingress that a watch brings.
func statusOf(object runtime.Object) (name, status string, ok bool) {
	ingress, ok := object.(*networkingv1.Ingress)
	if !ok {
		return "", "", false
	}
	text, err := json.Marshal(ingress.Status)
	return ingress.Name, string(text), err == nil
}
