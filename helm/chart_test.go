package helm_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/workers"
)

func TestHelm3AndHelm4AcceptTheChartAndRenderItAlike(t *testing.T) {
	helms := []string{tool(t, "HELM", "helm"), tool(t, "HELM4", "helm4")}
	for _, values := range valueSets(t) {
		file := filepath.Join("testdata", values+".yaml")
		var rendered [2][]object
		for i, helm := range helms {
			stdout, stderr, failed := run(t, helm, "lint", "--strict", "--kube-version", kubeVersion, ".", "-f", file)
			require.False(t, failed, "%s: %s%s", file, stdout, stderr)
			rendered[i] = parse(t, template(t, helm, ".", "-f", file))
		}
		require.ElementsMatch(t, rendered[0], rendered[1], file)
	}
}

func TestTheManifestsMatchKubernetesSchemas(t *testing.T) {
	validate := tool(t, "KUBECTL_VALIDATE", "kubectl-validate")
	keda, prometheus := os.Getenv("KEDA_CRDS"), os.Getenv("PROMETHEUS_CRDS")
	if keda == "" || prometheus == "" {
		missing(t, "KEDA_CRDS and PROMETHEUS_CRDS are not set to the schemas of custom resources")
	}
	dir := t.TempDir()
	write := func(name string, objects []object) {
		var docs []string
		for _, o := range objects {
			switch o.text("apiVersion") + "/" + o.kind() {
			case "temporal.io/v1alpha1/Connection": // whose schema is not available
				continue
			case "temporal.io/v1alpha1/WorkerDeployment": // nor is this one's, but it contains a pod template
				template := object{}
				o.into("spec.template", &template)
				o = object{"apiVersion": "v1", "kind": "PodTemplate", "metadata": o["metadata"], "template": template}
			}
			text, err := yaml.Marshal(o)
			require.NoError(t, err)
			docs = append(docs, string(text))
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(strings.Join(docs, "---\n")), 0o600))
	}
	for _, values := range valueSets(t) {
		write(values, render(t, values))
	}
	write("setup-k8s", deployer(t, everyRight))
	write("postgresql", file(t, "values/temporal-postgresql.yaml"))
	write("networkpolicies", file(t, "values/temporal-networkpolicies.yaml"))
	stdout, stderr, failed := run(t, validate, dir, "--version", "1.30", "--local-crds", keda, "--local-crds", prometheus)
	require.False(t, failed, stdout+stderr)
}

const everyRight = "keda load-balancer monitoring worker-controller"

// deployer returns the manifests of scripts/setup-k8s.sh, with the rights that are asked for.
func deployer(t *testing.T, with string) []object {
	t.Setenv("WITH", with)
	stdout, stderr, failed := run(t, "../scripts/setup-k8s.sh", "--dry-run")
	require.False(t, failed, stderr)
	return parse(t, stdout)
}

type rule struct{ APIGroups, Resources, Verbs []string }

func rules(t *testing.T, manifests []object) (all []rule) {
	find(t, manifests, "Role", "twtr-deployer").into("rules", &all)
	return all
}

func TestTheDeployerHasRightsToOperatorsOnlyIfAskedFor(t *testing.T) {
	groups := func(with string) (groups []string) {
		for _, r := range rules(t, deployer(t, with)) {
			for _, group := range r.APIGroups {
				if strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") {
					groups = append(groups, group)
				}
			}
		}
		return groups
	}
	require.Empty(t, groups(""))
	require.Equal(t, []string{"keda.sh"}, groups("keda"))
	require.Equal(t, []string{"temporal.io"}, groups("worker-controller"))
	require.Equal(t, []string{"monitoring.coreos.com"}, groups("monitoring"))
	t.Setenv("WITH", "everything")
	_, stderr, failed := run(t, "../scripts/setup-k8s.sh", "--dry-run")
	require.True(t, failed)
	require.Contains(t, stderr, "there is no everything; it may have keda, load-balancer, monitoring, worker-controller")
}

