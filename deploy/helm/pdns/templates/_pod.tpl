{{- define "pdns.pod" -}}
{{- $name := include "pdns.fullname" . }}
{{- $low := lt (int .Values.dns.port) 1024 }}
metadata:
  labels:
    {{- include "pdns.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    kubectl.kubernetes.io/default-container: pdns
    {{- if .Values.rolloutOnConfigChange }}
    checksum/config: {{ printf "%s\n%s" (include "pdns.config" .) .Values.extraConfig | sha256sum }}
    {{- end }}
    {{- if .Values.secretFiles.create }}
    checksum/secrets: {{ toJson .Values.secretFiles.create | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "pdns.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.dns.hostNetwork }}
  hostNetwork: true
  {{- end }}
  dnsPolicy: {{ .Values.dnsPolicy }}
  {{- with .Values.dnsConfig }}
  dnsConfig: {{- toYaml . | nindent 4 }}
  {{- end }}
  # The sleep, server.drain_s, two seconds for the processes, and a reserve.
  terminationGracePeriodSeconds: {{ add (int .Values.preStopSleepSeconds) (int (include "pdns.drain" .)) 12 }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- $security := dict "runAsNonRoot" true "runAsUser" 10053 "runAsGroup" 10053 "fsGroup" 10053 "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") }}
  {{- if and $low (not .Values.dns.hostNetwork) }}
  {{- $_ := set $security "sysctls" (list (dict "name" "net.ipv4.ip_unprivileged_port_start" "value" (toString .Values.dns.port))) }}
  {{- end }}
  securityContext: {{- mergeOverwrite $security (deepCopy .Values.podSecurityContext) | toYaml | nindent 4 }}
  containers:
    - name: pdns
      image: {{ include "pdns.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: ["serve", "-c", "/etc/protective-dns/pdns.toml"]
      {{- with .Values.extraEnv }}
      env: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - { name: dns-udp, protocol: UDP, containerPort: {{ .Values.dns.port }}{{ with .Values.dns.hostPort }}, hostPort: {{ . }}{{ end }} }
        - { name: dns-tcp, protocol: TCP, containerPort: {{ .Values.dns.port }}{{ with .Values.dns.hostPort }}, hostPort: {{ . }}{{ end }} }
        {{- range $transport, $ports := include "pdns.encrypted" . | fromJson }}
        - { name: dns-{{ $transport }}, protocol: TCP, containerPort: {{ $ports.pod }}{{ if $.Values.dns.hostPort }}, hostPort: {{ $ports.service }}{{ end }} }
        {{- end }}
        - { name: metrics, protocol: TCP, containerPort: 9153 }
        {{- if .Values.admin.enabled }}
        - { name: admin, protocol: TCP, containerPort: 9154 }
        {{- end }}
      # Up to ten minutes: a start after a damaged volume may have to compile first. Queries are answered as soon as they can be.
      startupProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 300
      livenessProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: metrics }
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      lifecycle:
        preStop:
          exec:
            command: ["sleep", {{ .Values.preStopSleepSeconds | toString | quote }}]
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        runAsUser: 10053
        runAsGroup: 10053
        capabilities:
          drop: ["ALL"]
          {{- if $low }}
          add: ["NET_BIND_SERVICE"]
          {{- end }}
      volumeMounts:
        - { name: config, mountPath: /etc/protective-dns, readOnly: true }
        {{- if eq .Values.fleet.role "publisher" }}
        - { name: keys, mountPath: /run/secrets/protective-dns-keys, readOnly: true }
        {{- end }}
        {{- if or .Values.secretFiles.existingSecret .Values.secretFiles.create }}
        - { name: secrets, mountPath: /run/secrets/protective-dns, readOnly: true }
        {{- end }}
        - { name: state, mountPath: /var/lib/protective-dns }
        {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    # One volume of all files, as a directory: a file that is mounted by subPath would never change.
    - name: config
      projected:
        defaultMode: 0440
        sources:
          - configMap:
              name: {{ $name }}
              items:
                - { key: pdns.toml, path: pdns.toml }
                {{- if .Values.extraConfig }}
                - { key: extra.toml, path: conf.d/50-extra.toml }
                {{- end }}
          {{- if .Values.admin.enabled }}
          - secret:
              name: {{ .Values.admin.tokenSecret }}
              items: [{ key: token, path: admin/token }]
          - secret:
              name: {{ .Values.admin.tlsSecret }}
              items: [{ key: tls.crt, path: admin/tls.crt }, { key: tls.key, path: admin/tls.key }]
          {{- end }}
          {{- with .Values.encrypted.tlsSecret }}
          - secret:
              name: {{ . }}
              items: [{ key: tls.crt, path: certificate/tls.crt }, { key: tls.key, path: certificate/tls.key }]
          {{- end }}
          {{- if ne .Values.fleet.role "standalone" }}
          {{- with .Values.fleet.root.existingConfigMap }}
          - configMap:
              name: {{ . }}
              items: [{ key: {{ $.Values.fleet.root.key }}, path: fleet/{{ $.Values.fleet.root.key }} }]
          {{- end }}
          {{- with .Values.fleet.credentialsSecret }}
          - secret:
              name: {{ . }}
              items: [{ key: credentials, path: store/credentials }]
          {{- end }}
          {{- end }}
    {{- if or .Values.secretFiles.existingSecret .Values.secretFiles.create }}
    - name: secrets
      secret:
        secretName: {{ .Values.secretFiles.existingSecret | default (printf "%s-files" $name) }}
        defaultMode: 0440
    {{- end }}
    {{- if eq .Values.fleet.role "publisher" }}
    - name: keys
      secret:
        secretName: {{ .Values.fleet.keysSecret }}
        defaultMode: 0440
    {{- end }}
    {{- if or (ne .Values.kind "StatefulSet") (not .Values.persistence.enabled) }}
    - name: state
      emptyDir:
        sizeLimit: {{ .Values.persistence.size }}
    {{- end }}
    {{- with .Values.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.affinity }}
  affinity: {{- toYaml .Values.affinity | nindent 4 }}
  {{- else if ne .Values.kind "DaemonSet" }}
  affinity:
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels: {{- include "pdns.selector" . | nindent 16 }}
  {{- end }}
  {{- if ne .Values.kind "DaemonSet" }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "pdns.selector" $ | nindent 10 }}
    {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
