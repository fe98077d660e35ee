{{/* Command lines. Every flag of the two programs that the chart sets is in this file. */}}

{{/* Namespaces whose objects are read; nothing: all. A YAML list. */}}
{{- define "ringway.watchedNamespaces" -}}
{{- $scope := .Values.controller.scope -}}
{{- $asked := include "ringway.extraArg" (dict "root" . "name" "watch-namespace") -}}
{{- if $asked -}}
{{- splitList "," $asked | toYaml -}}
{{- else if $scope.enabled -}}
{{- if $scope.namespaces -}}
{{- toYaml $scope.namespaces -}}
{{- else if $scope.namespace -}}
{{- list $scope.namespace | toYaml -}}
{{- else if not $scope.namespaceSelector -}}
{{- list (include "ringway.namespace" .) | toYaml -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringway.namespaceSelector" -}}
{{- $asked := include "ringway.extraArg" (dict "root" . "name" "watch-namespace-selector") -}}
{{- if $asked -}}{{- $asked -}}
{{- else if .Values.controller.scope.enabled -}}{{- .Values.controller.scope.namespaceSelector -}}{{- end -}}
{{- end -}}

{{/* NAMESPACE/NAME of the Service whose address Ingresses show. */}}
{{- define "ringway.publishService" -}}
{{- $controller := .Values.controller -}}
{{- $asked := include "ringway.extraArg" (dict "root" . "name" "publish-service") -}}
{{- if $asked -}}{{- $asked -}}
{{- else if $controller.publishService.enabled -}}
{{- if $controller.publishService.pathOverride -}}{{- $controller.publishService.pathOverride -}}
{{- else if and $controller.service.enabled $controller.service.external.enabled -}}
{{- printf "%s/%s" (include "ringway.namespace" .) (include "ringway.proxy.fullname" .) -}}
{{- else if $controller.service.internal.enabled -}}
{{- printf "%s/%s-internal" (include "ringway.namespace" .) (include "ringway.proxy.fullname" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* NAMESPACE/NAME of a ConfigMap: `flag` of extraArgs, else ours. */}}
{{- define "ringway.configMapPath" -}}
{{- $asked := include "ringway.extraArg" (dict "root" .root "name" .flag) -}}
{{- if $asked -}}{{- $asked -}}
{{- else -}}{{- printf "%s/%s" (default (include "ringway.namespace" .root) .namespace) .name -}}{{- end -}}
{{- end -}}

{{/* A word of the values: YAML reads a bare `off` as false. */}}
{{- define "ringway.word" -}}
{{- if kindIs "bool" . -}}{{- ternary "on" "off" . -}}{{- else -}}{{- . -}}{{- end -}}
{{- end -}}

{{- define "ringway.controllerClass" -}}
{{- default .Values.controller.ingressClassResource.controllerValue (include "ringway.extraArg" (dict "root" . "name" "controller-class")) -}}
{{- end -}}

{{- define "ringway.electionID" -}}
{{- $asked := include "ringway.extraArg" (dict "root" . "name" "election-id") -}}
{{- if $asked -}}{{- $asked -}}
{{- else -}}{{- default (printf "%s-leader" (include "ringway.fullname" .)) .Values.controller.electionID -}}{{- end -}}
{{- end -}}

{{/* A YAML list. */}}
{{- define "ringway.controller.args" -}}
{{- $controller := .Values.controller -}}
{{- $root := . -}}
- --source=kubernetes
{{- if include "ringway.split" . }}
- --listen={{ .Values.proxy.bindAddress }}:{{ .Values.controlPlane.port }}
{{- if eq .Values.link.certificates "controller" }}
- --link-secrets={{ include "ringway.namespace" . }}/{{ include "ringway.fullname" . }}
{{- else }}
- --tls-cert=/etc/ringway/link/tls.crt
- --tls-key=/etc/ringway/link/tls.key
- --tls-ca=/etc/ringway/link/ca.crt
{{- end }}
{{- else }}
- --listen=unix:/run/ringway/controller
{{- end }}
- --admin={{ .Values.proxy.bindAddress }}:{{ .Values.controlPlane.adminPort }}
- --log-level={{ include "ringway.word" .Values.controlPlane.logLevel }}
- --log-format={{ .Values.controlPlane.logFormat }}
- --metrics-namespace=$(POD_NAMESPACE)
- --metrics-pod=$(POD_NAME)
{{- /* What is served. */}}
- --controller-class={{ include "ringway.controllerClass" . }}
{{- if and .Values.ingressNginx.serve (ne .Values.ingressNginx.controllerValue (include "ringway.controllerClass" .)) }}
- --controller-class={{ .Values.ingressNginx.controllerValue }}
{{- end }}
- --ingress-class={{ default $controller.ingressClass (include "ringway.extraArg" (dict "root" . "name" "ingress-class")) }}
{{- if or $controller.ingressClassByName (include "ringway.extraSwitch" (dict "root" . "name" "ingress-class-by-name")) }}
- --ingress-class-by-name
{{- end }}
{{- if or $controller.watchIngressWithoutClass (include "ringway.extraSwitch" (dict "root" . "name" "watch-ingress-without-class")) }}
- --watch-ingress-without-class
{{- end }}
{{- with include "ringway.watchedNamespaces" . | fromYamlArray }}
- --watch-namespace={{ join "," . }}
{{- end }}
{{- with include "ringway.namespaceSelector" . }}
- --watch-namespace-selector={{ . }}
{{- end }}
{{- if eq .Values.rbac.secrets "list" }}
- --secrets=all
{{- end }}
- --configmap={{ include "ringway.configMapPath" (dict "root" . "flag" "configmap" "namespace" $controller.configMapNamespace "name" (include "ringway.controller.fullname" .)) }}
{{- range $protocol := list "tcp" "udp" }}
{{- $flag := printf "%s-services-configmap" $protocol }}
{{- if or (get $root.Values $protocol) (include "ringway.extraArg" (dict "root" $root "name" $flag)) }}
- --{{ $flag }}={{ include "ringway.configMapPath" (dict "root" $root "flag" $flag "namespace" (get $controller $protocol).configMapNamespace "name" (printf "%s-%s" (include "ringway.fullname" $root) $protocol)) }}
{{- end }}
{{- end }}
{{- if or .Values.tcp .Values.udp }}
- --stream-address={{ .Values.proxy.bindAddress }}
{{- end }}
{{- if include "ringway.extraSwitch" (dict "root" . "name" "enable-ssl-passthrough") }}
- --enable-ssl-passthrough
{{- end }}
{{- if eq (include "ringway.config" (dict "root" . "name" "use-proxy-protocol")) "true" }}
- --use-proxy-protocol
{{- range $cidr := include "ringway.config" (dict "root" . "name" "proxy-real-ip-cidr") | splitList "," }}
{{- with trim $cidr }}
- --proxy-real-ip-cidr={{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- with include "ringway.extraArg" (dict "root" . "name" "annotations-prefix") }}
- --annotation-prefix={{ trimSuffix "/" . }}/
{{- end }}
{{- with include "ringway.extraArg" (dict "root" . "name" "default-ssl-certificate") }}
- --default-certificate={{ . }}
{{- end }}
{{- with include "ringway.defaultBackend" . }}
- --default-backend={{ . }}
{{- end }}
{{- /* Listeners of the proxies. */}}
- --http-address={{ .Values.proxy.bindAddress }}:{{ include "ringway.port.http" . }}
- --https-address={{ .Values.proxy.bindAddress }}:{{ include "ringway.port.https" . }}
- --http-public-port={{ include "ringway.publicPort" (dict "root" . "scheme" "http") }}
- --https-public-port={{ include "ringway.publicPort" (dict "root" . "scheme" "https") }}
- --redirect-https-port={{ include "ringway.publicPort" (dict "root" . "scheme" "https") }}
{{- /* What is written back. */}}
{{- if include "ringway.publishService" . }}
- --publish-service={{ include "ringway.publishService" . }}
{{- else }}
- --publish-nodes={{ include "ringway.namespace" . }}/app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=proxy
{{- end }}
{{- with include "ringway.extraArg" (dict "root" . "name" "publish-status-address") }}
- --publish-status-address={{ . }}
{{- end }}
{{- if or $controller.reportNodeInternalIp (include "ringway.extraSwitch" (dict "root" . "name" "report-node-internal-ip-address")) }}
- --report-node-internal-ip
{{- end }}
{{- with include "ringway.extraArg" (dict "root" . "name" "update-status") }}
- --update-status={{ . }}
{{- end }}
{{- with include "ringway.extraArg" (dict "root" . "name" "update-status-on-shutdown") }}
- --update-status-on-shutdown={{ . }}
{{- end }}
- --election-id={{ include "ringway.electionID" . }}
{{- with default $controller.electionTTL (include "ringway.extraArg" (dict "root" . "name" "election-ttl")) }}
- --election-ttl={{ . }}
{{- end }}
{{- if or $controller.disableLeaderElection (include "ringway.extraSwitch" (dict "root" . "name" "disable-leader-election")) }}
- --disable-leader-election
{{- end }}
{{- if $controller.admissionWebhooks.enabled }}
- --validating-webhook={{ .Values.proxy.bindAddress }}:{{ $controller.admissionWebhooks.port }}
- --validating-webhook-certificate=/etc/ringway/admission/tls.crt
- --validating-webhook-key=/etc/ringway/admission/tls.key
{{- end }}
{{- range .Values.controlPlane.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* NAMESPACE/NAME:PORT, or nothing: the proxy answers 404. */}}
{{- define "ringway.defaultBackend" -}}
{{- $asked := include "ringway.extraArg" (dict "root" . "name" "default-backend-service") -}}
{{- if $asked -}}
{{- ternary $asked (printf "%s:80" $asked) (contains ":" $asked) -}}
{{- else if include "ringway.defaultBackend.deployed" . -}}
{{- printf "%s/%s:http" (include "ringway.namespace" .) (include "ringway.defaultBackend.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* A key of the ConfigMap `controller.config` that is a matter of the proxy's flags. */}}
{{- define "ringway.config" -}}
{{- $config := default dict .root.Values.controller.config -}}
{{- if hasKey $config .name -}}{{- get $config .name | toString | trim -}}{{- end -}}
{{- end -}}

{{/* Seconds between the pod's deletion and SIGTERM. */}}
{{- define "ringway.preStopSeconds" -}}
{{- $asked := include "ringway.extraArg" (dict "root" . "name" "shutdown-grace-period") -}}
{{- if $asked -}}{{- $asked | int -}}{{- else -}}{{- .Values.proxy.preStopSeconds | int -}}{{- end -}}
{{- end -}}

{{/* Seconds for requests in flight: what is asked for, but 10 s before the kubelet's SIGKILL; the supervisor itself waits 5 s longer. */}}
{{- define "ringway.drainSeconds" -}}
{{- $asked := include "ringway.config" (dict "root" . "name" "worker-shutdown-timeout") | trimSuffix "s" -}}
{{- $wanted := .Values.proxy.drainSeconds | int -}}
{{- if regexMatch "^[0-9]+$" $asked -}}{{- $wanted = $asked | int -}}{{- end -}}
{{- $left := sub (.Values.controller.terminationGracePeriodSeconds | int) (add (include "ringway.preStopSeconds" . | int) 10) -}}
{{- max 1 (min $wanted $left) -}}
{{- end -}}

{{- define "ringway.accessLog" -}}
{{- if eq (include "ringway.config" (dict "root" . "name" "disable-access-log")) "true" -}}off
{{- else -}}{{- include "ringway.word" .Values.proxy.accessLog -}}{{- end -}}
{{- end -}}

{{/* A YAML list. */}}
{{- define "ringway.proxy.args" -}}
{{- $workers := include "ringway.config" (dict "root" . "name" "worker-processes") -}}
{{- if include "ringway.split" . -}}
- --controller={{ include "ringway.controller.fullname" . }}.{{ include "ringway.namespace" . }}.svc:{{ .Values.controlPlane.port }}
- --controller-ca=/etc/ringway/link/ca.crt
- --controller-cert=/etc/ringway/link/tls.crt
- --controller-key=/etc/ringway/link/tls.key
{{- else -}}
- --controller=unix:/run/ringway/controller
{{- end }}
- --node-id=$(POD_NAME)
{{- if .Values.proxy.stateDir.enabled }}
- --state-dir=/var/lib/ringway
{{- end }}
- --admin={{ .Values.proxy.bindAddress }}:{{ .Values.controller.metrics.port }}
- --metrics-namespace=$(POD_NAMESPACE)
- --metrics-class={{ include "ringway.controllerClass" . }}
- --metrics-pod=$(POD_NAME)
{{- if eq (include "ringway.extraArg" (dict "root" . "name" "metrics-per-host")) "false" }}
- --metrics-per-host=off
{{- end }}
- --io={{ .Values.proxy.io }}
- --workers={{ default (.Values.proxy.workers | toString) $workers }}
{{- with .Values.proxy.connectionsMax }}
- --connections-max={{ . | int }}
{{- end }}
- --drain-timeout={{ include "ringway.drainSeconds" . }}
- --access-log={{ include "ringway.accessLog" . }}
- --access-log-format={{ .Values.proxy.accessLogFormat }}
- --log-level={{ include "ringway.word" .Values.proxy.logLevel }}
- --log-format={{ .Values.proxy.logFormat }}
{{- range .Values.proxy.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}
