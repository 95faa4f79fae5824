package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// loadBalancer gives Services of type LoadBalancer the node's address. kube-proxy then answers on it: the pods with
// host ports that k3s starts for that are not needed.
type loadBalancer struct {
	client  kubernetes.Interface
	address string
	told    map[string]string
}

// run follows the Services until the context ends.
func (l *loadBalancer) run(ctx context.Context) {
	factory := informers.NewSharedInformerFactory(l.client, 0)
	services := factory.Core().V1().Services()
	changed := make(chan struct{}, 1)
	wake := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: wake, UpdateFunc: func(_, now any) { wake(now) }, DeleteFunc: wake,
	}); err != nil {
		warnf("servicelb: %v", err)
		return
	}
	factory.Start(ctx.Done())
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		if err := l.reconcile(ctx, services.Informer().GetStore().List()); err != nil && ctx.Err() == nil {
			warnf("servicelb: %v", err)
			time.AfterFunc(time.Second, func() { wake(nil) })
		}
	}
}

func (l *loadBalancer) reconcile(ctx context.Context, listed []any) error {
	var services []*corev1.Service
	for _, one := range listed {
		if service, isService := one.(*corev1.Service); isService && service.Spec.Type == corev1.ServiceTypeLoadBalancer &&
			service.Spec.LoadBalancerClass == nil && service.DeletionTimestamp == nil {
			services = append(services, service)
		}
	}
	wanted := assign(services, l.address)
	for _, service := range services {
		name := service.Namespace + "/" + service.Name
		address, reason := wanted[name].address, wanted[name].reason
		if reason != "" && l.told[name] != reason {
			warnf("Service %s gets no address: %s", name, reason)
		}
		l.told[name] = reason
		var ingress []corev1.LoadBalancerIngress
		if address != "" {
			mode := corev1.LoadBalancerIPModeVIP
			ingress = []corev1.LoadBalancerIngress{{IP: address, IPMode: &mode}}
		}
		now := service.Status.LoadBalancer.Ingress
		if slices.EqualFunc(now, ingress, func(a, b corev1.LoadBalancerIngress) bool { return a.IP == b.IP && a.Hostname == b.Hostname }) {
			continue
		}
		service = service.DeepCopy()
		service.Status.LoadBalancer.Ingress = ingress
		if _, err := l.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, service, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

type assignment struct{ address, reason string }

// assign gives the address to every Service whose ports are free; of two that want the same port the older has it.
func assign(services []*corev1.Service, address string) map[string]assignment {
	inOrder := slices.Clone(services)
	slices.SortFunc(inOrder, func(a, b *corev1.Service) int {
		if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
			return order
		}
		return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
	})
	taken := map[string]string{}
	assigned := map[string]assignment{}
	for _, service := range inOrder {
		name := service.Namespace + "/" + service.Name
		reason := ""
		for _, port := range service.Spec.Ports {
			if owner := taken[portKey(port)]; owner != "" {
				reason = fmt.Sprintf("port %s is %s's", portKey(port), owner)
			}
		}
		if reason != "" {
			assigned[name] = assignment{reason: reason}
			continue
		}
		for _, port := range service.Spec.Ports {
			taken[portKey(port)] = name
		}
		assigned[name] = assignment{address: address}
	}
	return assigned
}

func portKey(port corev1.ServicePort) string { return fmt.Sprintf("%d/%s", port.Port, port.Protocol) }
