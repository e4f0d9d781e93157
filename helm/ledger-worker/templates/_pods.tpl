{{- /* One pod of the worker's image, for everything but the workers themselves. Takes a dict:
root; component, as a label; container: its name; args or command; restart; resources;
ledger: does it reach TigerBeetle, whose client needs io_uring?; kafkaSecret: of its own Kafka user;
ports, and which of them is probed, by name; graceSeconds: what it may take after SIGTERM;
env; and a secret, mounted in /etc/ledger-worker/secret. */}}
{{- define "ledger-worker.pod" -}}
{{- $values := deepCopy .root.Values }}
{{- with .kafkaSecret }}
{{- if .name }}{{- $values = mergeOverwrite $values (dict "kafka" (dict "existingSecret" .)) }}{{- end }}
{{- end }}
{{- if not .ledger }}{{- $values = mergeOverwrite $values (dict "seccomp" (dict "type" "RuntimeDefault")) }}{{- end }}
{{- $root := dict "Values" $values "Release" .root.Release "Chart" .root.Chart "Template" .root.Template "Files" .root.Files "Capabilities" .root.Capabilities }}
metadata:
  labels:
    {{- include "ledger-worker.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- if eq .restart "Always" }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  {{- if eq .restart "Always" }}
  annotations:
    checksum/rulebook: {{ include "ledger-worker.rulebookChecksum" $root | quote }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  restartPolicy: {{ .restart }}
  serviceAccountName: {{ include "ledger-worker.serviceAccount" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .graceSeconds }}
  terminationGracePeriodSeconds: {{ add $values.shutdown.preStopSeconds .graceSeconds 5 }}
  {{- end }}
  securityContext:
    {{- include "ledger-worker.podSecurity" $root | nindent 4 }}
  {{- if eq .restart "Always" }}
  {{- with include "ledger-worker.spread" (dict "root" $root "component" .component) }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- with include "ledger-worker.placement" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  containers:
    - name: {{ .container }}
      image: {{ include "ledger-worker.image" $root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "ledger-worker.env" $root | nindent 8 }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .ports }}
      ports:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if .probe }}
      startupProbe:
        httpGet: {path: /livez, port: {{ .probe }}}
        {{- toYaml $values.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: {path: /livez, port: {{ .probe }}}
        {{- toYaml $values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: {{ .probe }}}
        {{- toYaml $values.probes.readiness | nindent 8 }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ $values.shutdown.preStopSeconds }}}
      {{- end }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        {{- if .secret }}
        - {name: secret, mountPath: /etc/ledger-worker/secret, readOnly: true}
        {{- end }}
        {{- include "ledger-worker.mounts" $root | nindent 8 }}
  volumes:
    {{- with .secret }}
    - name: secret
      secret: {secretName: {{ .name }}}
    {{- end }}
    {{- include "ledger-worker.volumes" $root | nindent 4 }}
{{- end }}

{{- /* Takes (dict "root" $ "component" …). */}}
{{- define "ledger-worker.spread" -}}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range .root.Values.topologySpread.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "ledger-worker.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* One pod of a job. Takes (dict "root" $ "args" (list …)), or command. */}}
{{- define "ledger-worker.jobPod" -}}
{{- include "ledger-worker.pod" (mergeOverwrite (dict "component" "job" "container" "job" "restart" "Never" "ledger" true "resources" .root.Values.jobs.resources) .) }}
{{- end }}

{{- /* Hooks run before the chart's own ConfigMap, account and seccomp profile are there: they take
the packaged rulebook, the default account, and need no ledger. */}}
{{- define "ledger-worker.hookPod" -}}
{{- $values := deepCopy .root.Values }}
{{- $values := mergeOverwrite $values (dict "rulebook" (dict "content" "" "existingConfigMap" "" "key" "rulebook.yaml") "serviceAccount" (dict "create" false "name" "default")) }}
{{- $root := dict "Values" $values "Release" .root.Release "Chart" .root.Chart "Template" .root.Template "Files" .root.Files "Capabilities" .root.Capabilities }}
{{- include "ledger-worker.pod" (dict "root" $root "component" "job" "container" "job" "restart" "Never" "ledger" false "resources" .root.Values.jobs.resources "args" .args) }}
{{- end }}

{{- /* Whose Stripe account the feed reads: the one whose books these are. */}}
{{- define "ledger-worker.feedEnv" -}}
{{- if hasPrefix "acct_" .Values.events.account }}
- {name: LEDGER_WORKER_FEED__ACCOUNT, value: {{ .Values.events.account | quote }}}
{{- end }}
{{- with .Values.feed.stripeKey }}
- {name: LEDGER_WORKER_FEED__API_KEY_FILE, value: /etc/ledger-worker/secret/{{ .key }}}
{{- end }}
{{- end }}

{{- /* The most pods of `serve` that can run at once. */}}
{{- define "ledger-worker.serveMax" -}}
{{- if .Values.serve.autoscaling.enabled }}{{ .Values.serve.autoscaling.maxReplicas }}{{ else }}{{ .Values.serve.replicas }}{{ end }}
{{- end }}
