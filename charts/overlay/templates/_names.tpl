{{/* Every object has one name: a cluster has one network, and a second release is to be refused. */}}
{{- define "overlay.labels" -}}
app.kubernetes.io/name: overlay
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "overlay.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
