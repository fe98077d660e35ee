{{/* What has no effect: for the notes, and for a test. Each define gives one line a finding. */}}

{{/* Keys of `values` that are not in `known`; an empty map in `known` takes anything. Call with (dict "values" … "known" … "path" ""). */}}
{{- define "ringway.unknownKeys" -}}
{{- $known := .known -}}
{{- $path := .path -}}
{{- range $key, $value := .values -}}
{{- $at := ternary $key (printf "%s.%s" $path $key) (eq $path "") -}}
{{- if not (hasKey $known $key) }}
{{ $at }}
{{- else if and (kindIs "map" $value) (get $known $key) }}
{{- include "ringway.unknownKeys" (dict "values" $value "known" (get $known $key) "path" $at) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The reason for a path or for what it is below; empty when there is none. Call with (dict "reasons" … "path" …). */}}
{{- define "ringway.reason" -}}
{{- $reasons := .reasons -}}
{{- $parts := splitList "." .path -}}
{{- range $length := untilStep (len $parts) 0 -1 -}}
{{- $prefix := join "." (slice $parts 0 $length) -}}
{{- if hasKey $reasons $prefix -}}{{- get $reasons $prefix -}}{{- break -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names in controller.extraArgs that the chart gives a counterpart or a meaning. */}}
{{- define "ringway.knownExtraArgs" -}}
annotations-prefix configmap controller-class default-backend-service default-ssl-certificate disable-leader-election election-id election-ttl enable-ssl-passthrough http-port https-port ingress-class ingress-class-by-name metrics-per-host publish-service publish-status-address report-node-internal-ip-address shutdown-grace-period tcp-services-configmap udp-services-configmap update-status update-status-on-shutdown watch-ingress-without-class watch-namespace watch-namespace-selector
{{- end -}}

{{- define "ringway.withoutEffect" -}}
{{- $known := .Files.Get "files/known-values.yaml" | fromYaml -}}
{{- $reasons := .Files.Get "files/ingress-nginx-values.yaml" | fromYaml -}}
{{- range $path := include "ringway.unknownKeys" (dict "values" .Values "known" $known "path" "") | trim | splitList "\n" -}}
{{- if $path }}
  {{ $path }}: {{ default "not a value of this chart" (include "ringway.reason" (dict "reasons" $reasons "path" $path)) }}
{{- end -}}
{{- end -}}
{{- $flags := include "ringway.knownExtraArgs" . | splitList " " -}}
{{- range $name, $_ := default dict .Values.controller.extraArgs -}}
{{- if not (has $name $flags) }}
  controller.extraArgs.{{ $name }}: has no counterpart; flags of Ringway are given in proxy.extraArgs and controlPlane.extraArgs
{{- end -}}
{{- end -}}
{{- range $probe := list "livenessProbe" "readinessProbe" "startupProbe" -}}
{{- range $handler := list "httpGet" "exec" "tcpSocket" "grpc" -}}
{{- if hasKey (get $.Values.controller $probe) $handler }}
  controller.{{ $probe }}.{{ $handler }}: probes ask the admin endpoint
{{- end -}}
{{- end -}}
{{- end -}}
{{- if has "/wait-shutdown" (dig "preStop" "exec" "command" list .Values.controller.lifecycle) }}
  controller.lifecycle.preStop: /wait-shutdown is ingress-nginx's program; pods wait proxy.preStopSeconds
{{- end -}}
{{- if and .Values.defaultBackend.enabled (not (include "ringway.defaultBackend.deployed" .)) }}
  defaultBackend.enabled: has no image; without one the proxy answers 404 itself
{{- end -}}
{{- end -}}
