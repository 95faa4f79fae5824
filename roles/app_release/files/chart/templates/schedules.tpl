{{- range .Values.schedules }}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ $.Release.Name }}-{{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "app.labels" $ | nindent 4 }}
spec:
  schedule: {{ .schedule | quote }}
  timeZone: {{ .time_zone | default "Etc/UTC" | quote }}
  suspend: {{ .suspend | default false }}
  # A run that takes too long is ended, and never overlaps the next one.
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 300
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    metadata:
      labels:
        {{- include "app.schedule" (dict "release" $.Release "name" .name) | nindent 8 }}
    spec:
      activeDeadlineSeconds: {{ .deadline | default 3600 | int }}
      backoffLimit: 0
      template:
        metadata:
          labels:
            {{- include "app.schedule" (dict "release" $.Release "name" .name) | nindent 12 }}
        spec:
          restartPolicy: Never
          {{- include "app.pod" $ | nindent 10 }}
          containers:
            - {{- include "app.container" $ | nindent 14 }}
              command:
                {{- toYaml .command | nindent 16 }}
{{- end }}
