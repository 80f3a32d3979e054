package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/checks"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// clientAddresses checks that the API limits each client by its own address, not all by the ingress controller's or the node's.
func (t *test) clientAddresses(ctx context.Context) error {
	usual, other, err := t.localAddresses(ctx)
	if err != nil {
		return err
	}
	// The other checks use the usual address, and must not be limited.
	noisy, quiet := t.newClient(other), t.newClient(usual)
	limited, tries := 0, 0
	for ; limited < 10 && tries < 200; tries++ { // each of the API's pods counts for itself
		a, err := noisy.Send(ctx, http.MethodPost, "/users", traffic.Bearer(""), map[string]string{})
		if err != nil {
			return err
		}
		if a.Code == http.StatusTooManyRequests {
			limited++
		} else {
			limited = 0
		}
	}
	if limited < 10 {
		return fmt.Errorf("%d sign-ups from %s are not limited", tries, other)
	}
	if _, err := quiet.SignUp(ctx, "quiet_client"); err != nil {
		return fmt.Errorf("the client at %s shares the limit of the one at %s: %w", usual, other, err)
	}
	t.Say("%s and %s", usual, other)
	return nil
}

// localAddresses returns the address from which this machine usually connects to the ingress controller, and another of its own.
func (t *test) localAddresses(ctx context.Context) (usual, other string, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp4", net.JoinHostPort(t.address, "80")) // sends nothing
	if err != nil {
		return "", "", err
	}
	usual, _, _ = net.SplitHostPort(conn.LocalAddr().String())
	_ = conn.Close()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", "", err
	}
	for _, address := range addresses {
		network, ok := address.(*net.IPNet)
		if !ok || network.IP.To4() == nil || network.IP.IsLoopback() || network.IP.String() == usual {
			continue
		}
		other = network.IP.String()
		if _, err := t.newClient(other).Send(ctx, http.MethodGet, "/nowhere", nil, nil); err == nil {
			return usual, other, nil
		}
	}
	return "", "", checks.NotRun("this machine reaches the ingress controller from one address only")
}

