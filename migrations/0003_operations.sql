-- What operators need: a switch that stops launches, and a figure to scale workers by.
--
-- Adds only: programs of the version before run on it, and know nothing of a maintenance.

alter table installation
    add column maintenance_since timestamptz, -- null: none. While it is set, nothing is admitted and nothing claimed; what runs goes on
    add column maintenance_by text,
    add column maintenance_reason text;

-- For autoscalers: attempts that are queued or running, by queue. A stable name with stable columns: the tables below it are ours to change.
-- A queue without work has no row.
create view keda_worker_load as
select queue, count(*) as attempts from live_attempt group by queue;
