{{/* Every object has one name: a cluster has one network, and a second release is to be refused. */}}
{{- define "overlay.labels" -}}
app.kubernetes.io/name: overlay
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "overlay.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "overlay.windowsImage" -}}
{{ .Values.windows.image.repository }}:{{ .Values.windows.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What a Windows node is configured by: the same, but for its paths. */}}
{{- define "overlay.windowsConfig" -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) .Values.windows.config) }}
{{- end }}

{{/* The folders of a Linux node that go into its containers, by the key that names them or a file in them. Each has one spelling. */}}
{{- define "overlay.folders" -}}
{{- $folders := dict "socket" (dir .socket) "stateDir" (clean .stateDir) "cni.confDir" (clean .cni.confDir) "cni.binDir" (clean .cni.binDir) "cni.ipamDir" (clean .cni.ipamDir) -}}
{{- with .kubeconfig -}}
{{- $_ := set $folders "kubeconfig" (dir .) -}}
{{- end -}}
{{- if ne .datastore "kubernetes" -}}
{{- $_ := set $folders "datastore" (trimPrefix "directory:" .datastore | clean) -}}
{{- end -}}
{{- toJson $folders -}}
{{- end }}

{{/* The action of a probe: its path at config.health.address, or a command where there is no address. One that stands for all addresses is asked for at loopback. */}}
{{- define "overlay.probe" -}}
{{- with .config.health.address -}}
{{- $port := splitList ":" . | last -}}
{{- $host := trimSuffix (printf ":%s" $port) . | trimPrefix "[" | trimSuffix "]" -}}
httpGet:
  host: {{ get (dict "" "127.0.0.1" "0.0.0.0" "127.0.0.1" "::" "::1") $host | default $host | quote }}
  port: {{ $port }}
  path: {{ $.path }}
{{- else -}}
exec:
  command: {{ .command | toJson }}
{{- end }}
{{- end }}
