{{/* The ports that a proxy listens on, and what follows from them. */}}

{{- define "ringway.port.http" -}}
{{- $asked := include "ringway.extraArg" (dict "root" . "name" "http-port") -}}
{{- $default := ternary 80 8080 .Values.controller.hostNetwork -}}
{{- default (default $default .Values.controller.containerPort.http) $asked | int -}}
{{- end -}}

{{- define "ringway.port.https" -}}
{{- $asked := include "ringway.extraArg" (dict "root" . "name" "https-port") -}}
{{- $default := ternary 443 8443 .Values.controller.hostNetwork -}}
{{- default (default $default .Values.controller.containerPort.https) $asked | int -}}
{{- end -}}

{{/* Ports that clients see: those of the node where the proxy is reached there, else the Service's. */}}
{{- define "ringway.publicPort" -}}
{{- $controller := .root.Values.controller -}}
{{- if $controller.hostNetwork -}}
{{- include (printf "ringway.port.%s" .scheme) .root -}}
{{- else if $controller.hostPort.enabled -}}
{{- get $controller.hostPort.ports .scheme | int -}}
{{- else -}}
{{- get $controller.service.ports .scheme | int -}}
{{- end -}}
{{- end -}}

{{/* "true" when a port is below 1024: an unprivileged process needs help to bind it. */}}
{{- define "ringway.lowPorts" -}}
{{- $ports := list (include "ringway.port.http" . | int) (include "ringway.port.https" . | int) -}}
{{- range $port, $_ := merge dict .Values.tcp .Values.udp -}}
{{- $ports = append $ports ($port | int) -}}
{{- end -}}
{{- range $ports -}}
{{- if and (gt . 0) (lt . 1024) -}}true{{ break }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Name of the port of a TCP or UDP service: at most 15 characters (IANA_SVC_NAME). */}}
{{- define "ringway.l4PortName" -}}
{{- if .prefix -}}{{- printf "%s-%v-%s" .prefix .port .protocol -}}{{- else -}}{{- printf "%v-%s" .port .protocol -}}{{- end -}}
{{- end -}}

{{- define "ringway.containerPorts" -}}
{{- $root := . -}}
{{- $host := .Values.controller.hostPort -}}
{{- range $scheme := list "http" "https" }}
- name: {{ $scheme }}
  containerPort: {{ include (printf "ringway.port.%s" $scheme) $root }}
  protocol: TCP
  {{- if $host.enabled }}
  hostPort: {{ get $host.ports $scheme }}
  {{- end }}
{{- end }}
- name: metrics
  containerPort: {{ .Values.controller.metrics.port }}
  protocol: TCP
{{- range $protocol := list "tcp" "udp" }}
{{- range $port, $_ := get $root.Values $protocol }}
- name: {{ include "ringway.l4PortName" (dict "prefix" $root.Values.portNamePrefix "port" $port "protocol" $protocol) }}
  containerPort: {{ $port | int }}
  protocol: {{ upper $protocol }}
  {{- if $host.enabled }}
  hostPort: {{ $port | int }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Fails when two containers of the one pod would listen on one port. */}}
{{- define "ringway.checkPorts" -}}
{{- $taken := dict -}}
{{- $ports := include "ringway.containerPorts" . | fromYamlArray -}}
{{- if not (include "ringway.split" .) -}}
{{- $ports = append $ports (dict "name" "controlPlane.adminPort" "containerPort" .Values.controlPlane.adminPort "protocol" "TCP") -}}
{{- if .Values.controller.admissionWebhooks.enabled -}}
{{- $ports = append $ports (dict "name" "controller.admissionWebhooks.port" "containerPort" .Values.controller.admissionWebhooks.port "protocol" "TCP") -}}
{{- end -}}
{{- end -}}
{{- range $port := $ports -}}
{{- $key := printf "%v/%s" $port.containerPort $port.protocol -}}
{{- if hasKey $taken $key -}}
{{- fail (printf "port %s of the proxies' pod is wanted twice: by %s and by %s" $key (get $taken $key) $port.name) -}}
{{- end -}}
{{- $_ := set $taken $key $port.name -}}
{{- end -}}
{{- end -}}
