{{/* A Service in front of the proxies. Call with (dict "root" $ "name" … "values" … "defaults" …): the internal Service takes ports from the external one. */}}
{{- define "ringway.proxy.service" -}}
{{- $root := .root -}}
{{- $service := .values -}}
{{- $type := default "LoadBalancer" (default .defaults.type $service.type) -}}
{{- $enabled := dict "http" .defaults.enableHttp "https" .defaults.enableHttps -}}
{{- $nodePorts := has $type (list "NodePort" "LoadBalancer") -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "ringway.metadata" (dict "root" $root "name" .name "component" "proxy" "labels" .labels "annotations" $service.annotations) | nindent 2 }}
spec:
  type: {{ $type }}
  {{- include "ringway.serviceFields" (dict "service" $service "type" $type) | nindent 2 }}
  ports:
    {{- range $scheme := list "http" "https" }}
    {{- if get $enabled $scheme }}
    - name: {{ $scheme }}
      port: {{ default (get $.defaults.ports $scheme) (get $service.ports $scheme) }}
      protocol: TCP
      targetPort: {{ default (get $.defaults.targetPorts $scheme) (get $service.targetPorts $scheme) }}
      {{- if $service.appProtocol }}
      appProtocol: {{ $scheme }}
      {{- end }}
      {{- if and $nodePorts (get $service.nodePorts $scheme) }}
      nodePort: {{ get $service.nodePorts $scheme | int }}
      {{- end }}
    {{- end }}
    {{- end }}
    {{- range $protocol := list "tcp" "udp" }}
    {{- range $port, $_ := get $root.Values $protocol }}
    {{- $name := include "ringway.l4PortName" (dict "prefix" $root.Values.portNamePrefix "port" $port "protocol" $protocol) }}
    - name: {{ $name }}
      port: {{ $port | int }}
      protocol: {{ upper $protocol }}
      targetPort: {{ $name }}
      {{- if $nodePorts }}
      {{- with get (default dict (get $service.nodePorts $protocol)) ($port | toString) }}
      nodePort: {{ . | int }}
      {{- end }}
      {{- end }}
    {{- end }}
    {{- end }}
  selector:
    {{- include "ringway.componentSelector" (dict "root" $root "component" "proxy") | nindent 4 }}
{{- end -}}

{{/* Fields of a Service's spec that are passed on as they are; some are refused by the API for other types. */}}
{{- define "ringway.serviceFields" -}}
{{- $service := .service -}}
{{- $out := dict -}}
{{- range $key := list "clusterIP" "clusterIPs" "externalIPs" "sessionAffinity" "trafficDistribution" "ipFamilyPolicy" "ipFamilies" "internalTrafficPolicy" -}}
{{- with get $service $key -}}{{- $_ := set $out $key . -}}{{- end -}}
{{- end -}}
{{- if eq .type "LoadBalancer" -}}
{{- range $key := list "loadBalancerIP" "loadBalancerClass" "loadBalancerSourceRanges" "healthCheckNodePort" -}}
{{- with get $service $key -}}{{- $_ := set $out $key . -}}{{- end -}}
{{- end -}}
{{- if kindIs "bool" (get $service "allocateLoadBalancerNodePorts") -}}
{{- $_ := set $out "allocateLoadBalancerNodePorts" $service.allocateLoadBalancerNodePorts -}}
{{- end -}}
{{- end -}}
{{- if or (has .type (list "LoadBalancer" "NodePort")) (get $service "externalIPs") -}}
{{- with get $service "externalTrafficPolicy" -}}{{- $_ := set $out "externalTrafficPolicy" . -}}{{- end -}}
{{- end -}}
{{- if $out -}}{{- toYaml $out -}}{{- end -}}
{{- end -}}
