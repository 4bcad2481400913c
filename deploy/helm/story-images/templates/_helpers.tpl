{{- define "story-images.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The alerts look for the job story-images, which is the name here: so no value changes it. */}}
{{- define "story-images.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "story-images.labels" -}}
{{ include "story-images.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "story-images.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "story-images.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "story-images.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "story-images.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "story-images.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A value of settings as text: Helm reads large numbers as floating point. */}}
{{- define "story-images.text" -}}
{{- if kindIs "float64" . -}}{{- printf "%.0f" . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{/* A setting by its name, or its default: (list . "UPLOAD_MEMORY"). */}}
{{- define "story-images.setting" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- if not (kindIs "invalid" (index $root.Values.settings $name)) -}}
{{- include "story-images.text" (index $root.Values.settings $name) -}}
{{- else -}}
{{- get ($root.Files.Get "files/defaults.json" | fromJson) $name -}}
{{- end -}}
{{- end -}}

{{/* The bytes of a size. */}}
{{- define "story-images.bytes" -}}
{{- $size := include "story-images.setting" . | lower | nospace -}}
{{- $units := dict "" 1 "b" 1 "kib" 1024 "mib" 1048576 "gib" 1073741824 -}}
{{- mul (regexFind "^[0-9]+" $size | int64) (get $units (regexFind "[a-z]*$" $size)) -}}
{{- end -}}

{{/* The milliseconds of a duration. */}}
{{- define "story-images.milliseconds" -}}
{{- $duration := include "story-images.setting" . | nospace -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- mul (regexFind "^[0-9]+" $duration | int64) (get $units (regexFind "[a-z]+$" $duration)) -}}
{{- end -}}

{{/* The seconds that a pod needs to end: both phases of a shutdown, and ten for the process. */}}
{{- define "story-images.gracePeriod" -}}
{{- $delay := include "story-images.milliseconds" (list . "SHUTDOWN_DELAY") | int64 -}}
{{- $timeout := include "story-images.milliseconds" (list . "SHUTDOWN_TIMEOUT") | int64 -}}
{{- add (div (add $delay $timeout 999) 1000) 10 -}}
{{- end -}}

{{/* Requests and limits, by the table of docs/memory.md. */}}
{{- define "story-images.resources" -}}
{{- $mib := 1048576 -}}
{{- $settings := .Values.settings -}}
{{- $uploads := include "story-images.bytes" (list . "UPLOAD_MEMORY") | int64 -}}
{{- $images := mul (div $uploads 262144) 393216 -}}
{{- $isFar := and $settings.S3_BUCKET (not $settings.S3_ENDPOINT) -}}
{{- $calls := $settings.LIST_CONCURRENCY | default (ternary 16 1 (not (not $isFar))) -}}
{{- $lists := add (mul 64 2 $mib) (mul (include "story-images.text" $calls | int64) 4 $mib) -}}
{{- $connections := mul 10000 30 1024 -}}
{{- $variants := include "story-images.setting" (list . "VARIANT_CONCURRENCY") | int64 -}}
{{- $limit := add (mul 200 $mib) $uploads $images $lists $connections (mul $variants 768 $mib) -}}
{{- $request := add (mul 200 $mib) $uploads (mul $variants 256 $mib) -}}
requests:
  cpu: 500m
  memory: {{ div (add $request $mib -1) $mib }}Mi
limits:
  memory: {{ div (add $limit $mib -1) $mib }}Mi
{{- end -}}

{{/* The names by which clients call a server without keys, which refuses others. */}}
{{- define "story-images.allowedHosts" -}}
{{- $name := include "story-images.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $hosts := list $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) (printf "%s.%s.svc.cluster.local" $name $namespace) -}}
{{- if .Values.ingress.enabled -}}{{- $hosts = concat $hosts .Values.ingress.hosts -}}{{- end -}}
{{- if .Values.httpRoute.enabled -}}{{- $hosts = concat $hosts .Values.httpRoute.hostnames -}}{{- end -}}
{{- $names := list -}}
{{- range $hosts -}}{{- if not (contains "*" .) -}}{{- $names = append $names . -}}{{- end -}}{{- end -}}
{{- $names | uniq | join "," -}}
{{- end -}}

{{/* The port of the store, for the network policy. */}}
{{- define "story-images.portOf" -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
{{- $port | default (hasPrefix "https:" . | ternary "443" "80") -}}
{{- end -}}
