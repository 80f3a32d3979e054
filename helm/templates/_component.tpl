{{/* The API or one worker: its Deployment, autoscaler, disruption budget and service account. Arguments:
  root        $
  name        the component
  domain      of a worker: its task queue; "" for the API
  tag         the image's tag
  build       the worker's build ID; "" if workers are unversioned
  args        the binary's arguments
  public      the port on which it receives requests; 0 for a worker
  env         variables in addition to the common ones
  pause       seconds between its removal from the Service and SIGTERM; 0 if it receives no requests
  values      its own values, which override those of pods */}}
{{- define "twtr.component" -}}
{{- $root := .root }}
{{- $values := mergeOverwrite (deepCopy $root.Values.pods) (deepCopy .values) }}
{{- $fullname := printf "%s-%s" (include "twtr.fullname" $root) .name }}
{{- $labels := include "twtr.labels" (list $root .name) }}
{{- $selector := include "twtr.selector" (list $root .name) }}
{{- $scaling := $values.autoscaling }}
{{- $versioning := $root.Values.versioning }}
{{- $controlled := and .domain $versioning.enabled $versioning.controller.enabled }}
{{- if and (not .domain) (eq $scaling.type "keda") }}{{ fail "autoscaling.type: the API has no task queue: KEDA scales workers only; set api.autoscaling.type" }}{{ end }}
{{- if and $controlled (ne $scaling.type "none") }}{{ fail "versioning.controller: each version has a Deployment of its own, which neither an HPA nor KEDA knows of; autoscaling.type must be none" }}{{ end }}
{{- $template := include "twtr.podTemplate" (merge (dict "values" $values "fullname" $fullname "selector" $selector "controlled" $controlled) .) }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $fullname }}
  labels: {{- $labels | nindent 4 }}
  {{- with $root.Values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
{{- if $controlled }}
apiVersion: temporal.io/v1alpha1
kind: WorkerDeployment
metadata:
  name: {{ $fullname }}
  labels: {{- $labels | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  workerOptions:
    connectionRef: {name: {{ include "twtr.fullname" $root }}-temporal}
    temporalNamespace: {{ $root.Values.temporal.namespace | quote }}
  rollout: {{- toYaml $versioning.controller.rollout | nindent 4 }}
  sunset: {{- toYaml $versioning.controller.sunset | nindent 4 }}
  template: {{- $template | nindent 4 }}
{{- else }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $fullname }}
  labels: {{- $labels | nindent 4 }}
spec:
  {{- if eq $scaling.type "none" }}
  replicas: {{ $values.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- $selector | nindent 6 }}
  strategy:
    rollingUpdate: {{- toYaml $values.rollout | nindent 6 }}
  template: {{- $template | nindent 4 }}
{{- end }}
{{- if $values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $fullname }}
  labels: {{- $labels | nindent 4 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels: {{- $selector | nindent 6 }}
{{- end }}
{{- if eq $scaling.type "hpa" }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $fullname }}
  labels: {{- $labels | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $fullname }}}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ $scaling.cpuPercent }}}}
{{- else if eq $scaling.type "keda" }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $fullname }}
  labels: {{- $labels | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ $fullname }}}
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  triggers:
    - type: temporal
      metadata:
        endpoint: {{ $root.Values.temporal.address | quote }}
        namespace: {{ $root.Values.temporal.namespace | quote }}
        taskQueue: {{ .domain }}
        queueTypes: workflow,activity
        targetQueueSize: {{ $scaling.queueSize | quote }}
        {{- if .build }}
        workerDeploymentName: {{ $versioning.deploymentName | quote }}
        workerDeploymentBuildId: {{ .build | quote }}
        {{- end }}
        {{- with $root.Values.temporal.tls.serverName }}
        tlsServerName: {{ . | quote }}
        {{- end }}
      {{- if include "twtr.kedaSecrets" $root }}
      authenticationRef: {name: {{ include "twtr.fullname" $root }}-temporal}
      {{- end }}
{{- end }}
{{- end }}