func TestTheDeployersLimitsFitTheChart(t *testing.T) {
	hard := func(with string) map[string]string {
		return find(t, deployer(t, with), "ResourceQuota", "twtr").labels("spec.hard")
	}
	require.Equal(t, "0", hard("")["services.loadbalancers"])
	require.Equal(t, "1", hard("load-balancer")["services.loadbalancers"])
	for _, o := range deployer(t, "") {
		if o.kind() == "ValidatingAdmissionPolicy" {
			require.Equal(t, map[string]string{"kubernetes.io/metadata.name": "twtr-dev"}, o.labels("spec.matchConstraints.namespaceSelector.matchLabels"), o)
			find(t, deployer(t, ""), "ValidatingAdmissionPolicyBinding", o.name())
		}
	}
	var validations []struct{ Expression string }
	find(t, deployer(t, ""), "ValidatingAdmissionPolicy", "twtr-dev.ingresses.networking.k8s.io").into("spec.validations", &validations)
	require.Contains(t, validations[0].Expression, "'"+file(t, "values.yaml")[0].text("ingress.host")+"'")
}

func TestTheDeployersRoleSufficesForTheChart(t *testing.T) {
	rules := rules(t, deployer(t, everyRight))
	may := func(group, resource string) (verbs []string) {
		for _, r := range rules {
			if slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) {
				verbs = append(verbs, r.Verbs...)
			}
		}
		return verbs
	}
	for _, r := range rules {
		require.NotContains(t, slices.Concat(r.APIGroups, r.Resources, r.Verbs), "*", "rights are listed one by one")
	}
	require.Subset(t, may("apps", "deployments/scale"), []string{"get", "patch", "update"}, "for kubectl scale")
	require.Subset(t, may("apps", "statefulsets/scale"), []string{"get", "patch", "update"}, "for kubectl scale")
	all := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	require.Subset(t, may("", "secrets"), all, "in which Helm stores its releases")
	forEachValueSet(t, func(t *testing.T, objects []object) {
		for _, o := range objects {
			group, _, grouped := strings.Cut(o.text("apiVersion"), "/")
			if !grouped {
				group = ""
			}
			resource := strings.ToLower(o.kind()) + "s"
			if stem, ok := strings.CutSuffix(resource, "ys"); ok { // NetworkPolicy
				resource = stem + "ies"
			} else if stem, ok := strings.CutSuffix(resource, "sss"); ok { // Ingress
				resource = stem + "sses"
			}
			require.Subset(t, may(group, resource), all, "%s.%s", resource, group)
			require.Contains(t, []string{"", "twtr-dev"}, o.text("metadata.namespace"), o)
		}
	})
}

func TestTheWorkersAreTheBinarysDomains(t *testing.T) {
	var values, schema map[string]any
	file(t, "values.yaml")[0].into("workers", &values)
	file(t, "values.schema.json")[0].into("properties.workers.properties", &schema)
	require.ElementsMatch(t, workers.Domains(), slices.Collect(maps.Keys(values)))
	require.ElementsMatch(t, workers.Domains(), slices.Collect(maps.Keys(schema)))
	objects := render(t, "defaults")
	for _, domain := range workers.Domains() {
		var p pod
		find(t, objects, "Deployment", "twtr-"+domain).into("spec.template", &p)
		require.Equal(t, []string{"worker", domain}, p.Spec.Containers[0].Args)
	}
	var p pod
	find(t, objects, "Deployment", "twtr-api").into("spec.template", &p)
	require.Equal(t, []string{"api"}, p.Spec.Containers[0].Args)
}

// temporalsVariables records which environment variables Temporal's convention reads.
type temporalsVariables map[string]bool

func (temporalsVariables) Environ() []string { return nil }

func (v temporalsVariables) LookupEnv(name string) (string, bool) {
	v[name] = true
	return "", false
}

