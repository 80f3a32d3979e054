package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// account prepares a namespace with setup-k8s.sh, and returns its deployer: it runs the commands that the script prints. with are the
// rights to ask for.
func (t *test) account(ctx context.Context, namespace, with string) (kubectl, error) {
	dir := filepath.Join(t.dir, namespace)
	deployer := kubectl{config: filepath.Join(dir, "twtr-deployer.kubeconfig"), root: t.root, namespace: namespace}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return deployer, err
	}
	printed, err := t.admin.command(ctx, "", "env", "NAMESPACE="+namespace, "WITH="+with, "scripts/setup-k8s.sh")
	if err != nil {
		return deployer, err
	}
	commands := "set -eu\n"
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(line, "  ") {
			commands += line
		}
	}
	k := t.admin
	k.root = dir
	if _, err := k.command(ctx, commands, "bash"); err != nil {
		return deployer, err
	}
	who, err := deployer.run(ctx, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	if want := "system:serviceaccount:" + namespace + ":twtr-deployer"; err == nil && who != want {
		err = fmt.Errorf("the kubeconfig is of %s, not of %s", who, want)
	}
	return deployer, err
}

// request is a request of kubectl. A manifest is created, without effect: all checks of the API server are made, nothing is stored.
type request struct {
	args     []string
	manifest string
}

func command(args ...string) request { return request{args: args} }
func manifest(text string) request   { return request{manifest: "---\n" + text} } // what begins with { would be JSON
func raw(verb, path string) request {
	return request{args: []string{verb, "--raw", path + "?dryRun=All"}}
}
func replaceRaw(path string) request {
	return request{args: []string{"replace", "--raw", path + "?dryRun=All", "-f", "-"}}
}
func createRaw(path string) request {
	return request{args: []string{"create", "--raw", path + "?dryRun=All", "-f", "-"}}
}
func patched(what, p string) request {
	return command("patch", what, "--dry-run=server", "--type=merge", "-p", p)
}
func (r request) make(ctx context.Context, k kubectl) error {
	args, stdin := r.args, "{}"
	if r.manifest != "" {
		args, stdin = []string{"create", "--dry-run=server", "-f", "-"}, r.manifest
	}
	_, err := k.apply(ctx, stdin, args...)
	return err
}

// with replaces a part of the manifest.
func (r request) with(old, new string) request {
	return request{manifest: strings.Replace(r.manifest, old, new, 1)}
}

// attack is what the deployer's account must not be able to do.
type attack struct {
	name    string
	request request
	refusal string // a regular expression: why it is refused
	// harmless is a request like it that is allowed. Without it an attack could be refused because everything is.
	harmless request
}

// The reasons of refusals. forbidden is for missing rights.
const (
	podSecurity = `violates PodSecurity "restricted:v1.30": .*`
	policy      = `ValidatingAdmissionPolicy .* denied request: `
	quota       = `exceeded quota: twtr, requested: `
)

func forbidden(verb, resource string) string {
	return fmt.Sprintf(`(?i)forbidden.* cannot %s resource "%s"`, verb, resource)
}

// aPod is a manifest of a pod that the namespace allows, with changes: lines of its spec, and of its container.
func aPod(spec, container string) request {
	return manifest(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: attack}, spec: {
  automountServiceAccountToken: false, %s
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}},
  containers: [{name: attack, image: twtr, %s
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}`, spec, container))
}

func aSecret(rest string) request {
	return manifest(`{apiVersion: v1, kind: Secret, metadata: {name: attack` + rest + `}`)
}

func aService(rest string) request {
	return manifest(`{apiVersion: v1, kind: Service, metadata: {name: attack}, spec: {ports: [{port: 80}]` + rest + `}}`)
}

func anIngress(annotations, spec string) request {
	return manifest(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: attack, annotations: {` + annotations + `}}, spec: {` + spec + `}}`)
}

// aRule is a rule of an Ingress. Its host is a line of YAML, or nothing.
func aRule(host, path string) string {
	return `rules: [{` + host + ` http: {paths: [{path: "` + path + `", pathType: ImplementationSpecific, backend: {service: {name: attack, port: {number: 80}}}}]}}]`
}

