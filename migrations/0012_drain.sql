-- Workers that take nothing new, for as long as somebody wants it so.
--
-- Adds only: a worker of the version before goes on taking, and the API says of it what it says of the others.

alter table worker
    add column draining_since timestamptz, -- null: it takes. While it is set, nothing is claimed for this worker; what it watches goes on
    add column drained_by text,
    add column drain_reason text;
