{{- define "twtr.fullname" -}}
{{- $name := .Release.Name }}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end }}
{{- $name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Of a component: list $ "api". */}}
{{- define "twtr.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "twtr.labels" -}}
{{ include "twtr.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{/* By these the network policies know the pods of a role, api, worker or migrate: list $ "api". */}}
{{- define "twtr.role" -}}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
twtr-dev.com/role: {{ index . 1 }}
{{- end }}

{{- define "twtr.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Of a tag: list $ "v1"; image.digest wins over the tag of this version, but is not that of another. */}}
{{- define "twtr.image" -}}
{{- $tag := index . 1 }}
{{- with (index . 0).Values.image -}}
image: {{ if and .digest (eq $tag (include "twtr.tag" (index $ 0))) }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ $tag }}{{ end }}
imagePullPolicy: {{ .pullPolicy }}
{{- end }}
{{- end }}

{{/* How every pod is begun, with what the restricted Pod Security Standard asks of it: list $ USER. */}}
{{- define "twtr.pod" -}}
{{- $user := index . 1 -}}
automountServiceAccountToken: false
# Else every Service of the namespace would put variables into the environment.
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

{{/* A variable from a secret: list NAME SECRET KEY. */}}
{{- define "twtr.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}
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
{{- end }}
{{- end }}

{{/* Where Temporal is; the names are its own convention's. */}}
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
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/twtr/temporal/{{ . }}}
{{- end }}
{{- with .tls.cert }}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/twtr/temporal/{{ . }}}
{{- end }}
{{- with .tls.key }}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/twtr/temporal/{{ . }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Of a domain and an earlier build: list "feeds" "v1.2". */}}
{{- define "twtr.workerName" -}}
{{ index . 0 }}-{{ index . 1 | lower | replace "." "-" | replace "_" "-" }}
{{- end }}

{{/* What the schema of the values can't say. */}}
{{- define "twtr.check" -}}
{{- with .Values.cassandra }}
{{- if and .hosts .bundled.enabled }}{{ fail "cassandra: either hosts of yours, or bundled.enabled; not both" }}{{ end }}
{{- if not (or .hosts .bundled.enabled) }}{{ fail "cassandra.hosts is empty: name yours, or set bundled.enabled" }}{{ end }}
{{- if and .hosts (not .replication) }}{{ fail "cassandra.replication is empty: say how many copies of a row your data centers keep, as in {'class': 'NetworkTopologyStrategy', 'dc1': 3}" }}{{ end }}
{{- end }}
{{- with .Values.temporal.tls }}
{{- if and .existingSecret (not .enabled) }}{{ fail "temporal.tls.existingSecret is of use only with temporal.tls.enabled" }}{{ end }}
{{- if ne (empty .cert) (empty .key) }}{{ fail "temporal.tls: cert and key go together" }}{{ end }}
{{- end }}
{{- end }}
