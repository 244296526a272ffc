{{/* What the pods of scheduler, API and workers have in common. Each takes (dict "root" $ "values" COMPONENT …). */}}

{{- define "updraft.pod.metadata" -}}
annotations:
  {{- include "updraft.checksums" .root | nindent 2 }}
  {{- if .values.safeToEvict }}
  cluster-autoscaler.kubernetes.io/safe-to-evict: "true"
  {{- end }}
  {{- with merge (deepCopy (default dict .values.podAnnotations)) .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- include "updraft.podLabels" . | nindent 2 }}
  {{- with .group }}
  updraft.dev/worker-group: {{ . }}
  {{- end }}
  {{- with .values.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "updraft.pod.spec" -}}
# A service named "updraft" would put UPDRAFT_PORT=tcp://… into every container, and that is a flag.
enableServiceLinks: false
securityContext:
  {{- toYaml (mergeOverwrite (deepCopy .root.Values.securityContexts.pod) (default dict .values.securityContexts.pod)) | nindent 2 }}
terminationGracePeriodSeconds: {{ include "updraft.scalar" .values.terminationGracePeriodSeconds }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .root.Values.nodeSelector .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .root.Values.affinity .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .root.Values.tolerations .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .root.Values.topologySpreadConstraints .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .root.Values.priorityClassName .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.extraInitContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "updraft.container.image" -}}
image: {{ include "updraft.image" .root | quote }}
imagePullPolicy: {{ .root.Values.images.updraft.pullPolicy }}
securityContext:
  {{- toYaml (mergeOverwrite (deepCopy .root.Values.securityContexts.containers) (default dict (default dict .values.securityContexts).containers)) | nindent 2 }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- end -}}

{{/* Takes (dict "root" $ "port" NAME). */}}
{{- define "updraft.container.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ .port }}}
  {{- toYaml .root.Values.probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: {{ .port }}}
  {{- toYaml .root.Values.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  {{- toYaml .root.Values.probes.readiness | nindent 2 }}
{{- end -}}

{{/* Variables of every role but the dag-processor. Secrets are names of files: an environment is read more easily than a file. */}}
{{- define "updraft.container.env" -}}
{{- $values := .root.Values -}}
- name: UPDRAFT_HEALTH_ADDRESS
  value: {{ include "updraft.listen" (dict "root" .root "port" 8081) | quote }}
- name: UPDRAFT_DATABASE_URL_FILE
  value: /run/secrets/updraft/database/connection
- name: UPDRAFT_BROKER_URL_FILE
  value: /run/secrets/updraft/broker/connection
{{- range $name, $tls := dict "DATABASE" $values.data.metadataTls "BROKER" $values.data.brokerTls }}
{{- if $tls.secretName }}
{{- $folder := printf "/run/secrets/updraft/%s-tls" (lower $name) }}
{{- with $tls.caKey }}
- name: UPDRAFT_{{ $name }}_CA
  value: {{ $folder }}/{{ . }}
{{- end }}
{{- with $tls.certKey }}
- name: UPDRAFT_{{ $name }}_CERT
  value: {{ $folder }}/{{ . }}
{{- end }}
{{- with $tls.keyKey }}
- name: UPDRAFT_{{ $name }}_KEY
  value: {{ $folder }}/{{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- if ne .component "api" }}
- name: UPDRAFT_POD_POLICY
  value: /etc/updraft/pod-policy.yaml
{{- end }}
{{- include "updraft.container.otel" $values.otel }}
{{- end -}}

{{/* Traces. Takes the values `otel`. Headers are a variable, since no exporter reads them from a file; tasks get none of these. */}}
{{- define "updraft.container.otel" -}}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol | quote }}
- name: OTEL_SERVICE_NAME
  value: {{ default "updraft" .serviceName | quote }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler | quote }}
{{- with include "updraft.scalar" .samplerArg }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ . | quote }}
{{- end }}
{{- if .resourceAttributes }}
{{- $pairs := list }}
{{- range $name, $value := .resourceAttributes }}
{{- $pairs = append $pairs (printf "%s=%s" $name ($value | urlquery | replace "+" "%20")) }}
{{- end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ join "," $pairs | quote }}
{{- end }}
{{- with .headersSecretName }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $.headersSecretKey }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* What users add, after ours: the later one of a name counts. */}}
{{- define "updraft.container.extraEnv" -}}
{{- with .root.Values.env }}
{{ toYaml . }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ if kindIs "string" . }}{{ tpl . $.root | trim }}{{ else }}{{ toYaml . }}{{ end }}
{{- end }}
{{- with .values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "updraft.container.envFrom" -}}
envFrom:
  - configMapRef:
      name: {{ include "updraft.fullname" .root }}-config
  {{- with .root.Values.extraEnvFrom }}
  {{- if kindIs "string" . }}{{ tpl . $.root | trim | nindent 2 }}{{ else }}{{ toYaml . | nindent 2 }}{{ end }}
  {{- end }}
{{- end -}}

{{- define "updraft.container.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: database
  mountPath: /run/secrets/updraft/database
  readOnly: true
- name: broker
  mountPath: /run/secrets/updraft/broker
  readOnly: true
{{- if .root.Values.data.metadataTls.secretName }}
- name: database-tls
  mountPath: /run/secrets/updraft/database-tls
  readOnly: true
{{- end }}
{{- if .root.Values.data.brokerTls.secretName }}
- name: broker-tls
  mountPath: /run/secrets/updraft/broker-tls
  readOnly: true
{{- end }}
{{- if ne .component "api" }}
- name: pod-policy
  mountPath: /etc/updraft
  readOnly: true
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Only the keys that we read: a Secret may hold more, such as a trial server's password. */}}
{{- define "updraft.pod.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
- name: database
  secret:
    secretName: {{ include "updraft.secret.database" .root }}
    defaultMode: 0440
    items: [{key: connection, path: connection}]
- name: broker
  secret:
    secretName: {{ include "updraft.secret.broker" .root }}
    defaultMode: 0440
    items: [{key: connection, path: connection}]
{{- with .root.Values.data.metadataTls.secretName }}
- name: database-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .root.Values.data.brokerTls.secretName }}
- name: broker-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if ne .component "api" }}
- name: pod-policy
  configMap:
    name: {{ include "updraft.fullname" .root }}-pod-policy
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
