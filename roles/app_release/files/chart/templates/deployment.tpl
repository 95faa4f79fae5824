apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "app.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      {{- include "app.selector" . | nindent 6 }}
  strategy:
    # A new pod serves before an old one goes.
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  template:
    metadata:
      labels:
        {{- include "app.selector" . | nindent 8 }}
      {{- with include "app.annotations" . | trim }}
      annotations:
        {{- . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "app.pod" . | nindent 6 }}
      # The sleep below, and then what the program takes to finish its requests.
      terminationGracePeriodSeconds: 60
      containers:
        - {{- include "app.container" . | nindent 10 }}
          {{- with .Values.command }}
          command:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - name: http
              containerPort: {{ .Values.port }}
          startupProbe:
            {{- include "app.probe" . | nindent 12 }}
            periodSeconds: 1
            failureThreshold: 120
          readinessProbe:
            {{- include "app.probe" . | nindent 12 }}
            periodSeconds: 5
            timeoutSeconds: 3
          livenessProbe:
            # Alive is not ready: a database that is away must not restart the application.
            tcpSocket:
              port: http
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          lifecycle:
            # The proxy learns of the end later than the pod does, on a busy server by seconds: keep serving until it has.
            preStop:
              sleep:
                seconds: 15
