{{/* Names, labels, versions: what all templates share. */}}

{{- define "updraft.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* 40 characters at most: the names of components and groups come after it, and 63 is the limit of a label. */}}
{{- define "updraft.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "updraft.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "updraft.selector" -}}
app.kubernetes.io/name: {{ include "updraft.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of an object. Takes (dict "root" $ "component" NAME). */}}
{{- define "updraft.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: updraft
{{ include "updraft.selector" .root }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "updraft.image" -}}
{{- $image := .Values.images.updraft -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* Numbers of values are floats to Helm: 2000000 would be written 2e+06. */}}
{{- define "updraft.scalar" -}}
{{- if kindIs "slice" . -}}
{{- $words := list -}}
{{- range . }}{{ $words = append $words (include "updraft.scalar" .) }}{{ end -}}
{{- join "," $words -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "updraft.kubeVersion" -}}
{{- default .Capabilities.KubeVersion.Version .Values.capabilities.kubeVersion -}}
{{- end -}}

{{/* Takes (dict "root" $ "version" "keda.sh/v1alpha1"): "true" or nothing. */}}
{{- define "updraft.serverHas" -}}
{{- if or (.root.Capabilities.APIVersions.Has .version) (has .version .root.Values.capabilities.apiVersions) }}true{{ end -}}
{{- end -}}

{{- define "updraft.pdbVersion" -}}
{{- if semverCompare ">=1.21-0" (include "updraft.kubeVersion" .) }}policy/v1{{ else }}policy/v1beta1{{ end -}}
{{- end -}}

{{- define "updraft.hpaVersion" -}}
{{- if semverCompare ">=1.23-0" (include "updraft.kubeVersion" .) }}autoscaling/v2{{ else }}autoscaling/v2beta2{{ end -}}
{{- end -}}

{{- define "updraft.httpRouteVersion" -}}
{{- if include "updraft.serverHas" (dict "root" . "version" "gateway.networking.k8s.io/v1") -}}
gateway.networking.k8s.io/v1
{{- else -}}
gateway.networking.k8s.io/v1beta1
{{- end -}}
{{- end -}}

{{- define "updraft.serviceAccount.scheduler" -}}
{{- $a := .Values.scheduler.serviceAccount -}}
{{- if $a.create }}{{ default (printf "%s-scheduler" (include "updraft.fullname" .)) $a.name }}{{ else }}{{ default "default" $a.name }}{{ end -}}
{{- end -}}

{{- define "updraft.serviceAccount.api" -}}
{{- $a := .Values.apiServer.serviceAccount -}}
{{- if $a.create }}{{ default (printf "%s-api" (include "updraft.fullname" .)) $a.name }}{{ else }}{{ default "default" $a.name }}{{ end -}}
{{- end -}}

{{- define "updraft.serviceAccount.worker" -}}
{{- $a := .Values.workers.serviceAccount -}}
{{- if $a.create }}{{ default (printf "%s-worker" (include "updraft.fullname" .)) $a.name }}{{ else }}{{ default "default" $a.name }}{{ end -}}
{{- end -}}

{{/* The service account of tasks that name none. Empty: the namespace's own. */}}
{{- define "updraft.serviceAccount.task" -}}
{{- $a := .Values.taskServiceAccount -}}
{{- if $a.create }}{{ default (printf "%s-task" (include "updraft.fullname" .)) $a.name }}{{ else }}{{ $a.name }}{{ end -}}
{{- end -}}

{{- define "updraft.taskNamespaces" -}}
{{- toYaml (default (list .Release.Namespace) .Values.taskNamespaces) -}}
{{- end -}}

{{/* Secrets: the one that was named, or that of the trial server. */}}
{{- define "updraft.secret.database" -}}
{{- if .Values.postgresql.enabled -}}
{{- default (printf "%s-postgresql" (include "updraft.fullname" .)) .Values.postgresql.auth.existingSecret -}}
{{- else -}}
{{- .Values.data.metadataSecretName -}}
{{- end -}}
{{- end -}}

{{- define "updraft.secret.broker" -}}
{{- if .Values.rabbitmq.enabled -}}
{{- default (printf "%s-rabbitmq" (include "updraft.fullname" .)) .Values.rabbitmq.auth.existingSecret -}}
{{- else -}}
{{- .Values.data.brokerUrlSecretName -}}
{{- end -}}
{{- end -}}

{{- define "updraft.secret.api" -}}
{{- default (printf "%s-api" (include "updraft.fullname" .)) .Values.apiServer.passwordSecretName -}}
{{- end -}}

{{/* The policy of values, and what follows from the others: the account of tasks may be named, the installation's own Secrets may not. */}}
{{- define "updraft.podPolicy" -}}
{{- $policy := deepCopy .Values.podPolicy -}}
{{- $git := .Values.dags.git -}}
{{- $own := list (include "updraft.secret.database" .) (include "updraft.secret.broker" .) (include "updraft.secret.api" .) $git.credentialsSecret $git.sshKeySecret (default "" $git.webhookSecret) (default "" .Values.secretKeysSecretName) .Values.apiServer.oidc.clientSecretName .Values.data.metadataTls.secretName .Values.data.brokerTls.secretName (printf "%s-token-*" (include "updraft.serviceAccount.worker" .)) -}}
{{- $_ := set $policy "deniedSecrets" (concat $own (default list $policy.deniedSecrets) | uniq | compact | sortAlpha) -}}
{{- with include "updraft.serviceAccount.task" . -}}
{{- $_ := set $policy "allowedServiceAccounts" (append (default list $policy.allowedServiceAccounts) . | uniq | sortAlpha) -}}
{{- end -}}
{{- toYaml $policy -}}
{{- end -}}

{{/* A password inside a URL. urlquery writes a space as +, which is a + there. */}}
{{- define "updraft.inUrl" -}}
{{- . | urlquery | replace "+" "%20" -}}
{{- end -}}

{{/* HOST:PORT of the health address; takes (dict "root" $ "port" N). */}}
{{- define "updraft.listen" -}}
{{- $ip := .root.Values.listenAddress -}}
{{- if contains ":" $ip }}{{ printf "[%s]:%v" $ip .port }}{{ else }}{{ printf "%s:%v" $ip .port }}{{ end -}}
{{- end -}}

{{/* The groups of workers, complete: what a group leaves out is that of `workers`. As YAML, a list. */}}
{{- define "updraft.workerGroups" -}}
{{- $base := omit .Values.workers "groups" -}}
{{- $full := printf "%s-worker" (include "updraft.fullname" .) -}}
{{- $all := list -}}
{{- if .Values.workers.groups -}}
{{- range .Values.workers.groups -}}
{{- $group := mergeOverwrite (deepCopy $base) (deepCopy .) -}}
{{- $_ := set $group "queues" (default (list .name) .queues) -}}
{{- $_ := set $group "fullname" (printf "%s-%s" $full .name) -}}
{{- $all = append $all $group -}}
{{- end -}}
{{- else -}}
{{- $all = append $all (merge (dict "name" "default" "fullname" $full) $base) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* One repository as the scheduler wants it: git+https://host/path@ref#folder. Takes {repo, ref, subPath} or {path}. */}}
{{- define "updraft.dagSource" -}}
{{- if .path -}}
{{- .path -}}
{{- else -}}
{{- $url := .repo -}}
{{- if hasPrefix "git+" $url -}}
{{- else if regexMatch "^[A-Za-z0-9._-]+@[^/:]+:[^/]" $url -}}
{{- $url = printf "git+ssh://%s" (regexReplaceAll "^([^/:]+):" $url "${1}/") -}}
{{- else -}}
{{- $url = printf "git+%s" $url -}}
{{- end -}}
{{- $url -}}
{{- with .ref }}@{{ . }}{{ end -}}
{{- with .subPath }}#{{ trimPrefix "/" . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "updraft.dagSources" -}}
{{- $all := list -}}
{{- if eq .Values.dags.mode "folder" -}}
{{- $folder := .Values.dags.folder.path -}}
{{- with .Values.dags.folder.subPath }}{{ $folder = printf "%s/%s" $folder (trimPrefix "/" .) }}{{ end -}}
{{- $all = append $all $folder -}}
{{- else if .Values.dags.git.repo -}}
{{- $all = append $all (include "updraft.dagSource" .Values.dags.git) -}}
{{- end -}}
{{- range .Values.dags.bundles -}}
{{- $all = append $all (include "updraft.dagSource" .) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* Labels of a pod: those of an object but the versions, so that a new chart alone rolls nothing. */}}
{{- define "updraft.podLabels" -}}
app.kubernetes.io/part-of: updraft
{{ include "updraft.selector" .root }}
app.kubernetes.io/component: {{ .component }}
# Services look for it: the workers give no task's pod a label of this prefix.
updraft.dev/role: {{ .component }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Checksums: a changed value rolls the pods that read it. What the chart does not make, it cannot see. */}}
{{- define "updraft.checksums" -}}
checksum/config: {{ list .Values.config (include "updraft.podPolicy" .) .Values.dags.git.knownHosts | toJson | sha256sum }}
{{- $passwords := list .Values.apiServer.password .Values.postgresql.auth.password .Values.rabbitmq.auth.password }}
{{- if join "" $passwords }}
checksum/secrets: {{ $passwords | toJson | sha256sum }}
{{- end }}
{{- end -}}
