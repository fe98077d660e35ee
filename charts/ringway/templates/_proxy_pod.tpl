{{/* The pod that serves traffic: the template of the Deployment and of the DaemonSet. */}}

{{- define "ringway.proxy.container" -}}
{{- $controller := .Values.controller -}}
name: proxy
image: {{ include "ringway.image" . }}
imagePullPolicy: {{ include "ringway.imagePullPolicy" . }}
command: [ringway-proxy]
args:
  {{- include "ringway.proxy.args" . | nindent 2 }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  {{- with $controller.extraEnvs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- include "ringway.containerPorts" . | nindent 2 }}
securityContext:
  {{- include "ringway.proxy.securityContext" . | nindent 2 }}
{{- if $controller.startupProbe }}
startupProbe:
  {{- include "ringway.probe" (dict "probe" $controller.startupProbe "path" "/healthz" "port" "metrics") | nindent 2 }}
{{- end }}
livenessProbe:
  {{- include "ringway.probe" (dict "probe" $controller.livenessProbe "path" "/healthz" "port" "metrics") | nindent 2 }}
readinessProbe:
  {{- include "ringway.probe" (dict "probe" $controller.readinessProbe "path" "/readyz" "port" "metrics") | nindent 2 }}
lifecycle:
  {{- include "ringway.proxy.lifecycle" . | nindent 2 }}
resources:
  {{- toYaml $controller.resources | nindent 2 }}
{{- with $controller.resizePolicy }}
resizePolicy:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- if .Values.proxy.stateDir.enabled }}
  - name: state
    mountPath: /var/lib/ringway
  {{- end }}
  {{- if include "ringway.split" . }}
  - name: link
    mountPath: /etc/ringway/link
    readOnly: true
  {{- else }}
  - name: socket
    mountPath: /run/ringway
  {{- end }}
  {{- with $controller.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The wait before SIGTERM. The kubelet's own sleep came with 1.30; before, the image's does the same. An old values file's
     /wait-shutdown is ingress-nginx's program. */}}
{{- define "ringway.proxy.lifecycle" -}}
{{- $given := deepCopy .Values.controller.lifecycle -}}
{{- $exec := dig "preStop" "exec" "command" list $given -}}
{{- if has "/wait-shutdown" $exec -}}{{- $given = omit $given "preStop" -}}{{- end -}}
{{- $seconds := include "ringway.preStopSeconds" . | int -}}
{{- if and (not (hasKey $given "preStop")) (gt $seconds 0) -}}
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version -}}
{{- $_ := set $given "preStop" (dict "sleep" (dict "seconds" $seconds)) -}}
{{- else -}}
{{- $_ := set $given "preStop" (dict "exec" (dict "command" (list "ringway" "pause" "--seconds" ($seconds | toString)))) -}}
{{- end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end -}}

{{- define "ringway.proxy.podTemplate" -}}
{{- $controller := .Values.controller -}}
{{- $single := not (include "ringway.split" .) -}}
metadata:
  labels:
    {{- include "ringway.labels" (dict "root" . "component" "proxy") | nindent 4 }}
    {{- with $controller.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $controller.podAnnotations $single }}
  annotations:
    kubectl.kubernetes.io/default-container: proxy
    {{- with $controller.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  # No rights in the API: in topology `single` only the controller's container gets a token, by a volume of its own.
  {{- if $single }}
  serviceAccountName: {{ include "ringway.serviceAccountName" . }}
  {{- else }}
  serviceAccountName: {{ include "ringway.proxy.serviceAccountName" . }}
  {{- end }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $controller.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if $controller.shareProcessNamespace }}
  shareProcessNamespace: true
  {{- end }}
  {{- if $controller.hostNetwork }}
  hostNetwork: true
  {{- end }}
  dnsPolicy: {{ if and $controller.hostNetwork (eq $controller.dnsPolicy "ClusterFirst") }}ClusterFirstWithHostNet{{ else }}{{ $controller.dnsPolicy }}{{ end }}
  {{- with $controller.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if kindIs "string" $controller.hostname }}
  {{- with $controller.hostname }}
  hostname: {{ . }}
  {{- end }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $controller.terminationGracePeriodSeconds }}
  securityContext:
    {{- include "ringway.proxy.podSecurityContext" . | nindent 4 }}
  {{- with $controller.extraInitContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
    - {{- include "ringway.proxy.container" . | nindent 6 }}
    {{- if $single }}
    - {{- include "ringway.controller.container" . | nindent 6 }}
    {{- end }}
    {{- with $controller.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- with $controller.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    {{- include "ringway.affinity" (dict "root" . "component" "proxy" "affinity" $controller.affinity) | nindent 4 }}
  {{- with $controller.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  volumes:
    {{- if .Values.proxy.stateDir.enabled }}
    - name: state
      emptyDir:
        medium: Memory
        sizeLimit: {{ .Values.proxy.stateDir.sizeLimit }}
    {{- end }}
    {{- if $single }}
    - name: socket
      emptyDir:
        medium: Memory
        sizeLimit: 1Mi
    - {{- include "ringway.tokenVolume" . | nindent 6 }}
    {{- with include "ringway.admissionVolume" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- else }}
    - name: link
      secret:
        secretName: {{ include "ringway.link.proxySecret" . }}
        defaultMode: 0440
    {{- end }}
    {{- with $controller.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "ringway.proxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}{{- include "ringway.proxy.fullname" . -}}{{- else -}}default{{- end -}}
{{- end -}}
