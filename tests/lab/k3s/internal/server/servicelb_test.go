package server

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func balanced(name string, age time.Duration, ports ...int32) *corev1.Service {
	made := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "test", CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
	}
	for _, port := range ports {
		made.Spec.Ports = append(made.Spec.Ports, corev1.ServicePort{Port: port, Protocol: corev1.ProtocolTCP})
	}
	return made
}

func TestServicesGetTheNodesAddressAndTheOlderTheirPorts(t *testing.T) {
	ctx := context.Background()
	older, younger, other := balanced("older", time.Hour, 80, 443), balanced("younger", time.Minute, 443), balanced("other", 0, 22)
	inside := balanced("inside", 0, 5432)
	inside.Spec.Type = corev1.ServiceTypeClusterIP
	client := fake.NewClientset(older, younger, other, inside)
	balancer := &loadBalancer{client: client, address: "192.0.2.7", told: map[string]string{}}
	if err := balancer.reconcile(ctx, []any{younger, other, inside, older}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"older": "192.0.2.7", "younger": "", "other": "192.0.2.7", "inside": ""} {
		service, err := client.CoreV1().Services("test").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if ingress := service.Status.LoadBalancer.Ingress; len(ingress) > 0 {
			got = ingress[0].IP
		}
		if got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if reason := balancer.told["test/younger"]; reason != "port 443/TCP is test/older's" {
		t.Error(reason)
	}
}
