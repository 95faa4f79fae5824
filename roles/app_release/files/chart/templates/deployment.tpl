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
      {{- with .Values.secretVersions }}
      annotations:
        {{- range $name, $version := . }}
        secret.railiance.io/{{ $name }}: {{ $version | quote }}
        {{- end }}
      {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
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
      containers:
        - name: app
          image: {{ required "image is required" .Values.image }}
          imagePullPolicy: IfNotPresent
          ports:
            - name: http
              containerPort: {{ .Values.port }}
          env:
            {{- range $name, $value := .Values.environment }}
            - name: {{ $name }}
              value: {{ $value | quote }}
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
          startupProbe:
            {{- include "app.probe" . | nindent 12 }}
            periodSeconds: 2
            failureThreshold: 60
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
            # The proxy learns of the end a moment after the pod does: keep serving until it has.
            preStop:
              sleep:
                seconds: 5
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
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
      volumes:
        - name: tmp
          emptyDir: {}
        {{- if .Values.media }}
        - name: media
          persistentVolumeClaim:
            claimName: {{ .Release.Name }}-media
        {{- end }}