// attacks are those on the account, whatever rights were asked for. other is another namespace.
func attacks(namespace string) []attack {
	here, elsewhere := "/api/v1/namespaces/"+namespace, "/api/v1/namespaces/kube-system"
	rbac := "/apis/rbac.authorization.k8s.io/v1"
	admission := "/apis/admissionregistration.k8s.io/v1"
	pod, secret, service := aPod("", ""), aSecret("}"), aService("")
	ingress := anIngress("traefik.ingress.kubernetes.io/router.entrypoints: websecure, example.com/a: b",
		aRule("host: twtr-dev.com,", "/a-b_c/~d.e")+`, tls: [{hosts: [twtr-dev.com], secretName: a}]`)
	pods := command("get", "pods")
	account := command("get", "serviceaccount", "twtr-deployer")
	return []attack{
		// Other namespaces, and the cluster.
		{"read Secrets of kube-system", raw("get", elsewhere+"/secrets"), forbidden("list", "secrets"), raw("get", here+"/secrets")},
		{"read Secrets of all namespaces", raw("get", "/api/v1/secrets"), forbidden("list", "secrets"), raw("get", here+"/secrets")},
		{"create a pod in another namespace", createRaw("/api/v1/namespaces/default/pods"), forbidden("create", "pods"), pod},
		{"execute a command in a pod of kube-system", createRaw(elsewhere + "/pods/any/exec"), forbidden("create", "pods/exec"),
			command("auth", "can-i", "create", "pods/exec")},
		{"list nodes", raw("get", "/api/v1/nodes"), forbidden("list", "nodes"), pods},
		{"reach the kubelet", raw("get", "/api/v1/nodes/any/proxy/pods"), forbidden("get", "nodes/proxy"), pods},
		{"create a PersistentVolume of a host's directory", createRaw("/api/v1/persistentvolumes"), forbidden("create", "persistentvolumes"),
			manifest(`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: attack}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`)},
		{"request a client certificate", createRaw("/apis/certificates.k8s.io/v1/certificatesigningrequests"),
			forbidden("create", "certificatesigningrequests"), secret},

		// More rights.
		{"create a Role", createRaw(rbac + "/namespaces/" + namespace + "/roles"), forbidden("create", "roles"), account},
		{"change its own Role", replaceRaw(rbac + "/namespaces/" + namespace + "/roles/twtr-deployer"), forbidden("update", "roles"), account},
		{"create a RoleBinding", createRaw(rbac + "/namespaces/" + namespace + "/rolebindings"), forbidden("create", "rolebindings"), account},
		{"create a ClusterRoleBinding", createRaw(rbac + "/clusterrolebindings"), forbidden("create", "clusterrolebindings"), account},
		{"impersonate an administrator", command("get", "pods", "--as", "admin", "--as-group", "system:masters"),
			`cannot impersonate resource "(users|groups)"`, pods},
		{"impersonate another service account", command("get", "pods", "--as", "system:serviceaccount:kube-system:default"),
			`cannot impersonate resource "serviceaccounts"`, pods},
		{"get a token of another account", command("create", "token", "default"), forbidden("create", "serviceaccounts/token"), account},
		{"get a new token of its own", command("create", "token", "twtr-deployer"), forbidden("create", "serviceaccounts/token"), account},

		// What keeps it within its limits.
		{"delete the namespace", raw("delete", here), forbidden("delete", "namespaces"), pods},
		{"remove the namespace's pod security level", replaceRaw(here), forbidden("update", "namespaces"), pods},
		{"delete an admission policy", raw("delete", admission+"/validatingadmissionpolicies/"+namespace+".secrets"),
			forbidden("delete", "validatingadmissionpolicies"), pods},
		{"delete a policy's binding", raw("delete", admission+"/validatingadmissionpolicybindings/"+namespace+".secrets"),
			forbidden("delete", "validatingadmissionpolicybindings"), pods},
		{"raise the quota", replaceRaw(here + "/resourcequotas/twtr"), forbidden("update", "resourcequotas"), pods},
		{"exceed the quota", aPod("", "resources: {requests: {cpu: 1k}},"), quota + `requests.cpu=1k`, pod},

		// Tokens of accounts.
		{"a Secret with another account's token", aSecret(`, annotations: {kubernetes.io/service-account.name: default}}, type: kubernetes.io/service-account-token`),
			policy + `a Secret must not be a service account's token`, secret},
		{"a Secret with its own token, which never expires", aSecret(`, annotations: {kubernetes.io/service-account.name: twtr-deployer}}, type: kubernetes.io/service-account-token`),
			policy + `a Secret must not be a service account's token`, secret},
		{"a pod with another account's token", pod.with("automountServiceAccountToken: false", "serviceAccountName: default"),
			policy + `a pod must not have a service account's token`, pod},
		{"a pod with a token in a volume of its own", aPod("volumes: [{name: token, projected: {sources: [{configMap: {name: a}}, {serviceAccountToken: {path: token}}]}}],", ""),
			policy + `a pod must not have a service account's token`,
			aPod("volumes: [{name: token, projected: {sources: [{configMap: {name: a}}]}}],", "")},
		{"a pod with a token for another service", aPod("volumes: [{name: token, projected: {sources: [{serviceAccountToken: {path: token, audience: https://kubernetes.default.svc}}]}}],", ""),
			policy + `a pod must not have a service account's token`, pod},

		// The node.
		{"a pod with a directory of its node", aPod("volumes: [{name: root, hostPath: {path: /}}],", ""), podSecurity + `hostPath`,
			aPod("volumes: [{name: root, emptyDir: {}}],", "")},
		{"a privileged pod", pod.with("allowPrivilegeEscalation: false", "privileged: true"), podSecurity + `privileged`, pod},
		{"a pod as root", pod.with("runAsUser: 65532", "runAsUser: 0"), podSecurity + `runAsUser=0`, pod},
		{"a pod with a capability", pod.with("drop: [ALL]", "drop: [ALL], add: [NET_ADMIN]"), podSecurity + `unrestricted capabilities`, pod},
		{"a pod in its node's network", aPod("hostNetwork: true,", ""), podSecurity + `hostNetwork`, pod},
		{"a pod among its node's processes", aPod("hostPID: true,", ""), podSecurity + `hostPID`, pod},
		{"a pod on a port of its node", aPod("", "ports: [{containerPort: 80, hostPort: 80}],"), podSecurity + `hostPort`, aPod("", "ports: [{containerPort: 80}],")},
		{"a debugging container in a pod", replaceRaw(here + "/pods/any/ephemeralcontainers"), forbidden("update", "pods/ephemeralcontainers"), pod},
		{"a pod that stops others", aPod("priorityClassName: system-node-critical,", ""), policy + `a pod must not have a priority class of the system`, pod},

		// Traffic of others.
		{"a Service with an address of others", aService(", externalIPs: [192.0.2.1]"), policy + `a Service must not have externalIPs`, service},
		{"a Service for a host outside", aService(", type: ExternalName, externalName: kubernetes.default.svc"), policy + `a Service must not be of type ExternalName`, service},
		{"change a Service to have an address of others", patched("service/probe", `{"spec":{"externalIPs":["192.0.2.1"]}}`),
			policy + `a Service must not have externalIPs`, patched("service/probe", `{"metadata":{"labels":{"a":"b"}}}`)},
		{"set a Service's address", replaceRaw(here + "/services/probe/status"), forbidden("update", "services/status"), service},
		{"an Endpoints of any address", createRaw(here + "/endpoints"), forbidden("create", "endpoints"), service},
		{"an EndpointSlice of any address", createRaw("/apis/discovery.k8s.io/v1/namespaces/" + namespace + "/endpointslices"),
			forbidden("create", "endpointslices"), service},
		{"an Ingress for another host", anIngress("", aRule("host: traefik.dashboard.com,", "/")), policy + `an Ingress must be for these hosts only`, ingress},
		{"an Ingress for a host below ours", anIngress("", aRule("host: a.twtr-dev.com,", "/")), policy + `an Ingress must be for these hosts only`, ingress},
		{"an Ingress for a second host", ingress.with("rules: [", "rules: [{host: example.com}, "),
			policy + `an Ingress must be for these hosts only`, ingress},
		{"an Ingress for all hosts", anIngress("", aRule("", "/")), policy + `an Ingress must be for these hosts only`, ingress},
		{"an Ingress for hosts by a wildcard", anIngress("", aRule(`host: "*.com",`, "/")), policy + `an Ingress must be for these hosts only`, ingress},
		{"an Ingress for what no other is for", anIngress("", "defaultBackend: {service: {name: attack, port: {number: 80}}}"), policy + `an Ingress must be for these hosts only`, ingress},
		{"an Ingress with another host's certificate", anIngress("", aRule("host: twtr-dev.com,", "/")+`, tls: [{hosts: [traefik.dashboard.com], secretName: a}]`),
			policy + `an Ingress must be for these hosts only`, ingress},
		{"an Ingress with another host in Traefik's annotation", anIngress("traefik.ingress.kubernetes.io/router.pathmatcher: Host(`example.com`) || PathPrefix",
			aRule("host: twtr-dev.com,", "/")), policy + `an Ingress must not have annotations`, ingress},
		{"an Ingress with another host in nginx' annotation", anIngress("nginx.ingress.kubernetes.io/server-alias: example.com", aRule("host: twtr-dev.com,", "/")),
			policy + `an Ingress must not have annotations`, ingress},
		{"an Ingress with another host in its path", anIngress("", aRule("host: twtr-dev.com,", "/`) || Host(`example.com")),
			policy + `an Ingress must have simple paths`, ingress},
		{"change an Ingress to another host", patched("ingress/probe", `{"spec":{"rules":[{"host":"example.com"}]}}`),
			policy + `an Ingress must be for these hosts only`, patched("ingress/probe", `{"metadata":{"labels":{"a":"b"}}}`)},
	}
}