func TestEveryVariableIsASettingAndEverySettingCanBeSet(t *testing.T) {
	temporal := temporalsVariables{}
	_, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{EnvLookup: temporal})
	require.NoError(t, err)
	require.Contains(t, temporal, "TEMPORAL_ADDRESS")
	settings := map[string]bool{}
	for _, variable := range cmd.EnvironmentVariables() {
		settings[variable] = true
	}
	set := map[string]bool{}
	for _, values := range valueSets(t) {
		for _, p := range pods(render(t, values)) {
			for _, c := range p.containers() {
				if !c.isTwtr() {
					continue
				}
				seen := map[string]bool{}
				for _, variable := range c.Env {
					if variable.Name == "HTTPS_PROXY" || strings.HasPrefix(variable.Name, "OTEL_") { // extraEnv, and traces
						continue
					}
					require.True(t, settings[variable.Name] || temporal[variable.Name], "%s of %s: the binary has no setting %s", values, p.object, variable.Name)
					require.False(t, seen[variable.Name], "%s of %s: %s twice", values, p.object, variable.Name)
					seen[variable.Name], set[variable.Name] = true, true
				}
			}
		}
	}
	delete(settings, "TWTR_SQLITE_PATH") // pods have no disk for it
	for _, variable := range []string{"TWTR_CODEC_ADDR", "TWTR_CODEC_UI_ORIGINS", "TWTR_CODEC_TOKEN"} {
		delete(settings, variable) // no pod serves the codec
	}
	for variable := range settings {
		require.True(t, set[variable], "no file in testdata sets %s: add its setting to settings in values.schema.json and to testdata/everything.yaml", variable)
	}
}

func TestTheAPIAndAllWorkersSendTracesIfThereIsAnEndpoint(t *testing.T) {
	variables := func(values string) (sent []string) {
		for _, p := range pods(ofKind(render(t, values), "Deployment")) {
			var all []string
			for _, variable := range p.Spec.Containers[0].Env {
				if strings.HasPrefix(variable.Name, "OTEL_") {
					all = append(all, variable.Name+"="+strings.Replace(variable.Value, p.object.name(), "NAME", 1))
				}
			}
			sent = append(sent, strings.Join(all, " "))
		}
		return slices.Compact(sent)
	}
	require.Equal(t, []string{""}, variables("defaults"))
	require.Equal(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example.com/otlp OTEL_SERVICE_NAME=NAME " +
		"OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.1"}, variables("everything"))
	var rules []any
	find(t, render(t, "everything"), "NetworkPolicy", "twtr-egress").into("spec.egress", &rules)
	require.Equal(t, "map[ports:[map[port:443 protocol:TCP]]]", fmt.Sprint(rules[len(rules)-1]), "and may")
}

func TestTheAPIAllWorkersAndTheMigrationPublishToTheSameNATS(t *testing.T) {
	variables := func(values string, args ...string) map[string]map[string]string {
		all := map[string]map[string]string{}
		for _, p := range pods(render(t, values, args...)) {
			for _, c := range p.Spec.Containers {
				found := map[string]string{}
				for _, variable := range c.Env {
					if name, ok := strings.CutPrefix(variable.Name, "TWTR_EVENTS_"); ok {
						found[name] = variable.Value
					}
				}
				if len(found) > 0 {
					all[p.object.name()] = found
				}
			}
		}
		return all
	}
	require.Empty(t, variables("defaults"))
	url := "nats://nats-0.nats.svc:4222,nats://nats-1.nats.svc:4223"
	process := map[string]string{"URL": url, "CREDENTIALS": "/etc/twtr/nats/twtr.creds"}
	migrate := map[string]string{"URL": url, "CREDENTIALS": "/etc/twtr/nats/twtr.creds", "REPLICAS": "1", "MAX_AGE": "168h", "MAX_MEGABYTES": "1024"}
	require.Equal(t, map[string]map[string]string{
		"twtr-api": process, "twtr-users": process, "twtr-tweets": process, "twtr-followers": process,
		"twtr-feeds": process, "twtr-migrate": migrate,
	}, variables("external"))
	for name, found := range variables("everything") {
		if name != "twtr-migrate-1" {
			require.Equal(t, map[string]string{"URL": "tls://nats.example.com", "USERNAME": "", "PASSWORD": "", "TLS_CA": "/etc/twtr/nats/ca.crt",
				"TLS_CERT": "/etc/twtr/nats/tls.crt", "TLS_KEY": "/etc/twtr/nats/tls.key"}, found, name)
		}
	}
}

