{{/* The variables of OpenTelemetry: where a process exports its traces. The workers follow the API's choice of what to sample. */}}
{{- define "twtr.tracesEnv" -}}
{{- with .root.Values.traces }}
{{- if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ quote .endpoint }}}
- {name: OTEL_SERVICE_NAME, value: {{ quote $.fullname }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ quote .ratio }}}
{{- end }}
{{- end }}
{{- end }}

{{/* The port of an http or https URL. */}}
{{- define "twtr.urlPort" -}}
{{- $url := urlParse . }}
{{- include "twtr.portOf" (list $url.host (ternary 443 80 (eq $url.scheme "https"))) | trim }}
{{- end }}
