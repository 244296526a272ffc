{{- /* The alerts. `of` limits them to one installation. Several replicas tell the same figure: max, min and count take one of them. */ -}}
- alert: UpdraftNoScheduler
  expr: max(updraft_schedulers{ {{- .of -}} }) == 0
  for: 2m
  labels: {severity: critical}
  annotations:
    summary: No scheduler of {{ .release }} was heard of.
    description: Nothing new is planned. What runs goes on and its results are stored.
    runbook: >-
      kubectl -n {{ .namespace }} get pods -l app.kubernetes.io/component=scheduler, then describe and logs of the first. A wrong flag or an unreadable
      secret is in the last line of the log. `updraft doctor` says which schedulers were seen and when.
- alert: UpdraftSchedulerSilent
  expr: max(updraft_scheduler_last_cycle_seconds{ {{- .of -}} }) > 20 and max(updraft_schedulers{ {{- .of -}} }) > 0
  for: 2m
  labels: {severity: warning}
  annotations:
    summary: The schedulers of {{ .release }} come round slowly.
    description: The liveliest was heard of {{ "{{ $value | humanizeDuration }}" }} ago. Tasks that are ready wait.
    runbook: >-
      Look at the database first: long transactions in pg_stat_activity, a full disk, a missing vacuum. Then at the processor and memory of the
      scheduler's pod. Any number of schedulers may run: raise scheduler.replicas.
- alert: UpdraftLoopHangs
  expr: max by (pod) (updraft_loop_silence_seconds{ {{- .of -}} }) > 90
  for: 1m
  labels: {severity: warning}
  annotations:
    summary: Pod {{ "{{ $labels.pod }}" }} of {{ .release }} does not come round.
    description: After two minutes of silence its liveness probe fails and it is restarted.
    runbook: >-
      kubectl -n {{ .namespace }} logs {{ "{{ $labels.pod }}" }} --previous. Keep it: a loop that hangs while the database answers is a mistake of ours, please
      report it.
- alert: UpdraftApiSaysNothing
  expr: absent(updraft_workers{ {{- .of -}} })
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: The API of {{ .release }} tells no figures of the installation.
    description: Most of these alerts are blind. No API runs, or it does not reach the database.
    runbook: >-
      kubectl -n {{ .namespace }} get pods -l app.kubernetes.io/component=api. If they are ready, look at the ServiceMonitor and the targets of
      Prometheus, and at networkPolicies.metricsFrom.
- alert: UpdraftDatabaseDown
  expr: max(updraft_database_up{ {{- .of -}} }) == 0
  for: 2m
  labels: {severity: critical}
  annotations:
    summary: No role of {{ .release }} reaches the database.
    description: Nothing is planned, started or shown. Running pods go on; their ends are read when the database is back.
    runbook: >-
      Nothing has to be restarted: the roles try until it answers. Look at the server, at the Secret that data.metadataSecretName names and at
      network policies. The logs of the roles have the server's words.
- alert: UpdraftDatabaseDownForSome
  expr: count(updraft_database_up{ {{- .of -}} } == 0) > 0 and max(updraft_database_up{ {{- .of -}} }) == 1
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: "{{ "{{ $value }}" }} pods of {{ .release }} do not reach the database, others do."
    description: Connections are used up, or the network of a node is broken.
    runbook: >-
      Compare the nodes of these pods (kubectl get pods -o wide) and max_connections of Postgres: scheduler and worker take up to 6 connections, the
      API up to 8. PgBouncer 1.21 or later in transaction mode works.
- alert: UpdraftBrokerDown
  expr: max(updraft_broker_connected{ {{- .of -}} }) == 0
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: No role of {{ .release }} is connected to RabbitMQ.
    description: Everything goes on, up to a second later for each step. Nothing is lost.
    runbook: >-
      Nothing has to be restarted. Look at RabbitMQ, at the Secret that data.brokerUrlSecretName names, at certificates. `updraft doctor` shows the
      reason and the remedy.
- alert: UpdraftNoWorkers
  expr: max(updraft_workers{ {{- .of -}} }) == 0 and max(updraft_oldest_queued_seconds{ {{- .of -}} }) > 120
  for: 2m
  labels: {severity: critical}
  annotations:
    summary: Tasks of {{ .release }} are queued and there is no worker.
    description: Nothing starts. Pods that run go on, and their ends are read by the next worker.
    runbook: >-
      kubectl -n {{ .namespace }} get deployments -l app.kubernetes.io/component=worker. With KEDA look at kubectl describe scaledobject: its
      query may fail, or the Secret may be another. Without, at the events of the pods.
- alert: UpdraftQueuedTooLong
  expr: max(updraft_oldest_queued_seconds{ {{- .of -}} }) > {{ .queuedTooLong }} and max(updraft_maintenance{ {{- .of -}} }) == 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: A task of {{ .release }} waits for a worker since {{ "{{ $value | humanizeDuration }}" }}.
    description: Its queue has no worker, or the workers are full.
    runbook: >-
      `updraft why DAG RUN TASK` names what stands in the way. A queue that no group of workers takes from is the usual reason: compare the DAG's queue
      with workers.queues and workers.groups. Full workers show as attempts watched near workers.concurrency: raise replicas.
