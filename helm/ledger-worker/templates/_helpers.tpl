{{- define "ledger-worker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "ledger-worker.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "ledger-worker.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "ledger-worker.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "ledger-worker.selector" -}}
app.kubernetes.io/name: {{ include "ledger-worker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ledger-worker.labels" -}}
{{ include "ledger-worker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ledger-worker.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "ledger-worker.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "ledger-worker.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- /* The most workers that can run at once. */}}
{{- define "ledger-worker.workersMax" -}}
{{- if .Values.autoscaling.kind }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{- /* What would not work is refused before anything is made. */}}
{{- define "ledger-worker.validate" -}}
{{- $workers := include "ledger-worker.workersMax" . | int }}
{{- $sessions := add (mul $workers .Values.ledger.sessionsPerWorker) .Values.ledger.sessionsReserved }}
{{- range $job := list .Values.jobs.replay .Values.jobs.reconcile }}
{{- if $job.enabled }}{{- $sessions = add $sessions (mul 2 $job.parts) }}{{- end }}
{{- end }}
{{- if .Values.jobs.nightlyReconcile.enabled }}{{- $sessions = add $sessions 2 }}{{- end }}
{{- if .Values.serve.enabled }}{{- $sessions = add $sessions (include "ledger-worker.serveMax" . | int) }}{{- end }}
{{- if .Values.sync.enabled }}{{- $sessions = add $sessions 1 }}{{- end }}
{{- if gt (int $sessions) 64 }}
{{- fail (printf "%d sessions of TigerBeetle's 64 would be taken (%d workers, ledger.sessionsPerWorker %d, jobs, serve, sync, reserve): lower replicas, autoscaling.maxReplicas, those of serve, or the jobs' parts" (int $sessions) $workers (int .Values.ledger.sessionsPerWorker)) }}
{{- end }}
{{- if and .Values.autoscaling.kind (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" }}
{{- end }}
{{- if and (eq .Values.ledger.kind "sidecar") (ne $workers 1) }}
{{- fail "ledger.kind sidecar is one ledger in one worker's pod: set replicas to 1 and autoscaling.kind to nothing" }}
{{- end }}
{{- if eq (toString .Values.events.livemode) "" }}
{{- fail "events.livemode must be set: true for live money, false for test money, any for both" }}
{{- end }}
{{- if and .Values.kafka.client .Values.kafka.existingSecret.name }}
{{- fail "kafka.client and kafka.existingSecret.name are two sources of one setting: give one" }}
{{- end }}
{{- if and .Values.rulebook.content .Values.rulebook.existingConfigMap }}
{{- fail "rulebook.content and rulebook.existingConfigMap are two rulebooks: give one" }}
{{- end }}
{{- if and .Values.jobs.schemas.enabled (not .Values.schemaRegistry.url) }}
{{- fail "jobs.schemas needs schemaRegistry.url" }}
{{- end }}
{{- $toLedger := or .Values.jobs.replay.enabled .Values.jobs.reconcile.enabled .Values.jobs.nightlyReconcile.enabled .Values.serve.enabled .Values.sync.enabled }}
{{- if and $toLedger (eq .Values.ledger.kind "sidecar") }}
{{- fail "jobs, serve and sync cannot reach a ledger in the worker's own pod: use ledger.kind statefulset" }}
{{- end }}
{{- if and .Values.feed.webhooks.enabled (not .Values.feed.webhooks.existingSecret.name) }}
{{- fail "feed.webhooks.existingSecret.name must name a Secret with the endpoint's signing secrets: without one anybody could send a charge" }}
{{- end }}
{{- if and .Values.feed.webhooks.ingress.enabled (not (and .Values.feed.webhooks.ingress.host .Values.feed.webhooks.ingress.tlsSecret)) }}
{{- fail "feed.webhooks.ingress needs host and tlsSecret: Stripe posts to https only" }}
{{- end }}
{{- if and (or .Values.feed.settlements.enabled .Values.feed.backfill.enabled) (not .Values.feed.stripeKey.name) }}
{{- fail "feed.stripeKey.name must name a Secret with a restricted key of Stripe's that may read (docs/feed.md)" }}
{{- end }}
{{- if and .Values.feed.backfill.enabled (not .Values.feed.backfill.from) }}
{{- fail "feed.backfill.from must be set: the day that the books begin" }}
{{- end }}
{{- if and .Values.serve.enabled (not .Values.serve.tokensSecret.name) }}
{{- fail "serve.tokensSecret.name must name a Secret with bearer tokens: without one anybody could read balances" }}
{{- end }}
{{- if and .Values.serve.autoscaling.enabled (gt (int .Values.serve.autoscaling.minReplicas) (int .Values.serve.autoscaling.maxReplicas)) }}
{{- fail "serve.autoscaling.minReplicas is above serve.autoscaling.maxReplicas" }}
{{- end }}
{{- if and .Values.sync.enabled (not .Values.sync.dsnSecret.name) }}
{{- fail "sync.dsnSecret.name must name a Secret with PostgreSQL's address" }}
{{- end }}
{{- if and .Values.seccomp.install (eq .Values.seccomp.type "Localhost") (not (hasSuffix (printf "/seccomp/%s" (dir .Values.seccomp.localhostProfile)) .Values.seccomp.hostPath)) }}
{{- fail (printf "seccomp.hostPath must be the kubelet's seccomp directory and %s, where seccomp.localhostProfile is looked for" (dir .Values.seccomp.localhostProfile)) }}
{{- end }}
{{- end }}

{{- define "ledger-worker.ledgerAddresses" -}}
{{- if eq .Values.ledger.kind "external" }}{{ join "," .Values.ledger.addresses }}
{{- else if eq .Values.ledger.kind "statefulset" }}{{ include "ledger-worker.fullname" . }}-ledger:3000
{{- else }}127.0.0.1:3000
{{- end }}
{{- end }}

{{- define "ledger-worker.rulebookMap" -}}
{{- if .Values.rulebook.content }}{{ include "ledger-worker.fullname" . }}-rulebook{{ else }}{{ .Values.rulebook.existingConfigMap }}{{ end }}
{{- end }}

{{- /* A rolling restart follows a new rulebook; one that is not the chart's is looked up. */}}
{{- define "ledger-worker.rulebookChecksum" -}}
{{- if .Values.rulebook.content }}{{ .Values.rulebook.content | sha256sum }}
{{- else if .Values.rulebook.existingConfigMap }}
{{- $found := lookup "v1" "ConfigMap" .Release.Namespace .Values.rulebook.existingConfigMap }}
{{- get (default dict $found.data) .Values.rulebook.key | sha256sum }}
{{- end }}
{{- end }}

{{- /* The worker's settings, for workers and jobs. */}}
{{- define "ledger-worker.env" -}}
- {name: LEDGER_WORKER_KAFKA__BOOTSTRAP_SERVERS, value: {{ .Values.kafka.bootstrapServers | quote }}}
- {name: LEDGER_WORKER_KAFKA__GROUP_ID, value: {{ .Values.kafka.groupId | quote }}}
{{- if .Values.kafka.existingSecret.name }}
- {name: LEDGER_WORKER_KAFKA__CLIENT_FILE, value: /etc/ledger-worker/kafka/{{ .Values.kafka.existingSecret.key }}}
{{- else if .Values.kafka.client }}
- {name: LEDGER_WORKER_KAFKA__CLIENT, value: {{ .Values.kafka.client | toJson | quote }}}
{{- end }}
- {name: LEDGER_WORKER_LEDGER__ADDRESSES, value: {{ include "ledger-worker.ledgerAddresses" . | quote }}}
- {name: LEDGER_WORKER_LEDGER__CLUSTER_ID, value: {{ .Values.ledger.clusterId | toString | quote }}}
- {name: LEDGER_WORKER_LEDGER__DEADLINE_SECONDS, value: {{ .Values.ledger.deadlineSeconds | toString | quote }}}
{{- if include "ledger-worker.rulebookMap" . }}
- {name: LEDGER_WORKER_RULEBOOK, value: /etc/ledger-worker/rulebook/{{ .Values.rulebook.key }}}
{{- end }}
- {name: LEDGER_WORKER_TOPICS__INPUTS, value: {{ .Values.topics.inputs | toJson | quote }}}
- {name: LEDGER_WORKER_TOPICS__OUTBOX, value: {{ .Values.topics.outbox | quote }}}
- {name: LEDGER_WORKER_TOPICS__REJECTED, value: {{ .Values.topics.rejected | quote }}}
- {name: LEDGER_WORKER_TOPICS__DEAD, value: {{ .Values.topics.dead | quote }}}
- {name: LEDGER_WORKER_TOPICS__PARKED, value: {{ .Values.topics.parked | quote }}}
- {name: LEDGER_WORKER_TOPICS__FEED, value: {{ .Values.topics.feed | quote }}}
- {name: LEDGER_WORKER_OUTBOX__FORMAT, value: {{ .Values.outboxFormat | quote }}}
{{- if .Values.schemaRegistry.url }}
- {name: LEDGER_WORKER_SCHEMA_REGISTRY__URL, value: {{ .Values.schemaRegistry.url | quote }}}
{{- end }}
{{- if .Values.schemaRegistry.existingSecret.name }}
- {name: LEDGER_WORKER_SCHEMA_REGISTRY__CLIENT_FILE, value: /etc/ledger-worker/registry/{{ .Values.schemaRegistry.existingSecret.key }}}
{{- end }}
- {name: LEDGER_WORKER_EVENTS__LIVEMODE, value: {{ .Values.events.livemode | toString | quote }}}
{{- if .Values.events.account }}
- {name: LEDGER_WORKER_EVENTS__ACCOUNT, value: {{ .Values.events.account | quote }}}
{{- end }}
- {name: LEDGER_WORKER_BATCH__EVENTS_MAX, value: {{ .Values.batch.eventsMax | int64 | toString | quote }}}
- {name: LEDGER_WORKER_BATCH__BYTES_MAX, value: {{ .Values.batch.bytesMax | int64 | toString | quote }}}
- {name: LEDGER_WORKER_BATCH__LINGER_MS, value: {{ .Values.batch.lingerMs | int64 | toString | quote }}}
- {name: LEDGER_WORKER_BATCH__LEGS_MAX, value: {{ .Values.batch.legsMax | int64 | toString | quote }}}
- {name: LEDGER_WORKER_DEAD_LETTERS__PAYLOAD, value: {{ .Values.deadLetters.payload | quote }}}
{{- with .Values.metrics.balances }}
- {name: LEDGER_WORKER_METRICS__BALANCES, value: {{ toJson . | quote }}}
{{- end }}
- {name: LEDGER_WORKER_HTTP__PORT, value: {{ .Values.http.port | int64 | toString | quote }}}
- {name: LEDGER_WORKER_LOG__LEVEL, value: {{ .Values.log.level | quote }}}
- {name: LEDGER_WORKER_LOG__FORMAT, value: {{ .Values.log.format | quote }}}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ledger-worker.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "ledger-worker.rulebookMap" . }}
- {name: rulebook, mountPath: /etc/ledger-worker/rulebook, readOnly: true}
{{- end }}
{{- if .Values.kafka.existingSecret.name }}
- {name: kafka, mountPath: /etc/ledger-worker/kafka, readOnly: true}
{{- end }}
{{- if .Values.schemaRegistry.existingSecret.name }}
- {name: registry, mountPath: /etc/ledger-worker/registry, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ledger-worker.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if include "ledger-worker.rulebookMap" . }}
- name: rulebook
  configMap: {name: {{ include "ledger-worker.rulebookMap" . }}}
{{- end }}
{{- if .Values.kafka.existingSecret.name }}
- name: kafka
  secret: {secretName: {{ .Values.kafka.existingSecret.name }}}
{{- end }}
{{- if .Values.schemaRegistry.existingSecret.name }}
- name: registry
  secret: {secretName: {{ .Values.schemaRegistry.existingSecret.name }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ledger-worker.podSecurity" -}}
{{- toYaml .Values.podSecurityContext }}
seccompProfile:
  type: {{ .Values.seccomp.type }}
  {{- if eq .Values.seccomp.type "Localhost" }}
  localhostProfile: {{ .Values.seccomp.localhostProfile }}
  {{- end }}
{{- end }}

{{- /* Where pods that need the seccomp profile may run: nowhere that its DaemonSet does not. */}}
{{- define "ledger-worker.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* TigerBeetle locks its memory, which takes root and one capability. For trials. */}}
{{- define "ledger-worker.ledgerSecurity" -}}
runAsNonRoot: false
runAsUser: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL], add: [IPC_LOCK]}
{{- end }}

{{- /* Its image has no shell, and a data file must never be formatted again: a new file is made
beside the kept one, and takes its place only when there is none. */}}
{{- define "ledger-worker.ledgerInit" -}}
- name: clear
  image: {{ include "ledger-worker.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python, -c, "import pathlib; pathlib.Path('/data/new.tigerbeetle').unlink(missing_ok=True)"]
  securityContext:
    {{- include "ledger-worker.ledgerSecurity" . | nindent 4 }}
  volumeMounts: [{name: ledger, mountPath: /data}]
- name: format
  image: {{ .Values.ledger.image.repository }}:{{ .Values.ledger.image.tag }}
  imagePullPolicy: {{ .Values.ledger.image.pullPolicy }}
  args: [format, --cluster={{ .Values.ledger.clusterId }}, --replica=0, --replica-count=1, /data/new.tigerbeetle]
  securityContext:
    {{- include "ledger-worker.ledgerSecurity" . | nindent 4 }}
  volumeMounts: [{name: ledger, mountPath: /data}]
- name: keep
  image: {{ include "ledger-worker.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - python
    - -c
    - |
      import pathlib
      new, kept = pathlib.Path("/data/new.tigerbeetle"), pathlib.Path("/data/0_0.tigerbeetle")
      new.unlink() if kept.exists() else new.rename(kept)
  securityContext:
    {{- include "ledger-worker.ledgerSecurity" . | nindent 4 }}
  volumeMounts: [{name: ledger, mountPath: /data}]
{{- end }}

{{- define "ledger-worker.ledgerContainer" -}}
name: tigerbeetle
image: {{ .Values.ledger.image.repository }}:{{ .Values.ledger.image.tag }}
imagePullPolicy: {{ .Values.ledger.image.pullPolicy }}
args:
  - start
  - --addresses=0.0.0.0:3000
  - --cache-grid={{ .Values.ledger.cacheGrid }}
  {{- if .Values.ledger.statsd.enabled }}
  - --experimental
  - --statsd=127.0.0.1:9125
  {{- end }}
  - /data/0_0.tigerbeetle
ports: [{name: ledger, containerPort: 3000}]
startupProbe:
  tcpSocket: {port: 3000}
  periodSeconds: 5
  failureThreshold: 60
readinessProbe:
  tcpSocket: {port: 3000}
securityContext:
  {{- include "ledger-worker.ledgerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .Values.ledger.resources | nindent 2 }}
volumeMounts: [{name: ledger, mountPath: /data}]
{{- end }}

{{- define "ledger-worker.statsdContainer" -}}
name: statsd
image: {{ .Values.ledger.statsd.image.repository }}:{{ .Values.ledger.statsd.image.tag }}
imagePullPolicy: {{ .Values.ledger.statsd.image.pullPolicy }}
args: ["--statsd.listen-udp=127.0.0.1:9125", "--statsd.listen-tcp=", "--web.listen-address=:9102"]
ports: [{name: statsd-metrics, containerPort: 9102}]
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  requests: {cpu: 20m, memory: 32Mi}
  limits: {memory: 128Mi}
{{- end }}

{{- define "ledger-worker.ledgerClaim" -}}
metadata: {name: ledger}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .Values.ledger.storage.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources: {requests: {storage: {{ .Values.ledger.storage.size }}}}
{{- end }}