// optIns are attacks that use what setup-k8s.sh grants only when asked to. The harmless requests are granted then.
func optIns() []attack {
	canI := func(resource string) request { return command("auth", "can-i", "create", resource) }
	list := func(resource string) request { return command("get", resource) }
	return []attack{
		{"create ScaledObjects", canI("scaledobjects.keda.sh"), `no`, list("scaledobjects.keda.sh")},
		{"create TriggerAuthentications", canI("triggerauthentications.keda.sh"), `no`, list("triggerauthentications.keda.sh")},
		{"create ServiceMonitors", canI("servicemonitors.monitoring.coreos.com"), `no`, list("servicemonitors.monitoring.coreos.com")},
		{"a Service with a port of each node", aService(", type: NodePort"), quota + `services.nodeports=1`, aService(", type: NodePort")},
		{"a Service with a load balancer", aService(", type: LoadBalancer"), quota + `services.loadbalancers=1`, aService(", type: LoadBalancer")},
	}
}

// misuses are attacks of a deployer that was granted everything that setup-k8s.sh can grant.
func misuses() []attack {
	scaled := func(trigger string) request {
		return manifest(`{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: attack}, spec: {scaleTargetRef: {name: a}, triggers: [{` + trigger + `}]}}`)
	}
	authentication := func(spec string) request {
		return manifest(`{apiVersion: keda.sh/v1alpha1, kind: TriggerAuthentication, metadata: {name: attack}, spec: {` + spec + `}}`)
	}
	monitor := func(endpoint, rest string) request {
		return manifest(`{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: attack}, spec: {selector: {}, endpoints: [{port: http` + endpoint + `}]` + rest + `}}`)
	}
	temporal := scaled("type: temporal, metadata: {}, authenticationRef: {name: a}")
	secret := authentication("secretTargetRef: [{parameter: apiKey, name: a, key: b}]")
	return []attack{
		{"have KEDA read another namespace", scaled("type: kubernetes-workload, metadata: {podSelector: a, namespace: kube-system}"),
			policy + `a ScaledObject must have triggers of type temporal only`, temporal},
		{"use KEDA's secrets of the cluster", scaled("type: temporal, metadata: {}, authenticationRef: {name: a, kind: ClusterTriggerAuthentication}"),
			policy + `a ScaledObject must not use a ClusterTriggerAuthentication`, temporal},
		{"use KEDA's own account", authentication("podIdentity: {provider: aws}"), policy + `a TriggerAuthentication must have nothing but secretTargetRef`, secret},
		{"send Prometheus' token", monitor(", bearerTokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token", ""),
			policy + `a ServiceMonitor must not send Prometheus' own files`, monitor("", "")},
		{"send Prometheus' certificate", monitor(", tlsConfig: {certFile: /etc/a}", ""), policy + `a ServiceMonitor must not send Prometheus' own files`, monitor("", "")},
		{"write series of others", manifest(`{apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: attack}, spec: {groups: [{name: a, rules: [{record: up, expr: "1"}]}]}}`),
			policy + `a PrometheusRule must have alerts only`, manifest(`{apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: attack}, spec: {groups: [{name: a, rules: [{alert: A, expr: "1"}]}]}}`)},
		{"have Prometheus read other namespaces", monitor("", ", namespaceSelector: {any: true}"), policy + `a ServiceMonitor must not select other namespaces`, monitor("", "")},
	}
}