- alert: UpdraftQueueGrows
  expr: max by (queue) (updraft_queue_depth{ {{- .of -}} }) > {{ .queueDepth }}
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: "{{ "{{ $value }}" }} attempts wait in queue {{ "{{ $labels.queue }}" }} of {{ .release }}."
    description: More comes in than workers and cluster take.
    runbook: >-
      Compare with the attempts watched on the dashboard. If workers are full, raise their replicas or concurrency. If pods are pending, the cluster is
      full. A pool (`updraft pools set`) bounds what one kind of task may take.
- alert: UpdraftMaintenanceForgotten
  expr: max(updraft_maintenance{ {{- .of -}} }) == 1
  for: 12h
  labels: {severity: warning}
  annotations:
    summary: Launches of {{ .release }} are switched off for half a day.
    description: Nothing new starts. What runs goes on.
    runbook: >-
      `updraft maintenance status` says who began it and why. `updraft maintenance off` ends it.
- alert: UpdraftUnreadableMessages
  expr: sum(increase(updraft_broker_dead_lettered_total{ {{- .of -}} }[30m])) > 0
  labels: {severity: warning}
  annotations:
    summary: RabbitMQ hands {{ .release }} messages that it cannot read.
    description: They are put aside, nothing is lost. Somebody else writes into our queues, or a version that does not fit.
    runbook: >-
      Look into the queue updraft.dead (with the prefix of config.broker_prefix): its headers say where each message came from and what is wrong with it.
      Installations that share a virtual host need different prefixes.
- alert: UpdraftImportErrors
  expr: max(updraft_import_errors{ {{- .of -}} }) > 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: "{{ "{{ $value }}" }} DAG files of {{ .release }} cannot be read."
    description: Their DAGs stay as they were before the mistake. New ones are not there.
    runbook: >-
      `updraft dags list-import-errors` shows file, line and remedy. `updraft dags check FOLDER` says the same before a push.
- alert: UpdraftPodDown
  expr: up{ {{- .of -}} } == 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: Pod {{ "{{ $labels.pod }}" }} of {{ .release }} does not answer.
    description: Its metrics cannot be read.
    runbook: >-
      kubectl -n {{ .namespace }} describe pod {{ "{{ $labels.pod }}" }}. If it is healthy, a network policy keeps Prometheus away: see
      networkPolicies.metricsFrom.
- alert: UpdraftVersionsMixed
  expr: count(count by (version) (updraft_build_info{ {{- .of -}} })) > 1
  for: 1h
  labels: {severity: warning}
  annotations:
    summary: Roles of {{ .release }} run different versions for an hour.
    description: A rollout hangs.
    runbook: >-
      kubectl -n {{ .namespace }} get deployments -l app.kubernetes.io/part-of=updraft shows which one is not done. Old and new work together, so
      there is no hurry; kubectl rollout undo is safe.
- alert: UpdraftInfrastructureFails
  expr: >-
    sum(increase(updraft_attempts_ended_total{ {{- .of -}} ,budget="infra"}[15m])) > 10 and
    sum(increase(updraft_attempts_ended_total{ {{- .of -}} ,budget="infra"}[15m])) > 0.2 * sum(increase(updraft_attempts_ended_total{ {{- .of -}} }[15m]))
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: One in five attempts of {{ .release }} is lost to the infrastructure.
    description: They are made again and spend no retry of their tasks, a limited number of times.
    runbook: >-
      The messages of the task instances say what it was: evicted, preempted, node lost, image pull, quota. `updraft doctor` sums up what it sees.
- alert: UpdraftRunsLate
  expr: histogram_quantile(0.9, sum by (le) (rate(updraft_schedule_delay_seconds_bucket{ {{- .of -}} }[15m]))) > 60
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: Scheduled runs of {{ .release }} start {{ "{{ $value | humanizeDuration }}" }} after their time.
    description: One in ten does, or more. A backlog that catchup makes up for counts, too.
    runbook: >-
      `updraft why DAG RUN TASK` of a late run. max_active_runs is the usual reason. If the turns of the scheduler are slow as well, look at the database.
- alert: UpdraftApiFails
  expr: >-
    sum(rate(updraft_http_request_seconds_count{ {{- .of -}} ,status="5xx"}[10m])) > 0.05 * sum(rate(updraft_http_request_seconds_count{ {{- .of -}} }[10m]))
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: The API of {{ .release }} fails one request in twenty.
    description: Runs and tasks are not touched by it.
    runbook: >-
      The log of the API's pods has the cause of each. While Postgres is away every answer is a 503.
- alert: UpdraftTooFewConnections
  expr: histogram_quantile(0.99, sum by (le, pod) (rate(updraft_database_pool_wait_seconds_bucket{ {{- .of -}} }[10m]))) > 0.5
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: Pod {{ "{{ $labels.pod }}" }} of {{ .release }} waits for connections to the database.
    description: Its statements are slow, or more come than it has connections for.
    runbook: >-
      Compare updraft_database_statement_seconds: slow statements hold the connections, so look at the server first. If they are quick, add a replica of
      the role.
