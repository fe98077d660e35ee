{{/* Rights of the controllers, each list with what it is for. Proxies have none. */}}

{{/* In every namespace whose Ingresses are served. */}}
{{- define "ringway.rules.served" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
# Certificates, by the names that Ingresses give. RBAC cannot say "those that are referred to", so this allows more than is used: a
# controller asks for single names only. Value rbac.secrets.
- apiGroups: [""]
  resources: [secrets]
  verbs: {{ get (dict "get" "[get]" "watch" "[get, watch]" "list" "[get, list, watch]") .Values.rbac.secrets }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "ringway.rules.cluster" -}}
{{- if not .Values.rbac.scope }}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [get, list, watch]
{{- if include "ringway.namespaceSelector" . }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end }}
{{- if include "ringway.showsNodes" . }}
# Without a load balancer, Ingresses show the addresses of the nodes that proxies run on.
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end }}
{{- end }}
{{- end -}}

{{/* "true" when addresses may be those of nodes: no Service is published, one with node ports, or one of a type that is not known here. */}}
{{- define "ringway.showsNodes" -}}
{{- $controller := .Values.controller -}}
{{- $own := $controller.service -}}
{{- $external := and $own.enabled $own.external.enabled -}}
{{- $type := ternary $own.type (default $own.type $own.internal.type) $external -}}
{{- $address := ternary $own.clusterIP $own.internal.clusterIP $external -}}
{{- $foreign := or $controller.publishService.pathOverride (include "ringway.extraArg" (dict "root" . "name" "publish-service")) -}}
{{- if include "ringway.extraArg" (dict "root" . "name" "publish-status-address") -}}
{{- else if or $foreign (not (include "ringway.publishService" .)) (eq $type "NodePort") (eq $address "None") -}}true{{- end -}}
{{- end -}}

{{/* In the release's own namespace. */}}
{{- define "ringway.rules.own" -}}
# Leader election: a Lease cannot be created by name only.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "ringway.electionID" . }}]
  verbs: [get, update]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames:
    - {{ include "ringway.controller.fullname" . }}
    {{- range $suffix := list "tcp" "udp" "custom-proxy-headers" "custom-add-headers" }}
    - {{ include "ringway.fullname" $ }}-{{ $suffix }}
    {{- end }}
  verbs: [get, watch]
# The Service that is published, the default backend, the pods of the proxies.
- apiGroups: [""]
  resources: [services, pods]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
{{- if include "ringway.makesCertificates" . }}
# The authority and the certificates that are made from it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames:
    - {{ include "ringway.link.caSecret" . }}
    - {{ include "ringway.link.proxySecret" . }}
  verbs: [get, update]
{{- end }}
{{- end -}}

{{/* "true" when controllers keep an authority of their own. */}}
{{- define "ringway.makesCertificates" -}}
{{- if and (include "ringway.split" .) (eq .Values.link.certificates "controller") -}}true{{- end -}}
{{- end -}}

{{/* A Role or ClusterRole and its binding. Call with (dict "root" $ "name" … "namespace" … "rules" …). Without a namespace: of the cluster. */}}
{{- define "ringway.role" -}}
{{- $kind := ternary "Role" "ClusterRole" (hasKey . "namespace") -}}
{{- $metadata := dict "root" .root "name" .name "component" "controller" "namespace" (get . "namespace") "cluster" (eq $kind "ClusterRole") -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- include "ringway.metadata" $metadata | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- include "ringway.metadata" $metadata | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "ringway.serviceAccountName" .root }}
    namespace: {{ include "ringway.namespace" .root }}
{{ end -}}
