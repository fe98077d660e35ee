{{/* What pods have in common: security contexts, scheduling. Pod Security level "restricted" unless a value asks for more. */}}

{{- define "ringway.seccompProfile" -}}
type: {{ .Values.seccomp.type }}
{{- if eq .Values.seccomp.type "Localhost" }}
localhostProfile: {{ .Values.seccomp.localhostProfile }}
{{- end }}
{{- end -}}

{{/* The proxy's pod: sysctls and supplemental groups are of the pod, the rest of the containers. */}}
{{- define "ringway.proxy.podSecurityContext" -}}
{{- $controller := .Values.controller -}}
{{- $context := dict "fsGroup" ($controller.image.runAsGroup | int64) "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- $sysctls := list -}}
{{- range $name, $value := $controller.sysctls -}}
{{- $sysctls = append $sysctls (dict "name" $name "value" ($value | toString)) -}}
{{- end -}}
{{- if and (include "ringway.lowPorts" .) (not $controller.hostNetwork) (not (hasKey $controller.sysctls "net.ipv4.ip_unprivileged_port_start")) -}}
{{- $sysctls = append $sysctls (dict "name" "net.ipv4.ip_unprivileged_port_start" "value" "0") -}}
{{- end -}}
{{- if $sysctls -}}{{- $_ := set $context "sysctls" $sysctls -}}{{- end -}}
{{- toYaml (mergeOverwrite $context (deepCopy $controller.podSecurityContext)) -}}
{{- end -}}

{{- define "ringway.proxy.securityContext" -}}
{{- $controller := .Values.controller -}}
{{- if $controller.containerSecurityContext -}}
{{- toYaml $controller.containerSecurityContext -}}
{{- else -}}
{{- $image := $controller.image -}}
{{- $profile := include "ringway.seccompProfile" . | fromYaml -}}
{{- if $image.seccompProfile -}}{{- $profile = $image.seccompProfile -}}{{- end -}}
{{- $context := dict "allowPrivilegeEscalation" $image.allowPrivilegeEscalation "readOnlyRootFilesystem" $image.readOnlyRootFilesystem "runAsNonRoot" $image.runAsNonRoot "runAsUser" ($image.runAsUser | int64) "runAsGroup" ($image.runAsGroup | int64) "capabilities" (dict "drop" (list "ALL")) "seccompProfile" $profile -}}
{{- if and $controller.hostNetwork (include "ringway.lowPorts" .) -}}
{{- $_ := set $context "runAsNonRoot" false -}}
{{- $_ := set $context "runAsUser" 0 -}}
{{- $_ := set $context "capabilities" (dict "drop" (list "ALL") "add" (list "NET_BIND_SERVICE")) -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}
{{- end -}}

{{- define "ringway.controller.securityContext" -}}
{{- if .Values.controlPlane.containerSecurityContext -}}
{{- toYaml .Values.controlPlane.containerSecurityContext -}}
{{- else -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ .Values.controller.image.runAsUser | int64 }}
runAsGroup: {{ .Values.controller.image.runAsGroup | int64 }}
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}
{{- end -}}

{{/* Call with (dict "root" $ "component" "proxy" "affinity" … ). Empty: spread over nodes where possible. */}}
{{- define "ringway.affinity" -}}
{{- if .affinity -}}
{{- tpl (toYaml .affinity) .root -}}
{{- else -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "ringway.componentSelector" . | nindent 12 }}
{{- end -}}
{{- end -}}

{{/* A kubelet's probe of an admin endpoint: timing from the values, path and port from here. */}}
{{- define "ringway.probe" -}}
{{- $timing := omit (deepCopy .probe) "httpGet" "exec" "tcpSocket" "grpc" -}}
{{- toYaml (merge (dict "httpGet" (dict "path" .path "port" .port "scheme" "HTTP")) $timing) -}}
{{- end -}}

{{/* The token as the kubelet would mount it, for one container of a pod that has none otherwise. */}}
{{- define "ringway.tokenVolume" -}}
name: api-token
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3607
    - configMap:
        name: kube-root-ca.crt
        items:
          - key: ca.crt
            path: ca.crt
    - downwardAPI:
        items:
          - path: namespace
            fieldRef:
              fieldPath: metadata.namespace
{{- end -}}
