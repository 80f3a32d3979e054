{{/* The connection to NATS, if there is one. */}}
{{- define "twtr.eventsEnv" -}}
{{- with .Values.events }}
{{- if .url }}
- {name: TWTR_EVENTS_URL, value: {{ .url | quote }}}
{{- if .existingSecret }}
{{ include "twtr.secretEnv" (list "TWTR_EVENTS_USERNAME" .existingSecret .usernameKey) }}
{{ include "twtr.secretEnv" (list "TWTR_EVENTS_PASSWORD" .existingSecret .passwordKey) }}
{{- end }}
{{- if .files.existingSecret }}
{{- range $variable, $key := dict "TLS_CA" .files.ca "TLS_CERT" .files.cert "TLS_KEY" .files.key "CREDENTIALS" .files.credentials }}
{{- with $key }}
- {name: TWTR_EVENTS_{{ $variable }}, value: {{ printf "/etc/twtr/nats/%s" . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The name of the secret with files for the connection to NATS, if there is one to mount. */}}
{{- define "twtr.eventsFiles" -}}
{{- with .Values.events }}{{ if .url }}{{ .files.existingSecret }}{{ end }}{{ end }}
{{- end }}

{{- define "twtr.egressEvents" -}}
{{- $ports := list }}
{{- range splitList "," .Values.events.url }}{{ $ports = append $ports (include "twtr.portOf" (list (urlParse .).host 4222) | trim) }}{{ end -}}
- ports:
    {{- range $ports | uniq }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- include "twtr.peers" (list "to" .Values.networkPolicy.eventsTo) | indent 2 }}
{{- end }}