// networkPolicies probes, from every kind of pod, every port that a pod of ours, of Temporal or of NATS listens on.
func (t *test) networkPolicies(ctx context.Context) (err error) {
	targets, err := t.targets(ctx)
	if err != nil {
		return err
	}
	// Pods that have no business with any of them. The image is one that has bash.
	image, err := t.deployer.run(ctx, "get", "statefulset/twtr-cassandra", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	if err != nil {
		return err
	}
	stranger := strings.NewReplacer("image: twtr,", "image: "+image+", command: [sleep, infinity],", "name: attack", "name: stranger").Replace(aPod("terminationGracePeriodSeconds: 0,",
		"resources: {requests: {cpu: 1m, memory: 16Mi}, limits: {memory: 64Mi}},").manifest)
	namespaces := []string{t.namespace, "default", "temporal", natsNamespace}
	defer func() {
		for _, namespace := range namespaces {
			_, failed := t.admin.in(namespace).run(context.WithoutCancel(ctx), "delete", "--ignore-not-found", "pod/stranger")
			err = errors.Join(err, failed)
		}
	}()
	for _, namespace := range namespaces {
		if _, err := t.admin.in(namespace).apply(ctx, stranger, "apply", "-f", "-"); err != nil {
			return err
		}
	}
	for _, namespace := range namespaces {
		if _, err := t.admin.in(namespace).run(ctx, "wait", "--for=condition=Ready", "--timeout=60s", "pod/stranger"); err != nil {
			return err
		}
	}

	everywhere := slices.Sorted(maps.Keys(targets))
	const outside = "the API server" // which shows that the probe itself works, where a pod may connect to anything
	probes := 0
	for _, source := range []struct {
		k     kubectl
		pod   string
		bash  bool     // otherwise the container has nothing but our binary
		self  []string // may be the pod itself, which no policy stops
		allow []string
	}{
		{t.deployer, "deploy/twtr-api", false, []string{"the API", "the API's ops port"}, []string{"Cassandra", "Temporal", "NATS"}},
		{t.deployer, "deploy/twtr-feeds", false, []string{"a worker's ops port"}, []string{"Cassandra", "Temporal", "NATS"}},
		{t.deployer, "twtr-cassandra-0", true, []string{"Cassandra", "Cassandra's gossip"}, nil},
		{t.deployer, "stranger", true, nil, []string{outside}},
		{t.admin.in("default"), "stranger", true, nil, []string{outside}},
		{t.admin.in("temporal"), "stranger", true, nil, []string{outside}},
		{t.admin.in(natsNamespace), "stranger", true, nil, []string{outside}},
		{t.admin.in("temporal"), "temporal-postgresql-0", true, []string{"PostgreSQL"}, []string{outside}},
	} {
		// A new pod reaches nothing until the policy engine knows it.
		if err := traffic.Eventually(ctx, 15*time.Second, func() error {
			reached, err := source.k.reach(ctx, source.pod, source.bash, targets)
			if err != nil {
				return err
			}
			for _, target := range everywhere {
				want, got := slices.Contains(source.allow, target), slices.Contains(reached, target)
				if want != got && !slices.Contains(source.self, target) {
					return fmt.Errorf("%s of namespace %s reaches %s at %s: %v, and not %v", source.pod, source.k.namespace, target, targets[target], got, want)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		probes += len(everywhere) - len(source.self)
	}
	t.Say("%d probes", probes)
	return nil
}

// targets are the ports on which something listens, by what it is.
func (t *test) targets(ctx context.Context) (map[string]string, error) {
	targets := map[string]string{"the API server": "kubernetes.default.svc:443"}
	temporal, nats := t.admin.in("temporal"), t.admin.in(natsNamespace)
	for _, target := range []struct {
		name     string
		k        kubectl
		selector string
		port     string
	}{
		{"the API", t.deployer, "twtr-dev.com/role=api", "3002"},
		{"the API's ops port", t.deployer, "twtr-dev.com/role=api", "3003"},
		{"a worker's ops port", t.deployer, "twtr-dev.com/role=worker", "3003"},
		{"Cassandra", t.deployer, "app.kubernetes.io/component=cassandra", "9042"},
		{"Cassandra's gossip", t.deployer, "app.kubernetes.io/component=cassandra", "7000"},
		{"Temporal", temporal, "app.kubernetes.io/component=frontend", "7233"},
		{"Temporal's Web UI", temporal, "app.kubernetes.io/component=web", "8080"},
		{"PostgreSQL", temporal, "app=temporal-postgresql", "5432"},
		{"NATS", nats, "app.kubernetes.io/component=nats", "4222"},
		{"NATS's other servers", nats, "app.kubernetes.io/component=nats", "6222"},
		{"NATS's monitoring", nats, "app.kubernetes.io/component=nats", "8222"},
	} {
		ip, err := target.k.run(ctx, "get", "pods", "-l", target.selector, "--field-selector", "status.phase=Running", "-o", "jsonpath={.items[0].status.podIP}")
		if err != nil {
			return nil, err
		}
		targets[target.name] = net.JoinHostPort(ip, target.port)
	}
	return targets, nil
}

// reach returns the targets to which a pod can connect.
func (k kubectl) reach(ctx context.Context, pod string, bash bool, targets map[string]string) (reached []string, err error) {
	if bash {
		script := ""
		for name, address := range targets {
			ip, port, _ := net.SplitHostPort(address)
			script += fmt.Sprintf("(timeout 3 bash -c 'exec 3<>/dev/tcp/%s/%s' 2>/dev/null && echo %q) &\n", ip, port, name)
		}
		printed, err := k.run(ctx, "exec", pod, "--", "bash", "-c", script+"wait")
		return strings.Split(printed, "\n"), err
	}
	var probes sync.WaitGroup
	var mu sync.Mutex
	for name, address := range targets {
		probes.Go(func() {
			_, failed := k.run(ctx, "exec", pod, "-c", "twtr", "--", "/usr/local/bin/twtr", "healthcheck", address)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case failed == nil:
				reached = append(reached, name)
			case !strings.Contains(failed.Error(), "/healthz"):
				err = failed
			// Most are no HTTP servers: all answer something, or close the connection.
			case !strings.Contains(failed.Error(), "dial tcp") && !strings.Contains(failed.Error(), "deadline exceeded"):
				reached = append(reached, name)
			}
		})
	}
	probes.Wait()
	return reached, err
}