// attack tries to become more than the deployer's namespace, in that namespace and in two others: one whose deployer was granted
// nothing more, and one whose deployer was granted all that setup-k8s.sh can grant.
func (t *test) attack(ctx context.Context) (err error) {
	plain, all := t.namespace+"-plain", t.namespace+"-all"
	// An earlier run's may still be there.
	if _, err := t.admin.run(ctx, "delete", "--ignore-not-found", "namespace/"+plain, "namespace/"+all); err != nil {
		return err
	}
	crds, err := t.installCRDs(ctx)
	defer func() {
		_, failed := t.admin.run(context.WithoutCancel(ctx), append([]string{"delete", "--ignore-not-found", "--wait=false", "namespace/" + plain, "namespace/" + all}, crds...)...)
		for _, namespace := range []string{plain, all} {
			_, again := t.admin.command(context.WithoutCancel(ctx), "", "bash", "-c", "NAMESPACE="+namespace+
				" scripts/setup-k8s.sh --dry-run | kubectl delete --ignore-not-found --wait=false -f -")
			failed = errors.Join(failed, again)
		}
		err = errors.Join(err, failed)
	}()
	if err != nil {
		return err
	}
	deployer, err := t.account(ctx, plain, "")
	if err != nil {
		return err
	}
	granted, err := t.account(ctx, all, "keda load-balancer monitoring worker-controller")
	if err != nil {
		return err
	}

	// Objects to change.
	for _, probe := range []request{aService(""), anIngress("", aRule("host: twtr-dev.com,", "/"))} {
		if _, err := t.deployer.apply(ctx, probe.with("name: attack", "name: probe").manifest, "create", "-f", "-"); err != nil {
			return err
		}
	}
	defer func() {
		_, failed := t.deployer.run(context.WithoutCancel(ctx), "delete", "service/probe", "ingress/probe")
		err = errors.Join(err, failed)
	}()

	count := 0
	for _, round := range []struct {
		deployer, harmless kubectl
		attacks            []attack
	}{{t.deployer, t.deployer, attacks(t.namespace)}, {deployer, granted, optIns()}, {granted, granted, misuses()}} {
		for _, a := range round.attacks {
			if err := a.isRefused(ctx, round.deployer, round.harmless); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			count++
		}
	}
	t.Say("%d attacks refused", count)
	return nil
}

