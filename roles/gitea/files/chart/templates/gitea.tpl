{{- $selector := dict "app.kubernetes.io/name" "gitea" "app.kubernetes.io/instance" .Release.Name }}
{{- $labels := merge (dict "app.kubernetes.io/managed-by" .Release.Service "app.kubernetes.io/part-of" "railiance-stack" "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version)) $selector }}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: gitea-data
  namespace: {{ .Release.Namespace }}
  labels:
    {{- toYaml $labels | nindent 4 }}
  annotations:
    # Repositories and images outlive the release.
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  {{- with .Values.storage.className }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .Values.storage.size }}
---
apiVersion: v1
kind: Service
metadata:
  name: gitea-http
  namespace: {{ .Release.Namespace }}
  labels:
    {{- toYaml $labels | nindent 4 }}
spec:
  selector:
    {{- toYaml $selector | nindent 4 }}
  ports:
    - name: http
      port: 3000
      targetPort: http
---
apiVersion: v1
kind: Service
metadata:
  name: gitea-ssh
  namespace: {{ .Release.Namespace }}
  labels:
    {{- toYaml $labels | nindent 4 }}
spec:
  type: NodePort
  selector:
    {{- toYaml $selector | nindent 4 }}
  ports:
    - name: ssh
      port: 22
      targetPort: ssh
      {{- with .Values.sshNodePort }}
      nodePort: {{ . }}
      {{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: gitea
  namespace: {{ .Release.Namespace }}
  labels:
    {{- toYaml $labels | nindent 4 }}
spec:
  replicas: 1
  revisionHistoryLimit: 3
  # One process owns the data directory.
  strategy:
    type: Recreate
  selector:
    matchLabels:
      {{- toYaml $selector | nindent 6 }}
  template:
    metadata:
      labels:
        {{- toYaml $selector | nindent 8 }}
      annotations:
        secret.railiance.io/{{ .Values.secret }}: {{ .Values.secretVersion | quote }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
        runAsGroup: 1000
        fsGroup: 1000
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: gitea
          image: {{ required "image is required" .Values.image }}
          imagePullPolicy: IfNotPresent
          env:
            {{- range $section, $keys := .Values.config }}
            {{- range $key, $value := $keys }}
            - name: GITEA__{{ $section | replace "." "_0X2E_" }}__{{ $key }}
              value: {{ $value | toString | quote }}
            {{- end }}
            {{- end }}
            - name: PGSSLROOTCERT
              value: /run/secrets/gitea/database_ca.crt
            {{- range .Values.secretConfig }}
            - name: GITEA__{{ . }}__FILE
              value: /run/secrets/gitea/{{ . }}
            {{- end }}
          ports:
            - name: http
              containerPort: 3000
            - name: ssh
              containerPort: 2222
          startupProbe:
            httpGet:
              path: /api/healthz
              port: http
            periodSeconds: 2
            timeoutSeconds: 3
            failureThreshold: 90
          readinessProbe:
            httpGet:
              path: /api/healthz
              port: http
            periodSeconds: 10
            timeoutSeconds: 5
          livenessProbe:
            # The health page includes the database: away, it must not restart Gitea.
            tcpSocket:
              port: http
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: data
              mountPath: /var/lib/gitea
            - name: config
              mountPath: /etc/gitea
            - name: tmp
              mountPath: /tmp
            - name: secrets
              mountPath: /run/secrets/gitea
              readOnly: true
      volumes:
        - name: data
          persistentVolumeClaim:
            claimName: gitea-data
        - name: config
          # The container writes app.ini with the secrets in it: in memory only.
          emptyDir:
            medium: Memory
        - name: tmp
          emptyDir: {}
        - name: secrets
          secret:
            secretName: {{ .Values.secret }}
            defaultMode: 0440
