-- DAGs that a user marked, to find them again. Adds only.

create table dag_favorite (
    dag_id text not null references dag (dag_id) on delete cascade,
    user_name text not null,
    at timestamptz not null default now(),
    primary key (dag_id, user_name)
);