// isRefused tries until the API server knows the policies of a namespace that was just prepared.
func (a attack) isRefused(ctx context.Context, deployer, harmless kubectl) error {
	return traffic.Eventually(ctx, 20*time.Second, func() error {
		err := a.request.make(ctx, deployer)
		if err == nil {
			return errors.New("it is allowed")
		}
		if !regexp.MustCompile(`(?s)` + a.refusal).MatchString(err.Error()) {
			return fmt.Errorf("it is refused for another reason than %q: %w", a.refusal, err)
		}
		if err := a.harmless.make(ctx, harmless); err != nil {
			return fmt.Errorf("what is harmless is refused, too: %w", err)
		}
		return nil
	})
}

// installCRDs installs those custom resources of KEDA and Prometheus that the cluster lacks, and returns what it installed.
func (t *test) installCRDs(ctx context.Context) (installed []string, err error) {
	for _, crd := range []struct{ tool, file, name string }{
		{"keda-crds", "keda.sh_scaledobjects.yaml", "scaledobjects.keda.sh"},
		{"keda-crds", "keda.sh_triggerauthentications.yaml", "triggerauthentications.keda.sh"},
		{"prometheus-crds", "monitoring.coreos.com_servicemonitors.yaml", "servicemonitors.monitoring.coreos.com"},
		{"prometheus-crds", "monitoring.coreos.com_prometheusrules.yaml", "prometheusrules.monitoring.coreos.com"},
	} {
		if _, err := t.admin.run(ctx, "get", "crd", crd.name); err == nil {
			continue
		}
		dir, err := t.admin.command(ctx, "", "scripts/tools.sh", crd.tool)
		if err != nil {
			return installed, err
		}
		if _, err := t.admin.run(ctx, "apply", "--server-side", "-f", filepath.Join(dir, crd.file)); err != nil {
			return installed, err
		}
		installed = append(installed, "crd/"+crd.name)
	}
	if len(installed) == 0 {
		return nil, nil
	}
	// kubectl wait fails on one that has no conditions yet.
	return installed, traffic.Eventually(ctx, 30*time.Second, func() error {
		_, err := t.admin.run(ctx, append([]string{"wait", "--for=condition=Established", "--timeout=1s"}, installed...)...)
		return err
	})
}