{{- define "twtr.podTemplate" -}}
{{- $root := .root }}
{{- $tls := $root.Values.temporal.tls }}
{{- $mounts := and $tls.enabled $tls.existingSecret }}
{{- $certificates := include "twtr.cassandraCertificates" $root }}
{{- $events := include "twtr.eventsFiles" $root -}}
metadata:
  labels:
    {{- with .values.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- .selector | nindent 4 }}
    twtr-dev.com/role: {{ ternary "worker" "api" (ne .domain "") }}
  {{- with .values.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .fullname }}
  {{- include "twtr.pod" (list $root 65532) | nindent 2 }}
  terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ quote . }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - topologyKey: {{ quote .topologyKey }}
      maxSkew: {{ .maxSkew }}
      whenUnsatisfiable: {{ .whenUnsatisfiable }}
      labelSelector:
        matchLabels: {{- $.selector | nindent 10 }}
      # Per revision: otherwise a rollout spreads its pods around those that are about to stop.
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  initContainers:
    - name: wait
      {{- include "twtr.image" (list $root .tag) | nindent 6 }}
      {{- if .domain }}
      args: [wait, --timeout={{ .values.waitTimeout }}]
      {{- else }}
      # Without Temporal the API serves reads, log-ins and refreshes.
      args: [wait, --for=store, --timeout={{ .values.waitTimeout }}]
      {{- end }}
      env:
        {{- include "twtr.cassandraEnv" $root | nindent 8 }}
        {{- include "twtr.temporalEnv" $root | nindent 8 }}
      resources: {{- toYaml .values.resources | nindent 8 }}
      {{- include "twtr.containerSecurity" . | nindent 6 }}
      {{- if or $mounts $certificates }}
      volumeMounts:
        {{- if $mounts }}
        - {name: temporal-client, mountPath: /etc/twtr/temporal, readOnly: true}
        {{- end }}
        {{- if $certificates }}
        - {name: cassandra-client, mountPath: /etc/twtr/cassandra, readOnly: true}
        {{- end }}
      {{- end }}
  containers:
    - name: twtr
      {{- include "twtr.image" (list $root .tag) | nindent 6 }}
      args: {{ toJson .args }}
      ports:
        {{- with .public }}
        - {name: http, containerPort: {{ . }}}
        {{- end }}
        - {name: ops, containerPort: 3003}
      env:
        - {name: TWTR_OPS_ADDR, value: ":3003"}
        {{- include "twtr.cassandraEnv" $root | nindent 8 }}
        {{- if not .controlled }}
        {{- include "twtr.temporalEnv" $root | nindent 8 }}
        {{- else if and $mounts $tls.ca }}
        {{- /* The controller adds the rest. */}}
        - {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/twtr/temporal/{{ $tls.ca }}}
        {{- end }}
        {{- include "twtr.secretEnv" (list "TWTR_SEAL_KEY" $root.Values.seal.existingSecret $root.Values.seal.key) | nindent 8 }}
        {{- with $root.Values.temporal.codecKeys }}
        {{- if .existingSecret }}
        {{- include "twtr.secretEnv" (list "TWTR_TEMPORAL_CODEC_KEYS" .existingSecret .key) | nindent 8 }}
        {{- end }}
        {{- end }}
        {{- with include "twtr.eventsEnv" $root | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- .env | nindent 8 }}
        {{- range $key, $value := $root.Values.settings }}
        - {name: TWTR_{{ $key | replace "." "_" | upper }}, value: {{ $value | toString | quote }}}
        {{- end }}
        {{- include "twtr.tracesEnv" . | nindent 8 }}
        {{- with .values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      resources: {{- toYaml .values.resources | nindent 8 }}
      {{- include "twtr.containerSecurity" . | nindent 6 }}
      startupProbe:
        httpGet: {path: /healthz, port: ops}
        periodSeconds: 2
        failureThreshold: 30
      # Not on the public port: a restart does not help against too many connections.
      livenessProbe:
        httpGet: {path: /healthz, port: ops}
        periodSeconds: 10
        timeoutSeconds: 3
      {{- if .domain }}
      # Tolerates 30 s: only rollouts and disruption budgets depend on it.
      readinessProbe:
        httpGet: {path: /readyz, port: ops}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 6
      {{- else }}
      # Not /readyz: while the store is unavailable, to all pods alike, the API itself responds, with 503 and Retry-After. If all
      # pods left the Service, the ingress controller would respond instead. A pod that alone lost the store can't tell and stays,
      # too. It listens once it has reached the store.
      readinessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      {{- end }}
      {{- if .pause }}
      # Until every proxy has stopped sending requests to this pod.
      lifecycle: {preStop: {sleep: {seconds: {{ .pause }}}}}
      {{- end }}
      {{- if or $mounts $certificates $events }}
      volumeMounts:
        {{- if $mounts }}
        - {name: temporal-client, mountPath: /etc/twtr/temporal, readOnly: true}
        {{- end }}
        {{- if $certificates }}
        - {name: cassandra-client, mountPath: /etc/twtr/cassandra, readOnly: true}
        {{- end }}
        {{- if $events }}
        - {name: nats-client, mountPath: /etc/twtr/nats, readOnly: true}
        {{- end }}
      {{- end }}
  {{- if or $mounts $certificates $events }}
  volumes:
    {{- if $mounts }}
    - {name: temporal-client, secret: {secretName: {{ $tls.existingSecret | quote }}}}
    {{- end }}
    {{- with $certificates }}
    - {name: cassandra-client, secret: {secretName: {{ quote . }}}}
    {{- end }}
    {{- with $events }}
    - {name: nats-client, secret: {secretName: {{ quote . }}}}
    {{- end }}
  {{- end }}
{{- end }}
