{{- define "pdns.name" -}}{{ default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}{{- end }}

{{- define "pdns.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "pdns.name" .) .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name (include "pdns.name" .) | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "pdns.selector" -}}
app.kubernetes.io/name: {{ include "pdns.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: resolver
{{- end }}

{{- define "pdns.labels" -}}
{{ include "pdns.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "pdns.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "pdns.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "pdns.fullname" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "pdns.drain" -}}{{ (.Values.config.server).drain_s | default 5 | ceil | int }}{{- end }}

{{/* A value as TOML. Numbers of values files arrive as floats: whole ones are written as integers. */}}
{{- define "pdns.toml.value" -}}
{{- if kindIs "string" . }}{{ toJson . }}
{{- else if kindIs "bool" . }}{{ . }}
{{- else if kindIs "float64" . }}{{ if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else if or (kindIs "int" .) (kindIs "int64" .) }}{{ . }}
{{- else if kindIs "slice" . }}[{{ range $at, $one := . }}{{ if $at }}, {{ end }}{{ include "pdns.toml.value" $one }}{{ end }}]
{{- else if kindIs "map" . }}{ {{- $first := true }}{{ range $key, $one := . }}{{ if not $first }},{{ end }} {{ toJson $key }} = {{ include "pdns.toml.value" $one }}{{ $first = false }}{{ end }} }
{{- else }}{{ fail (printf "config: a value of kind %s has no place in TOML" (kindOf .)) }}
{{- end }}
{{- end }}

{{/* One table for each section; an array of tables for each list of maps. */}}
{{- define "pdns.toml" -}}
{{- range $section, $content := . }}
{{- if kindIs "map" $content }}

[{{ $section }}]
{{- range $key, $one := $content }}
{{ $key }} = {{ include "pdns.toml.value" $one }}
{{- end }}
{{- else if kindIs "slice" $content }}
{{- range $content }}

[[{{ $section }}]]
{{- range $key, $one := . }}
{{ $key }} = {{ include "pdns.toml.value" $one }}
{{- end }}
{{- end }}
{{- else }}{{ fail (printf "config.%s: expected a section or a list of sections" $section) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The encrypted transports that are served, and their ports: in the pod, and of the service. */}}
{{- define "pdns.encrypted" -}}
{{- $ports := dict "tls" (dict "pod" 8853 "service" 853) "https" (dict "pod" 8443 "service" 443) }}
{{- $served := dict }}
{{- if .Values.encrypted.tlsSecret }}
{{- range .Values.encrypted.transports }}{{ $_ := set $served . (get $ports .) }}{{ end }}
{{- end }}
{{- toJson $served }}
{{- end }}

{{- define "pdns.config" -}}
{{- $name := include "pdns.fullname" . }}
{{- $listen := list }}
{{- if .Values.dns.ipv4 }}{{ $listen = append $listen (printf "0.0.0.0:%d" (int .Values.dns.port)) }}{{ end }}
{{- if .Values.dns.ipv6 }}{{ $listen = append $listen (printf "[::]:%d" (int .Values.dns.port)) }}{{ end }}
{{- if not $listen }}{{ fail "dns: one of ipv4 and ipv6 must be true" }}{{ end }}
{{- $any := ternary "0.0.0.0" "[::]" .Values.dns.ipv4 }}
{{- $hosts := list $name (printf "%s-metrics" $name) (printf "%s-metrics.%s" $name .Release.Namespace) (printf "%s-metrics.%s.svc" $name .Release.Namespace) }}
{{- $own := dict "server" (dict "listen" $listen) "state" (dict "dir" "/var/lib/protective-dns/state") "metrics" (dict "listen" (printf "%s:9153" $any)) }}
{{- if .Values.admin.enabled }}
{{- if not (and .Values.admin.tokenSecret .Values.admin.tlsSecret) }}{{ fail "admin: the API needs tokenSecret and tlsSecret" }}{{ end }}
{{- $_ := set $own "admin" (dict "listen" (printf "%s:9154" $any) "token_file" "/etc/protective-dns/admin/token" "tls_cert_file" "/etc/protective-dns/admin/tls.crt" "tls_key_file" "/etc/protective-dns/admin/tls.key" "hosts" $hosts) }}
{{- end }}
{{- with .Values.fleet }}
{{- if ne .role "standalone" }}
{{- if not .store }}{{ fail "fleet.store: a node and a publisher need a store" }}{{ end }}
{{- $fleet := dict "role" .role "store" .store }}
{{- if .ring }}{{ $_ := set $fleet "ring" .ring }}{{ end }}
{{- if .credentialsSecret }}{{ $_ := set $fleet "credentials_file" "/etc/protective-dns/store/credentials" }}{{ end }}
{{- if eq .role "node" }}
{{- if not .root.existingConfigMap }}{{ fail "fleet.root.existingConfigMap: a node needs the root.json of its publisher" }}{{ end }}
{{- $_ := set $fleet "root_file" (printf "/etc/protective-dns/fleet/%s" .root.key) }}
{{- else }}
{{- if not .keysSecret }}{{ fail "fleet.keysSecret: a publisher needs its keys" }}{{ end }}
{{- if ne $.Values.kind "StatefulSet" }}{{ fail "fleet.role publisher: kind must be StatefulSet, whose volume keeps the state" }}{{ end }}
{{- if or (ne (int $.Values.replicas) 1) $.Values.autoscaling.enabled }}{{ fail "fleet.role publisher: replicas must be 1; a second publisher would stop itself" }}{{ end }}
{{- $_ := set $fleet "keys_dir" "/run/secrets/protective-dns-keys" }}
{{- end }}
{{- $_ := set $own "fleet" $fleet }}
{{- end }}
{{- end }}
{{- $listeners := list }}
{{- range $transport, $ports := include "pdns.encrypted" . | fromJson }}
{{- $at := list }}
{{- if $.Values.dns.ipv4 }}{{ $at = append $at (printf "0.0.0.0:%d" (int $ports.pod)) }}{{ end }}
{{- if $.Values.dns.ipv6 }}{{ $at = append $at (printf "[::]:%d" (int $ports.pod)) }}{{ end }}
{{- $listeners = append $listeners (dict "transport" $transport "listen" $at "cert_file" "/etc/protective-dns/certificate/tls.crt" "key_file" "/etc/protective-dns/certificate/tls.key") }}
{{- end }}
{{- if $listeners }}{{ $_ := set $own "listener" (concat (.Values.config.listener | default list) $listeners) }}{{ end }}
{{- $metrics := dict "metrics" (dict "hosts" $hosts) }}
{{- $config := mergeOverwrite $metrics (deepCopy .Values.config) $own }}
{{- if eq .Values.fleet.role "node" }}{{ $config = omit $config "feed" }}{{ end }}
{{- if and (hasPrefix "ClusterFirst" .Values.dnsPolicy) (has "system" (($config.upstream).servers | default (list "system"))) }}
{{- fail "config.upstream.servers: \"system\" with dnsPolicy ClusterFirst asks the cluster's DNS, which may forward to this service: name other servers" }}
{{- end }}
{{- "# Made by the chart. docs/config.md describes every key." }}
{{- include "pdns.toml" $config }}
{{- end }}
