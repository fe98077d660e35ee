{{/* Names, labels and the image. */}}

{{- define "ringway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 50: the longest suffix is "-controller-internal"-like; names of Services end at 63 characters. */}}
{{- define "ringway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "ringway.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 42 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringway.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "ringway.proxy.fullname" -}}
{{- printf "%s-proxy" (include "ringway.fullname" .) -}}
{{- end -}}

{{- define "ringway.controller.fullname" -}}
{{- printf "%s-controller" (include "ringway.fullname" .) -}}
{{- end -}}

{{/* The identity with rights in the API: controllers only. */}}
{{- define "ringway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ringway.controller.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "ringway.split" -}}
{{- if eq .Values.topology "split" -}}true{{- end -}}
{{- end -}}

{{- define "ringway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ringway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Call with (dict "root" $ "component" "proxy"). */}}
{{- define "ringway.componentSelector" -}}
{{ include "ringway.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "ringway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "ringway.selectorLabels" .root }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "ringway.name" .root }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* name, namespace and labels of an object. Call with (dict "root" $ "name" … "component" … "labels" … "annotations" … "cluster" true). */}}
{{- define "ringway.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ default (include "ringway.namespace" .root) .namespace }}
{{- end }}
labels:
  {{- include "ringway.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A name without a registry would be looked for in a public one, where it is anybody's: then it is that of an image loaded by hand. */}}
{{- define "ringway.image" -}}
{{- $image := .Values.image -}}
{{- $name := $image.repository -}}
{{- $registry := coalesce $image.registry .Values.global.image.registry (contains "/" $name | ternary "" "localhost") -}}
{{- if $registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" $registry) $name -}}{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion $image.tag | toString) -}}
{{- end -}}
{{- end -}}

{{- define "ringway.imagePullPolicy" -}}
{{- default .Values.image.pullPolicy .Values.controller.image.pullPolicy -}}
{{- end -}}

{{/* A value of the `extraArgs` map of ingress-nginx as text; "" when it is not there. Call with (dict "root" $ "name" "default-ssl-certificate"). */}}
{{- define "ringway.extraArg" -}}
{{- $args := default dict .root.Values.controller.extraArgs -}}
{{- if hasKey $args .name -}}
{{- $value := get $args .name -}}
{{- if not (kindIs "invalid" $value) -}}{{- $value | toString -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" when the flag is in `extraArgs` and not "false": ingress-nginx takes an empty value as true. */}}
{{- define "ringway.extraSwitch" -}}
{{- $args := default dict .root.Values.controller.extraArgs -}}
{{- if hasKey $args .name -}}
{{- $value := get $args .name | toString -}}
{{- if not (has $value (list "false" "0" "f" "F" "False" "FALSE")) -}}true{{- end -}}
{{- end -}}
{{- end -}}
