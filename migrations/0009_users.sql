-- Users, what they may do, and what proves who they are. The audit log learns from where somebody came, and forgets nothing. Adds only.

create table app_user (
    id bigint generated always as identity primary key,
    name text not null unique,
    display_name text,
    email text,
    password_hash text, -- Argon2id as a PHC string; null: none logs in with a password as this user
    active boolean not null default true,
    generation bigint not null default 0, -- goes up when the password changes or the user is shut out: what was given out before is void
    created_at timestamptz not null default now(),
    last_login_at timestamptz,
    origin text, -- the issuer of who logs in with OpenID Connect, and its name for them; null: a user of this installation's own
    subject text,
    unique (origin, subject)
);

-- Roles beside those that are built in. A permission is `thing.verb`, as in docs/access.md.
create table role (
    name text primary key,
    permissions text[] not null,
    created_at timestamptz not null default now()
);

-- Who has which role, and over which DAGs: '*' all and all else, 'dag:GLOB', 'tag:NAME', 'owner:NAME', 'bundle:NAME'.
create table user_role (
    user_id bigint not null references app_user (id) on delete cascade,
    role text not null,
    scope text not null default '*',
    granted_by text not null,
    granted_at timestamptz not null default now(),
    primary key (user_id, role, scope)
);
create index user_role_role on user_role (role);

-- What a user's programs show instead of a password, and the sessions of browsers. Only hashes: a dump lets nobody in.
create table access_token (
    id uuid primary key,
    user_id bigint not null references app_user (id) on delete cascade,
    name text not null,
    hash bytea not null unique, -- SHA-256
    permissions text[], -- null: all that its user may; else at most these of it
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    last_used_at timestamptz,
    unique (user_id, name)
);
create table session (
    hash bytea primary key, -- SHA-256
    user_id bigint not null references app_user (id) on delete cascade,
    generation bigint not null,
    address text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index session_of_user on session (user_id);
create index session_expires on session (expires_at);

-- What bearer tokens of logins are signed with, together with a secret of the deployment where there is one.
alter table installation add column token_key bytea;

alter table audit_log add column address text; -- of the client; null: unknown, or from before

create function audit_log_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only: % is refused', lower(tg_op)
        using hint = 'to move old entries away, the owner of the table disables the trigger audit_log_append_only first; that is not hidden from the log of Postgres';
end
$$;
create trigger audit_log_append_only before update or delete or truncate on audit_log
    for each statement execute function audit_log_is_append_only();