func TestExtraVariablesReachTheirContainers(t *testing.T) {
	for _, p := range pods(render(t, "everything")) {
		for _, c := range p.Spec.Containers {
			extra := false
			for _, variable := range c.Env {
				extra = extra || variable.Name == "HTTPS_PROXY"
			}
			require.True(t, extra || p.object.kind() == "Pod", "%s of %s", c.Name, p.object) // a Pod is the chart's test
		}
	}
}

func TestSecretsAreReferredToAndNeverCreated(t *testing.T) {
	forEachValueSet(t, func(t *testing.T, objects []object) {
		require.Empty(t, ofKind(objects, "Secret"))
		for _, p := range pods(objects) {
			for _, c := range p.containers() {
				for _, variable := range c.Env {
					for _, word := range []string{"KEYS", "SEAL_KEY", "API_KEY", "PASSWORD", "USERNAME"} {
						if strings.HasSuffix(variable.Name, word) {
							require.Empty(t, variable.Value, "%s of %s", variable.Name, p.object)
						}
					}
				}
			}
		}
	})
}

func TestTheAPIAndAllWorkersGetTheCodecKeysIfThereAreAny(t *testing.T) {
	have := func(values string, args ...string) (have, all int) {
		for _, p := range pods(ofKind(render(t, values, args...), "Deployment")) {
			all++
			for _, variable := range p.Spec.Containers[0].Env {
				if variable.Name == "TWTR_TEMPORAL_CODEC_KEYS" {
					have++
					require.Equal(t, "twtr/codec-keys", variable.ValueFrom.SecretKeyRef.Name+"/"+variable.ValueFrom.SecretKeyRef.Key)
				}
			}
		}
		return have, all
	}
	none, _ := have("defaults")
	require.Zero(t, none)
	some, all := have("defaults", "--set", "temporal.codecKeys.existingSecret=twtr")
	require.Equal(t, 5, all)
	require.Equal(t, all, some)
}

func TestAnImagesNameIsOnlyThat(t *testing.T) {
	const name = "registry.example.com/twtr # {a: b}"
	images := map[string]bool{}
	for _, digest := range []string{"", "sha256:" + strings.Repeat("a", 64)} {
		objects := render(t, "defaults", "--set", "image.tag=v1,image.digest="+digest, "--set-string", "image.repository="+name,
			"--set-string", "cassandra.bundled.image="+name)
		for _, p := range pods(objects) {
			for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
				images[c.Image] = true
			}
		}
	}
	require.Equal(t, map[string]bool{name: true, name + ":v1": true, name + "@sha256:" + strings.Repeat("a", 64): true}, images)
}

