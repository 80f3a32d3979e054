{{- define "twtr.name" -}}
{{ .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{/* The beginning of the names of all objects: the release, and the chart's name unless the release's contains it. */}}
{{- define "twtr.fullname" -}}
{{- $name := .Release.Name }}
{{- $chart := include "twtr.name" . }}
{{- if not (contains $chart $name) }}{{ $name = printf "%s-%s" $name $chart }}{{ end }}
{{- .Values.fullnameOverride | default $name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The selector labels of a component: list $ "api". */}}
{{- define "twtr.selector" -}}
app.kubernetes.io/name: {{ include "twtr.name" (index . 0) | quote }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "twtr.labels" -}}
{{ include "twtr.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{/* The labels by which network policies select the pods of a role (api, worker or migrate): list $ "api". */}}
{{- define "twtr.role" -}}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
twtr-dev.com/role: {{ index . 1 }}
{{- end }}

{{- define "twtr.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The image of a tag: list $ "v1"; image.digest overrides the tag of this version only. */}}
{{- define "twtr.image" -}}
{{- $tag := index . 1 }}
{{- with (index . 0).Values.image -}}
image: {{ if and .digest (eq $tag (include "twtr.tag" (index $ 0))) }}{{ printf "%s@%s" .repository .digest | quote }}{{ else }}{{ printf "%s:%s" .repository $tag | quote }}{{ end }}
imagePullPolicy: {{ .pullPolicy }}
{{- end }}
{{- end }}

{{/* The beginning of every pod's spec, as the restricted Pod Security Standard requires: list $ USER. */}}
{{- define "twtr.pod" -}}
{{- $user := index . 1 -}}
automountServiceAccountToken: false
# Otherwise every Service of the namespace would add environment variables.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $user }}
  runAsGroup: {{ $user }}
  fsGroup: {{ $user }}
  seccompProfile: {type: RuntimeDefault}
{{- with (index . 0).Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "twtr.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* An environment variable from a secret: list NAME SECRET KEY. */}}
{{- define "twtr.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 | quote }}, key: {{ index . 2 | quote }}}}
{{- end }}

{{- define "twtr.cassandraHosts" -}}
{{- if .Values.cassandra.bundled.enabled }}{{ include "twtr.fullname" . }}-cassandra{{ else }}{{ join "," .Values.cassandra.hosts }}{{ end }}
{{- end }}

{{- define "twtr.cassandraEnv" -}}
- {name: TWTR_STORE, value: cassandra}
- {name: TWTR_CASSANDRA_HOSTS, value: {{ include "twtr.cassandraHosts" . | quote }}}
{{- with .Values.cassandra }}
- {name: TWTR_CASSANDRA_KEYSPACE, value: {{ .keyspace | quote }}}
{{- with .datacenter }}
- {name: TWTR_CASSANDRA_DATACENTER, value: {{ . | quote }}}
{{- end }}
{{- if .existingSecret }}
{{ include "twtr.secretEnv" (list "TWTR_CASSANDRA_USERNAME" .existingSecret .usernameKey) }}
{{ include "twtr.secretEnv" (list "TWTR_CASSANDRA_PASSWORD" .existingSecret .passwordKey) }}
{{- end }}
{{- if .tls.enabled }}
- {name: TWTR_CASSANDRA_TLS, value: "true"}
- {name: TWTR_CASSANDRA_TLS_VERIFY_HOST, value: {{ .tls.verifyHost | quote }}}
{{- if .tls.existingSecret }}
{{- with .tls.ca }}
- {name: TWTR_CASSANDRA_TLS_CA, value: {{ printf "/etc/twtr/cassandra/%s" . | quote }}}
{{- end }}
{{- with .tls.cert }}
- {name: TWTR_CASSANDRA_TLS_CERT, value: {{ printf "/etc/twtr/cassandra/%s" . | quote }}}
{{- end }}
{{- with .tls.key }}
- {name: TWTR_CASSANDRA_TLS_KEY, value: {{ printf "/etc/twtr/cassandra/%s" . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The name of the secret with Cassandra's certificates, if there is one to mount. */}}
{{- define "twtr.cassandraCertificates" -}}
{{- with .Values.cassandra.tls }}{{ if .enabled }}{{ .existingSecret }}{{ end }}{{ end }}
{{- end }}

{{/* The connection to Temporal, in the variables of Temporal's own convention. */}}
{{- define "twtr.temporalEnv" -}}
{{- with .Values.temporal -}}
- {name: TEMPORAL_ADDRESS, value: {{ .address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ .namespace | quote }}}
{{- if .apiKey.existingSecret }}
{{ include "twtr.secretEnv" (list "TEMPORAL_API_KEY" .apiKey.existingSecret .apiKey.key) }}
{{- end }}
{{- if .tls.enabled }}
- {name: TEMPORAL_TLS, value: "true"}
{{- with .tls.serverName }}
- {name: TEMPORAL_TLS_SERVER_NAME, value: {{ . | quote }}}
{{- end }}
{{- if .tls.existingSecret }}
{{- with .tls.ca }}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: {{ printf "/etc/twtr/temporal/%s" . | quote }}}
{{- end }}
{{- with .tls.cert }}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: {{ printf "/etc/twtr/temporal/%s" . | quote }}}
{{- end }}
{{- with .tls.key }}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: {{ printf "/etc/twtr/temporal/%s" . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The name of an earlier build's worker: list "feeds" "v1.2". */}}
{{- define "twtr.workerName" -}}
{{ index . 0 }}-{{ index . 1 | lower | replace "." "-" | replace "_" "-" }}
{{- end }}

{{/* The checks that the values' schema can't express. */}}
{{- define "twtr.check" -}}
{{- with .Values.cassandra }}
{{- if and .hosts .bundled.enabled }}{{ fail "cassandra: set either hosts or bundled.enabled, not both" }}{{ end }}
{{- if not (or .hosts .bundled.enabled) }}{{ fail "cassandra.hosts is empty: set it to your nodes, or set bundled.enabled" }}{{ end }}
{{- if and .hosts (not .replication) }}{{ fail "cassandra.replication is empty: set how many replicas your data centers keep, as in {'class': 'NetworkTopologyStrategy', 'dc1': 3}" }}{{ end }}
{{- end }}
{{- with .Values.cassandra }}
{{- if and .tls.enabled .bundled.enabled }}{{ fail "cassandra.tls: the bundled nodes have no TLS" }}{{ end }}
{{- if and .tls.existingSecret (not .tls.enabled) }}{{ fail "cassandra.tls.existingSecret is of use only with cassandra.tls.enabled" }}{{ end }}
{{- if ne (empty .tls.cert) (empty .tls.key) }}{{ fail "cassandra.tls: cert and key go together" }}{{ end }}
{{- end }}
{{- with .Values.events }}
{{- if and (not .url) (or .existingSecret .files.existingSecret) }}{{ fail "events: the secrets are of use only with events.url" }}{{ end }}
{{- if ne (empty .files.cert) (empty .files.key) }}{{ fail "events.files: cert and key go together" }}{{ end }}
{{- if and .existingSecret .files.existingSecret .files.credentials }}{{ fail "events: existingSecret and files.credentials exclude each other" }}{{ end }}
{{- end }}
{{- with .Values.temporal.tls }}
{{- if and .existingSecret (not .enabled) }}{{ fail "temporal.tls.existingSecret is of use only with temporal.tls.enabled" }}{{ end }}
{{- if ne (empty .cert) (empty .key) }}{{ fail "temporal.tls: cert and key go together" }}{{ end }}
{{- end }}
{{- end }}
