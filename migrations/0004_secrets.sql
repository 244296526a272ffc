-- Variables and connections, as Airflow's users know them. What may be secret is sealed (crates/store/src/keyring.rs): a dump shows none.
--
-- Adds only.

create table variable (
    key text primary key,
    sealed bytea not null, -- the value
    description text,
    updated_at timestamptz not null default now()
);

create table connection (
    connection_id text primary key,
    conn_type text not null,
    description text,
    host text,
    schema text,
    login text,
    port int,
    sealed_password bytea,
    sealed_extra bytea,
    updated_at timestamptz not null default now()
);