func TestEveryPodIsRestricted(t *testing.T) {
	forEachValueSet(t, func(t *testing.T, objects []object) {
		accounts := map[string]bool{"": true} // the namespace's default: of hooks and of helm test
		for _, account := range ofKind(objects, "ServiceAccount") {
			require.Equal(t, false, account["automountServiceAccountToken"], account)
			accounts[account.name()] = true
		}
		for _, p := range pods(objects) {
			require.True(t, accounts[p.Spec.ServiceAccountName], p.object)
			require.Equal(t, new(bool), p.Spec.AutomountServiceAccountToken, p.object)
			require.Equal(t, new(bool), p.Spec.EnableServiceLinks, p.object)
			require.True(t, p.Spec.SecurityContext.RunAsNonRoot, p.object)
			require.NotZero(t, p.Spec.SecurityContext.RunAsUser, p.object)
			require.Equal(t, "RuntimeDefault", p.Spec.SecurityContext.SeccompProfile.Type, p.object)
			require.False(t, p.Spec.HostNetwork || p.Spec.HostPID || p.Spec.HostIPC, p.object)
			for _, volume := range p.Spec.Volumes {
				require.NotContains(t, volume, "hostPath", p.object)
			}
			for _, c := range p.containers() {
				require.Equal(t, new(bool), c.SecurityContext.AllowPrivilegeEscalation, p.object)
				require.True(t, c.SecurityContext.ReadOnlyRootFilesystem, p.object)
				require.False(t, c.SecurityContext.Privileged, p.object)
				require.Equal(t, []string{"ALL"}, c.SecurityContext.Capabilities.Drop, p.object)
				require.Empty(t, c.SecurityContext.Capabilities.Add, p.object)
				require.Contains(t, c.Resources.Requests, "cpu", p.object)
				require.Contains(t, c.Resources.Requests, "memory", p.object)
				require.Contains(t, c.Resources.Limits, "memory", p.object)
				require.NotRegexp(t, `:latest$|^[^:@]+$`, c.Image, p.object)
			}
		}
	})
}

func TestEveryPodWaitsHasProbesAndTimeToDrain(t *testing.T) {
	var least int
	file(t, "values.schema.json")[0].into("definitions.component.properties.terminationGracePeriodSeconds.minimum", &least)
	forEachValueSet(t, func(t *testing.T, objects []object) {
		for _, p := range pods(ofKind(objects, "Deployment", "WorkerDeployment")) {
			c := p.Spec.Containers[0]
			ready, receives, wait := "/readyz", "ops", []string{"wait", "--timeout=5m"}
			if c.Args[0] == "api" {
				ready, receives = "/healthz", "http"                   // without the store it responds itself
				wait = []string{"wait", "--for=store", "--timeout=5m"} // without Temporal it serves reads
			}
			require.Equal(t, wait, p.Spec.InitContainers[0].Args, p.object)
			require.Equal(t, []string{"/healthz", "/healthz", ready},
				[]string{c.StartupProbe.HTTPGet.Path, c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path}, p.object)
			listens := map[string]string{}
			for _, port := range c.Ports {
				listens[port.Name] = fmt.Sprintf(":%d", port.ContainerPort)
			}
			require.Equal(t, listens["ops"], c.env("TWTR_OPS_ADDR"), p.object)
			require.Equal(t, listens["http"], c.env("TWTR_HTTP_ADDR"), p.object)
			require.Equal(t, []string{"ops", "ops", receives},
				[]string{c.StartupProbe.HTTPGet.Port, c.LivenessProbe.HTTPGet.Port, c.ReadinessProbe.HTTPGet.Port}, p.object)
			drain := workers.DrainTimeout
			if c.Args[0] == "api" {
				drain = cmd.HTTPDrain
				require.Positive(t, c.Lifecycle.PreStop.Sleep.Seconds)
			}
			for _, grace := range []int{p.Spec.TerminationGracePeriodSeconds, least} {
				require.Greater(t, grace, c.Lifecycle.PreStop.Sleep.Seconds+int(drain.Seconds()), p.object)
			}
		}
		for _, p := range pods(ofKind(objects, "StatefulSet")) {
			require.Equal(t, []string{"nodetool", "drain"}, p.Spec.Containers[0].Lifecycle.PreStop.Exec.Command)
			require.NotNil(t, p.Spec.Containers[0].ReadinessProbe)
		}
	})
}

