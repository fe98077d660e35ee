{{/* The control plane's container and what it mounts. In one pod with the proxy it has no say in whether the pod is ready: the proxy is when it
     has a configuration, and serves on when the controller does not hear the API server. */}}

{{- define "ringway.controller.container" -}}
{{- $split := include "ringway.split" . -}}
{{- $webhook := .Values.controller.admissionWebhooks -}}
name: controller
image: {{ include "ringway.image" . }}
imagePullPolicy: {{ include "ringway.imagePullPolicy" . }}
command: [ringway-controller]
args:
  {{- include "ringway.controller.args" . | nindent 2 }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  {{- with .Values.controlPlane.extraEnvs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- if $split }}
  - name: link
    containerPort: {{ .Values.controlPlane.port }}
    protocol: TCP
  {{- end }}
  - name: admin
    containerPort: {{ .Values.controlPlane.adminPort }}
    protocol: TCP
  {{- if $webhook.enabled }}
  - name: webhook
    containerPort: {{ $webhook.port }}
    protocol: TCP
  {{- end }}
securityContext:
  {{- include "ringway.controller.securityContext" . | nindent 2 }}
livenessProbe:
  httpGet:
    path: /healthz
    port: admin
  initialDelaySeconds: 10
  periodSeconds: 10
  failureThreshold: 5
{{- if $split }}
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 2
{{- end }}
resources:
  {{- toYaml .Values.controlPlane.resources | nindent 2 }}
{{- with include "ringway.controller.mounts" . }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A YAML list, or nothing. */}}
{{- define "ringway.controller.mounts" -}}
{{- $mounts := list -}}
{{- if not (include "ringway.split" .) -}}
{{- $mounts = append $mounts (dict "name" "socket" "mountPath" "/run/ringway") -}}
{{- $mounts = append $mounts (dict "name" "api-token" "mountPath" "/var/run/secrets/kubernetes.io/serviceaccount" "readOnly" true) -}}
{{- else if ne .Values.link.certificates "controller" -}}
{{- $mounts = append $mounts (dict "name" "link" "mountPath" "/etc/ringway/link" "readOnly" true) -}}
{{- end -}}
{{- if include "ringway.admissionVolume" . -}}
{{- $mounts = append $mounts (dict "name" "admission" "mountPath" "/etc/ringway/admission" "readOnly" true) -}}
{{- end -}}
{{- if $mounts -}}{{- toYaml $mounts -}}{{- end -}}
{{- end -}}

{{/* The controllers' certificate of the link, when they do not make it themselves. A YAML list of at most one. */}}
{{- define "ringway.controller.linkVolume" -}}
{{- if and (include "ringway.split" .) (ne .Values.link.certificates "controller") -}}
- name: link
  secret:
    secretName: {{ include "ringway.link.controllerSecret" . }}
    defaultMode: 0440
{{- end -}}
{{- end -}}

{{/* The webhook's certificate. A YAML list of at most one. */}}
{{- define "ringway.admissionVolume" -}}
{{- if .Values.controller.admissionWebhooks.enabled -}}
- name: admission
  secret:
    secretName: {{ include "ringway.admission.secret" . }}
    defaultMode: 0440
{{- end -}}
{{- end -}}

{{- define "ringway.admission.fullname" -}}
{{- printf "%s-%s" (include "ringway.fullname" .) .Values.controller.admissionWebhooks.name -}}
{{- end -}}

{{- define "ringway.admission.secret" -}}
{{- default (printf "%s-tls" (include "ringway.admission.fullname" .)) .Values.controller.admissionWebhooks.existingSecret -}}
{{- end -}}

{{- define "ringway.link.controllerSecret" -}}
{{- if eq .Values.link.certificates "secret" -}}
{{- required "link.certificates is \"secret\": set link.secret.controllerName and link.secret.proxyName" .Values.link.secret.controllerName -}}
{{- else -}}
{{- printf "%s-controller-tls" (include "ringway.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "ringway.link.proxySecret" -}}
{{- if eq .Values.link.certificates "secret" -}}
{{- required "link.certificates is \"secret\": set link.secret.controllerName and link.secret.proxyName" .Values.link.secret.proxyName -}}
{{- else -}}
{{- printf "%s-proxy-tls" (include "ringway.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "ringway.link.caSecret" -}}
{{- printf "%s-ca" (include "ringway.fullname" .) -}}
{{- end -}}
