{{/* What every pod of the application is made of: the serving one and those of its schedules. */}}
{{- define "app.annotations" -}}
{{- range $name, $version := .Values.secretVersions }}
secret.railiance.io/{{ $name }}: {{ $version | quote }}
{{- end }}
{{- with .Values.config.version }}
config.railiance.io/version: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "app.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
# A lost answer of the cluster's name server costs a second, not the resolver's five: somebody waits for the connection.
dnsConfig:
  options:
    - name: timeout
      value: "1"
    - name: attempts
      value: "5"
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.user }}
  runAsGroup: {{ .Values.user }}
  fsGroup: {{ .Values.user }}
  seccompProfile:
    type: RuntimeDefault
volumes:
  - name: tmp
    emptyDir: {}
  {{- if .Values.media }}
  - name: media
    persistentVolumeClaim:
      claimName: {{ .Release.Name }}-media
  {{- end }}
  {{- with .Values.config }}
  {{- if .files }}
  - name: config
    configMap:
      name: {{ .name }}
      items:
        {{- range .files }}
        - key: {{ . }}
          path: {{ . }}
        {{- end }}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "app.container" -}}
name: app
image: {{ required "image is required" .Values.image }}
imagePullPolicy: IfNotPresent
env:
  {{- range $name, $value := .Values.environment }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
  {{- range .Values.config.environment }}
  - name: {{ . }}
    valueFrom:
      configMapKeyRef:
        name: {{ $.Values.config.name }}
        key: {{ . }}
  {{- end }}
  {{- with .Values.media }}
  - name: MEDIA_ROOT
    value: {{ .path | quote }}
  {{- end }}
  {{- range .Values.secretKeys }}
  - name: {{ .name }}
    valueFrom:
      secretKeyRef:
        name: {{ .secret }}
        key: {{ .key }}
  {{- end }}
{{- with .Values.secretEnvironment }}
envFrom:
  {{- range . }}
  - secretRef:
      name: {{ . }}
  {{- end }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with .Values.media }}
  - name: media
    mountPath: {{ .path }}
  {{- end }}
  {{- with .Values.config }}
  {{- if .files }}
  - name: config
    mountPath: {{ .path }}
    readOnly: true
  {{- end }}
  {{- end }}
{{- end }}