func TestTheMigrationComesFirstAndCannotDeadlock(t *testing.T) {
	// An existing Cassandra: a hook, and everything that it needs is a hook, too.
	objects := render(t, "external")
	job := find(t, objects, "Job", "twtr-migrate")
	policy := find(t, objects, "NetworkPolicy", "twtr-migrate")
	for _, o := range []object{job, policy} {
		require.Equal(t, "pre-install,pre-upgrade", o.labels("metadata.annotations")["helm.sh/hook"], o)
	}
	require.Less(t, policy.labels("metadata.annotations")["helm.sh/hook-weight"], job.labels("metadata.annotations")["helm.sh/hook-weight"])
	require.Empty(t, pods([]object{job})[0].Spec.ServiceAccountName)
	require.Equal(t, []string{"migrate", "--timeout=5m"}, pods([]object{job})[0].Spec.Containers[0].Args)

	// A Cassandra that is installed with it: no hooks, or neither would ever start.
	for _, o := range render(t, "defaults") {
		if o.kind() != "Pod" {
			require.NotContains(t, o.labels("metadata.annotations"), "helm.sh/hook", o)
		}
	}
	find(t, render(t, "defaults"), "Job", "twtr-migrate-1")
}

func TestSelectorsSelect(t *testing.T) {
	selects := func(selector, labels map[string]string) bool {
		for key, value := range selector {
			if labels[key] != value {
				return false
			}
		}
		return len(selector) > 0
	}
	forEachValueSet(t, func(t *testing.T, objects []object) {
		all := pods(objects)
		// Which policies select each pod.
		policies := map[string][]string{}
		for _, o := range ofKind(objects, "NetworkPolicy") {
			var types []string
			var in []struct{ Values []string }
			o.into("spec.policyTypes", &types)
			o.into("spec.podSelector.matchExpressions", &in)
			for _, p := range all {
				if !selects(o.labels("spec.podSelector.matchLabels"), p.Metadata.Labels) ||
					len(in) > 0 && !slices.Contains(in[0].Values, p.Metadata.Labels["twtr-dev.com/role"]) {
					continue
				}
				policies[p.object.name()] = append(policies[p.object.name()], types...)
			}
		}
		for _, p := range all {
			if p.object.kind() != "Pod" { // that of helm test
				require.ElementsMatch(t, []string{"Ingress", "Egress"}, policies[p.object.name()], p.object)
			}
		}
		for _, o := range ofKind(objects, "Service", "PodDisruptionBudget") {
			selector := o.labels("spec.selector.matchLabels")
			if o.kind() == "Service" {
				selector = o.labels("spec.selector")
			}
			var names []string
			for _, p := range all {
				if selects(selector, p.Metadata.Labels) {
					names = append(names, p.object.name())
				}
			}
			switch o.name() {
			case "twtr-worker-ops":
				require.Greater(t, len(names), 1)
				require.NotContains(t, names, "twtr-api")
			case "twtr-api-ops":
				require.Equal(t, []string{"twtr-api"}, names)
			default:
				require.Equal(t, []string{o.name()}, names, o)
			}
		}
		for _, o := range ofKind(objects, "Deployment") {
			require.True(t, selects(o.labels("spec.selector.matchLabels"), o.labels("spec.template.metadata.labels")), o)
		}
		for _, o := range ofKind(objects, "HorizontalPodAutoscaler", "ScaledObject") {
			deployment := find(t, objects, "Deployment", o.text("spec.scaleTargetRef.name"))
			require.NotContains(t, deployment["spec"], "replicas", "an autoscaler scales %s", deployment)
		}
	})
}

