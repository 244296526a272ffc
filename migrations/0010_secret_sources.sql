-- Where variables and connections come from that are not in the database: what each scheduler sees, by count and without a value.
--
-- Adds only. Programs of the version before leave the column as it is.

alter table scheduler add column secrets_status jsonb not null default '{}';
