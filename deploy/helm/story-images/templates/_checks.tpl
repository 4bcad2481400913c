{{/* What a schema can't say: values that don't fit each other. */}}
{{- define "story-images.checks" -}}
{{- $settings := .Values.settings -}}
{{- $keys := .Values.secret.keys -}}
{{- $isOpen := eq (include "story-images.setting" (list . "ALLOW_OPEN")) "true" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is not set: say where you pushed the image, for instance registry.example.org/story-images" -}}
{{- end -}}
{{- if and $keys (not .Values.secret.name) -}}
{{- fail "secret.keys is set, but secret.name is not: name the Secret that has these keys" -}}
{{- end -}}
{{- if and .Values.secret.name (not $keys) -}}
{{- fail "secret.name is set, but secret.keys is not: list which variables the Secret has, for instance API_KEYS" -}}
{{- end -}}
{{- if not (or (has "API_KEYS" $keys) $isOpen) -}}
{{- fail "the server would not start without API_KEYS: put them into a Secret and set secret.name and secret.keys, or set settings.ALLOW_OPEN to true in a private network" -}}
{{- end -}}
{{- if and (eq (include "story-images.setting" (list . "PRIVATE_IMAGES")) "true") (not (has "SIGNING_SECRETS" $keys)) -}}
{{- fail "settings.PRIVATE_IMAGES needs SIGNING_SECRETS in secret.keys" -}}
{{- end -}}
{{- if and (has "PURGE_HEADER" $keys) (not (hasPrefix "http" ($settings.PURGE_URL | default ""))) -}}
{{- fail "PURGE_HEADER in secret.keys is for a settings.PURGE_URL that is a URL" -}}
{{- end -}}
{{- if ne (has "AWS_ACCESS_KEY_ID" $keys) (has "AWS_SECRET_ACCESS_KEY" $keys) -}}
{{- fail "secret.keys needs both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither" -}}
{{- end -}}
{{- if $settings.S3_BUCKET -}}
{{- if .Values.persistence.enabled -}}
{{- fail "persistence.enabled and settings.S3_BUCKET are both set: images go into the bucket or onto the volume" -}}
{{- end -}}
{{- else -}}
{{- range $name, $value := $settings -}}
{{- if and (hasPrefix "S3_" $name) (not (kindIs "invalid" $value)) -}}
{{- fail (printf "settings.%s is set, but settings.S3_BUCKET is not" $name) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.persistence.enabled -}}
{{- fail "there is no store: set settings.S3_BUCKET, or persistence.enabled for a volume and one replica" -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "autoscaling.enabled needs settings.S3_BUCKET: the disk store is for one server" -}}
{{- end -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail (printf "replicas is %d, but the disk store is for one server: set replicas to 1, or settings.S3_BUCKET" (int .Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- with .Values.terminationGracePeriodSeconds -}}
{{- $needed := include "story-images.gracePeriod" $ | int -}}
{{- if lt (int .) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but SHUTDOWN_DELAY (%s) and SHUTDOWN_TIMEOUT (%s) need %d: raise it, or lower them" (int .) (include "story-images.setting" (list $ "SHUTDOWN_DELAY")) (include "story-images.setting" (list $ "SHUTDOWN_TIMEOUT")) $needed) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (has "API_KEYS" $keys) (not .Values.podMonitor.keySecret.name) -}}
{{- fail "podMonitor.keySecret.name is not set: with API_KEYS, /metrics needs a key that has the scope metrics" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts is empty: name the hosts that lead to the server" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs is empty: name the Gateway" -}}
{{- end -}}
{{- end -}}