func TestNetworkPoliciesAllowOnlyWhatIsNeeded(t *testing.T) {
	rules := func(objects []object, name, direction, want string) {
		t.Helper()
		var rules any
		find(t, objects, "NetworkPolicy", name).into("spec."+direction, &rules)
		got, err := json.Marshal(rules)
		require.NoError(t, err)
		wanted, err := yaml.YAMLToJSON([]byte(want))
		require.NoError(t, err)
		require.JSONEq(t, string(wanted), string(got), name)
	}
	dns := "{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}"
	objects := render(t, "external")
	rules(objects, "twtr-workers", "ingress", "null")
	test := "{podSelector: {matchLabels: {app.kubernetes.io/name: twtr, app.kubernetes.io/instance: twtr, app.kubernetes.io/component: test}}}"
	requests := "{ports: [{port: http, protocol: TCP}], from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: traefik}}}]}"
	rules(objects, "twtr-api", "ingress", "["+requests+", {ports: [{port: ops, protocol: TCP}], from: ["+test+"]}]")
	cassandra := "{ports: [{port: 9042, protocol: TCP}, {port: 9142, protocol: TCP}], to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: cassandra}}}]}"
	temporal := "{ports: [{port: 7234, protocol: TCP}], to: [{ipBlock: {cidr: 192.0.2.0/24}}]}"
	nats := "{ports: [{port: 4222, protocol: TCP}, {port: 4223, protocol: TCP}], to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: nats}}}]}"
	rules(objects, "twtr-egress", "egress", "["+dns+", "+cassandra+", "+temporal+", "+nats+"]")
	rules(objects, "twtr-migrate", "egress", "["+dns+", "+cassandra+", "+nats+"]")

	prometheus := "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}"
	objects = render(t, "everything")
	rules(objects, "twtr-workers", "ingress", "[{ports: [{port: ops, protocol: TCP}], from: ["+prometheus+"]}]")
	rules(objects, "twtr-api", "ingress", "["+requests+", {ports: [{port: ops, protocol: TCP}], from: ["+prometheus+", "+test+"]}]")
	// An empty list allows no peer; an empty `from` would allow all.
	objects = render(t, "everything", "--set", "networkPolicy.metricsFrom=null,networkPolicy.ingressFrom=null")
	rules(objects, "twtr-workers", "ingress", "null")
	rules(objects, "twtr-api", "ingress", "[{ports: [{port: ops, protocol: TCP}], from: ["+test+"]}]")
}

func TestEachVersionOfTheWorkersHasItsOwnPods(t *testing.T) {
	versions := map[string]string{}
	for _, p := range pods(ofKind(render(t, "versioned"), "Deployment")) {
		for _, variable := range p.Spec.Containers[0].Env {
			if variable.Name == "TWTR_WORKER_BUILD_ID" {
				versions[p.object.name()] = variable.Value
				require.Equal(t, "twtr:"+variable.Value, p.Spec.Containers[0].Image)
			}
		}
	}
	require.Len(t, versions, 3*len(workers.Domains()))
	require.Equal(t, "v3", versions["twtr-feeds"])
	require.Equal(t, "v2.1", versions["twtr-feeds-v2-1"])
	require.Equal(t, "v2.0_rc1", versions["twtr-feeds-v2-0-rc1"])

	objects := render(t, "controller")
	require.Len(t, ofKind(objects, "Deployment"), 1, "the API's")
	require.Len(t, ofKind(objects, "WorkerDeployment"), len(workers.Domains()))
	for _, o := range ofKind(objects, "WorkerDeployment") {
		require.Equal(t, find(t, objects, "Connection", "twtr-temporal").name(), o.text("spec.workerOptions.connectionRef.name"))
	}
}

