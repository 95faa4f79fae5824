{{- define "app.labels" -}}
{{ include "app.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: railiance-stack
{{- end }}

{{- define "app.selector" -}}
app.kubernetes.io/name: {{ .Release.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* A name of its own: the Service must not send requests to a command. */}}
{{- define "app.schedule" -}}
app.kubernetes.io/name: {{ .release.Name }}-{{ .name }}
app.kubernetes.io/instance: {{ .release.Name }}
app.kubernetes.io/part-of: railiance-stack
{{- end }}

{{/* What a probe sends: the public host, and that TLS ended at the proxy. */}}
{{- define "app.probe" -}}
httpGet:
  path: {{ .Values.healthPath }}
  port: http
  httpHeaders:
    - name: Host
      value: {{ .Values.host | quote }}
    - name: X-Forwarded-Proto
      value: https
{{- end }}