func TestAWrongValueIsRefusedWithAClearMessage(t *testing.T) {
	helm := tool(t, "HELM", "helm")
	for _, wrong := range []struct{ set, message string }{
		{"replicas=3", `additional properties 'replicas' not allowed`},
		{"workers.likes.replicas=1", `at '/workers': additional properties 'likes' not allowed`},
		{"api.replicas=two", `at '/api/replicas': got string, want integer`},
		{"ingress.host=http://twtr-dev.com", `at '/ingress/host': 'http://twtr-dev.com' does not match pattern`},
		{"temporal.address=temporal", `at '/temporal/address': 'temporal' does not match pattern`},
		{"auth.existingSecret=", `at '/auth/existingSecret': minLength: got 0, want 1`},
		{"settings.log\\.lebel=debug", `at '/settings': additional properties 'log.lebel' not allowed`},
		{"workers.feeds.autoscaling.type=both", `at '/workers/feeds/autoscaling/type': value must be one of 'none', 'hpa', 'keda'`},
		{"workers.feeds.autoscaling.minReplicas=0", `at '/workers/feeds/autoscaling/minReplicas': minimum: got 0, want 1`},
		{"api.autoscaling.type=keda", `at '/api/autoscaling/type': value must be one of 'none', 'hpa'`},
		{"versioning.deploymentName=a.b", `at '/versioning/deploymentName': 'a.b' does not match pattern`},
		{"api.terminationGracePeriodSeconds=10", `minimum: got 10, want 15`},
		{"pods.autoscaling.type=keda", `the API has no task queue: KEDA scales workers only`},
		{"cassandra.hosts={a}", `cassandra: set either hosts or bundled.enabled, not both`},
		{"cassandra.bundled.enabled=false", `cassandra.hosts is empty: set it to your nodes`},
		{"cassandra.bundled.enabled=false,cassandra.hosts={a}", `cassandra.replication is empty`},
		{"cassandra.tls.enabled=true", `cassandra.tls: the bundled nodes have no TLS`},
		{"cassandra.tls.existingSecret=a", `cassandra.tls.existingSecret is of use only with cassandra.tls.enabled`},
		{"events.url=nats://me:hush@nats", `at '/events/url'`},
		{"events.replicas=2", `at '/events/replicas': value must be one of 1, 3, 5`},
		{"events.existingSecret=a", `events: the secrets are of use only with events.url`},
		{"events.url=nats://nats,events.files.existingSecret=a,events.files.key=", `events.files: cert and key go together`},
		{"events.url=nats://nats,events.existingSecret=b,events.files.existingSecret=a,events.files.credentials=c", `events: existingSecret and files.credentials exclude each other`},
		{"temporal.tls.existingSecret=a", `temporal.tls.existingSecret is of use only with temporal.tls.enabled`},
		{"temporal.tls.enabled=true,workers.feeds.autoscaling.type=keda", `KEDA and the worker controller use TLS only with an API key or a client certificate`},
		{"versioning.enabled=true,versioning.controller.enabled=true,workers.feeds.autoscaling.type=hpa", `each version has a Deployment of its own, which neither an HPA nor KEDA knows of`},
		{"versioning.enabled=true,versioning.controller.enabled=true,versioning.previous={v1}", `versioning.previous: the controller itself keeps earlier versions`},
	} {
		_, stderr, failed := run(t, helm, "template", "twtr", ".", "--kube-version", kubeVersion, "--set", wrong.set)
		require.True(t, failed, wrong.set)
		require.Contains(t, stderr, wrong.message, wrong.set)
	}
}

// Helm renders NOTES.txt only when it installs a chart, which needs a cluster. Here a template turns it into a manifest.
func TestTheNotesAreRendered(t *testing.T) {
	helm, chart := tool(t, "HELM", "helm"), t.TempDir()
	require.NoError(t, os.CopyFS(chart, os.DirFS(".")))
	notes, err := os.ReadFile("templates/NOTES.txt")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(chart, "notes"), notes, 0o600))
	manifest := `notes: {{ tpl (.Files.Get "notes") . | quote }}`
	require.NoError(t, os.WriteFile(filepath.Join(chart, "templates", "notes.yaml"), []byte(manifest), 0o600))
	for _, values := range valueSets(t) {
		out := parse(t, template(t, helm, chart, "-f", filepath.Join("testdata", values+".yaml"), "-s", "templates/notes.yaml"))
		require.Regexp(t, `curl https?://twtr-dev.com/healthz`, out[0].text("notes"))
	}
	const noRegistry = "names no registry"
	require.Contains(t, template(t, helm, chart, "-s", "templates/notes.yaml"), noRegistry)
	require.NotContains(t, template(t, helm, chart, "-s", "templates/notes.yaml", "--set", "image.repository=registry.example.com/twtr"), noRegistry)
}
