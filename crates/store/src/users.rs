//! Users, their roles and what proves who they are. What a permission means is the API's business: here they are words.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::read::{Column, Kind, ListQuery, Page, column};
use crate::{Error, Store};

/// What a list of users can be filtered and ordered by.
pub const USER_COLUMNS: &[Column] = &[
    column("name", "u.name", Kind::Text),
    column("username", "u.name", Kind::Text),
    column("id", "u.id", Kind::Number),
    column("active", "u.active", Kind::Bool),
    column("email", "u.email", Kind::Text),
    column("created_at", "u.created_at", Kind::Time),
    column("last_login_at", "u.last_login_at", Kind::Time),
];

/// A user.
#[derive(Debug, Clone, FromRow)]
pub struct UserRow {
    /// Its key.
    pub id: i64,
    /// The name that it logs in with.
    pub name: String,
    /// As people call them.
    pub display_name: Option<String>,
    /// Where mail reaches them.
    pub email: Option<String>,
    /// Argon2id as a PHC string; none: nobody logs in with a password as this user.
    pub password_hash: Option<String>,
    /// Whether they may do anything at all.
    pub active: bool,
    /// Goes up when what was given out to this user is void.
    pub generation: i64,
    /// The issuer of who logs in with OpenID Connect.
    pub origin: Option<String>,
    /// Since when there is such a user.
    pub created_at: DateTime<Utc>,
    /// When they last logged in.
    pub last_login_at: Option<DateTime<Utc>>,
    /// Roles, and over what: aligned with `scopes`.
    pub roles: Vec<String>,
    /// `*`, or some DAGs by a selector.
    pub scopes: Vec<String>,
    /// The permissions of each of the roles that is not built in; a text of words and spaces. Aligned with `roles`.
    pub custom: Vec<Option<String>>,
}

/// What is written of a user.
#[derive(Debug, Clone, Default)]
pub struct UserWrite<'a> {
    /// Their name.
    pub name: &'a str,
    /// As people call them; outer none: it stays.
    pub display_name: Option<Option<&'a str>>,
    /// Where mail reaches them; outer none: it stays.
    pub email: Option<Option<&'a str>>,
    /// A new password's hash; none: it stays.
    pub password_hash: Option<&'a str>,
    /// Whether they may do anything; none: it stays.
    pub active: Option<bool>,
    /// All roles with their scopes; none: they stay.
    pub roles: Option<&'a [(String, String)]>,
    /// Of a new user: the issuer of who logs in with OpenID Connect, and its name for them.
    pub origin: Option<(&'a str, &'a str)>,
}

/// A role that is not built in.
#[derive(Debug, Clone, FromRow)]
pub struct RoleRow {
    /// Its name.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A personal token, without what proves it.
#[derive(Debug, Clone, FromRow)]
pub struct TokenRow {
    /// Its key.
    pub id: Uuid,
    /// Whose.
    pub user_name: String,
    /// What it is for.
    pub name: String,
    /// At most these permissions of its user's; none: all.
    pub permissions: Option<Vec<String>>,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// When somebody last showed it, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

const USER: &str = "select u.id, u.name, u.display_name, u.email, u.password_hash, u.active, u.generation, u.origin, u.created_at, u.last_login_at, \
    coalesce(g.roles, '{}') as roles, coalesce(g.scopes, '{}') as scopes, coalesce(g.custom, '{}') as custom \
    from app_user u left join lateral (select array_agg(ur.role order by ur.role, ur.scope) as roles, \
    array_agg(ur.scope order by ur.role, ur.scope) as scopes, \
    array_agg(array_to_string(r.permissions, ' ') order by ur.role, ur.scope) as custom \
    from user_role ur left join role r on r.name = ur.role where ur.user_id = u.id) g on true where true";

impl Store {
    /// Users, by name unless the query orders them.
    pub async fn user_list(&self, query: &ListQuery) -> Result<Page<UserRow>, Error> {
        let mut sql = QueryBuilder::<Postgres>::new(USER);
        query.push_filters(&mut sql);
        query.push_tail(&mut sql, "u.name", "u.name");
        let mut count = QueryBuilder::<Postgres>::new("select count(*) from app_user u where true");
        query.push_filters(&mut count);
        let (rows, total) = tokio::try_join!(sql.build_query_as().fetch_all(&self.pool), count.build_query_scalar().fetch_one(&self.pool))
            .map_err(Error::of("user_list"))?;
        Ok(Page { rows, total })
    }

    /// One user by name.
    pub async fn user_get(&self, name: &str) -> Result<Option<UserRow>, Error> {
        let mut sql = QueryBuilder::<Postgres>::new(USER);
        sql.push(" and u.name = ").push_bind(name);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("user_get"))
    }

    /// Who logs in with OpenID Connect, by the issuer and its name for them.
    pub async fn user_of_subject(&self, origin: &str, subject: &str) -> Result<Option<UserRow>, Error> {
        let mut sql = QueryBuilder::<Postgres>::new(USER);
        sql.push(" and u.origin = ").push_bind(origin).push(" and u.subject = ").push_bind(subject);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("user_of_subject"))
    }

    /// The user whose session has this hash, if it is good now.
    pub async fn user_of_session(&self, hash: &[u8]) -> Result<Option<UserRow>, Error> {
        let mut sql = QueryBuilder::<Postgres>::new(USER);
        sql.push(" and u.active and exists (select 1 from session s where s.user_id = u.id and s.generation = u.generation and s.expires_at > now() and s.hash = ");
        sql.push_bind(hash.to_vec()).push(")");
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("user_of_session"))
    }

    /// The user whose personal token has this hash, if it is good now, with what the token is limited to.
    pub async fn user_of_token(&self, hash: &[u8]) -> Result<Option<(UserRow, Option<Vec<String>>)>, Error> {
        // Written at most once a minute, and not waited for by other users of the same token.
        let found: Option<(i64, String, Option<Vec<String>>, bool)> = sqlx::query_as(
            "select t.user_id, u.name, t.permissions, coalesce(t.last_used_at < now() - interval '1 minute', true)
             from access_token t join app_user u on u.id = t.user_id where t.hash = $1 and t.expires_at > now() and u.active",
        )
        .bind(hash)
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("user_of_token"))?;
        let Some((_, name, permissions, stale)) = found else { return Ok(None) };
        if stale {
            sqlx::query("update access_token set last_used_at = now() where hash = $1 and coalesce(last_used_at < now() - interval '1 minute', true)")
                .bind(hash)
                .execute(&self.pool)
                .await
                .map_err(Error::of("user_of_token"))?;
        }
        Ok(self.user_get(&name).await?.map(|user| (user, permissions)))
    }

    /// Makes a user; false: there is one of that name.
    pub async fn user_create(&self, user: &UserWrite<'_>, by: &str) -> Result<bool, Error> {
        let (roles, scopes) = aligned(user.roles.unwrap_or_default());
        let made: i64 = sqlx::query_scalar(
            "with u as (
                 insert into app_user (name, display_name, email, password_hash, active, origin, subject) values ($1, $2, $3, $4, $5, $9, $10)
                 on conflict do nothing returning id
             ), g as (
                 insert into user_role (user_id, role, scope, granted_by)
                 select u.id, r, s, $8 from u cross join unnest($6::text[], $7::text[]) as g (r, s) on conflict do nothing
             ) select count(*) from u",
        )
        .bind(user.name)
        .bind(user.display_name.flatten())
        .bind(user.email.flatten())
        .bind(user.password_hash)
        .bind(user.active.unwrap_or(true))
        .bind(roles)
        .bind(scopes)
        .bind(by)
        .bind(user.origin.map(|(origin, _)| origin))
        .bind(user.origin.map(|(_, subject)| subject))
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("user_create"))?;
        Ok(made > 0)
    }

    /// Changes a user; false: there is none. A new password, or being shut out, voids all sessions and tokens of logins; a deactivated
    /// user's personal tokens are void for as long.
    pub async fn user_update(&self, user: &UserWrite<'_>, by: &str) -> Result<bool, Error> {
        let (roles, scopes) = aligned(user.roles.unwrap_or_default());
        let changed: i64 = sqlx::query_scalar(
            "with u as (
                 update app_user set
                     display_name = case when $2 then $3 else display_name end,
                     email = case when $4 then $5 else email end,
                     password_hash = coalesce($6, password_hash),
                     active = coalesce($7, active),
                     generation = generation + (case when $6 is not null or $7 is false then 1 else 0 end)
                 where name = $1 returning id
             ), gone as (
                 delete from user_role ur using u where $8 and ur.user_id = u.id
                 and not exists (select 1 from unnest($9::text[], $10::text[]) as g (r, s) where r = ur.role and s = ur.scope)
             ), g as (
                 insert into user_role (user_id, role, scope, granted_by)
                 select u.id, r, s, $11 from u cross join unnest($9::text[], $10::text[]) as g (r, s) on conflict do nothing
             ) select count(*) from u",
        )
        .bind(user.name)
        .bind(user.display_name.is_some())
        .bind(user.display_name.flatten())
        .bind(user.email.is_some())
        .bind(user.email.flatten())
        .bind(user.password_hash)
        .bind(user.active)
        .bind(user.roles.is_some())
        .bind(roles)
        .bind(scopes)
        .bind(by)
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("user_update"))?;
        Ok(changed > 0)
    }

    /// Gives a user one more role; false: there is no such user.
    pub async fn user_role_add(&self, name: &str, role: &str, scope: &str, by: &str) -> Result<bool, Error> {
        let done = sqlx::query(
            "insert into user_role (user_id, role, scope, granted_by) select id, $2, $3, $4 from app_user where name = $1
             on conflict (user_id, role, scope) do update set role = excluded.role",
        )
        .bind(name)
        .bind(role)
        .bind(scope)
        .bind(by)
        .execute(&self.pool)
        .await
        .map_err(Error::of("user_role_add"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes a role away; false: the user has it not.
    pub async fn user_role_remove(&self, name: &str, role: &str, scope: Option<&str>) -> Result<bool, Error> {
        let done = sqlx::query(
            "delete from user_role where user_id = (select id from app_user where name = $1) and role = $2 and ($3::text is null or scope = $3)",
        )
        .bind(name)
        .bind(role)
        .bind(scope)
        .execute(&self.pool)
        .await
        .map_err(Error::of("user_role_remove"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes a user away with all that proves who they are; false: there is none.
    pub async fn user_delete(&self, name: &str) -> Result<bool, Error> {
        let done =
            sqlx::query("delete from app_user where name = $1").bind(name).execute(&self.pool).await.map_err(Error::of("user_delete"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Roles that are not built in.
    pub async fn role_list(&self) -> Result<Vec<RoleRow>, Error> {
        sqlx::query_as("select name, permissions, created_at from role order by name")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("role_list"))
    }

    /// Makes a role, or gives it other permissions.
    pub async fn role_put(&self, name: &str, permissions: &[String], existing: bool) -> Result<bool, Error> {
        let sql = if existing {
            "update role set permissions = $2 where name = $1"
        } else {
            "insert into role (name, permissions) values ($1, $2) on conflict (name) do nothing"
        };
        let done = sqlx::query(sql).bind(name).bind(permissions).execute(&self.pool).await.map_err(Error::of("role_put"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes a role away, also from all who have it; false: there is none.
    pub async fn role_delete(&self, name: &str) -> Result<bool, Error> {
        let gone: i64 = sqlx::query_scalar(
            "with r as (delete from role where name = $1 returning name), g as (delete from user_role where role in (select name from r))
             select count(*) from r",
        )
        .bind(name)
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("role_delete"))?;
        Ok(gone > 0)
    }

    /// Begins a session, and forgets those that are over. The one that this browser had before is void.
    pub async fn session_begin(
        &self,
        user: &UserRow,
        hash: &[u8],
        before: Option<&[u8]>,
        address: Option<&str>,
        until: DateTime<Utc>,
    ) -> Result<(), Error> {
        sqlx::query(
            "with gone as (delete from session where expires_at < now() or hash = $1)
             insert into session (hash, user_id, generation, address, expires_at) values ($2, $3, $4, $5, $6)",
        )
        .bind(before)
        .bind(hash)
        .bind(user.id)
        .bind(user.generation)
        .bind(address)
        .bind(until)
        .execute(&self.pool)
        .await
        .map_err(Error::of("session_begin"))?;
        Ok(())
    }

    /// Ends a session.
    pub async fn session_end(&self, hash: &[u8]) -> Result<(), Error> {
        sqlx::query("delete from session where hash = $1").bind(hash).execute(&self.pool).await.map_err(Error::of("session_end"))?;
        Ok(())
    }

    /// Notes that somebody logged in.
    pub async fn user_logged_in(&self, id: i64) -> Result<(), Error> {
        sqlx::query("update app_user set last_login_at = now() where id = $1")
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(Error::of("user_logged_in"))?;
        Ok(())
    }

    /// Makes a personal token; false: the user has one of that name, or is not there.
    pub async fn token_create(
        &self,
        user: &str,
        name: &str,
        hash: &[u8],
        permissions: Option<&[String]>,
        expires_at: DateTime<Utc>,
    ) -> Result<Option<Uuid>, Error> {
        let id = Uuid::now_v7();
        let done = sqlx::query(
            "insert into access_token (id, user_id, name, hash, permissions, expires_at)
             select $1, u.id, $3, $4, $5, $6 from app_user u where u.name = $2 on conflict (user_id, name) do nothing",
        )
        .bind(id)
        .bind(user)
        .bind(name)
        .bind(hash)
        .bind(permissions)
        .bind(expires_at)
        .execute(&self.pool)
        .await
        .map_err(Error::of("token_create"))?;
        Ok((done.rows_affected() > 0).then_some(id))
    }

    /// Personal tokens, of one user or of all, newest first.
    pub async fn token_list(&self, user: Option<&str>) -> Result<Vec<TokenRow>, Error> {
        sqlx::query_as(
            "select t.id, u.name as user_name, t.name, t.permissions, t.created_at, t.expires_at, t.last_used_at
             from access_token t join app_user u on u.id = t.user_id where $1::text is null or u.name = $1 order by t.id desc limit 1000",
        )
        .bind(user)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("token_list"))
    }

    /// Takes a personal token away; none: there is none, or it is not this user's. Its name.
    pub async fn token_delete(&self, user: Option<&str>, id: Uuid) -> Result<Option<String>, Error> {
        sqlx::query_scalar(
            "delete from access_token t using app_user u where u.id = t.user_id and t.id = $2 and ($1::text is null or u.name = $1) returning t.name",
        )
        .bind(user)
        .bind(id)
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("token_delete"))
    }

    /// What tokens of logins are signed with: made by whoever asks first.
    pub async fn token_key(&self, fresh: &[u8]) -> Result<Vec<u8>, Error> {
        sqlx::query("update installation set token_key = $1 where token_key is null")
            .bind(fresh)
            .execute(&self.pool)
            .await
            .map_err(Error::of("token_key"))?;
        sqlx::query_scalar("select token_key from installation").fetch_one(&self.pool).await.map_err(Error::of("token_key"))
    }

    /// The DAGs that any of these selectors has: `dag:GLOB`, `tag:NAME`, `owner:NAME`, `bundle:NAME`.
    pub async fn dags_selected(&self, selectors: &[String]) -> Result<Vec<String>, Error> {
        let of = |kind: &str| -> Vec<String> { selectors.iter().filter_map(|s| s.strip_prefix(kind)).map(str::to_owned).collect() };
        let globs: Vec<String> = of("dag:").iter().map(|glob| crate::read::escape_like(glob).replace('*', "%").replace('?', "_")).collect();
        sqlx::query_scalar(
            "select d.dag_id from dag d join dag_version v on v.id = d.version_id
             where d.dag_id like any($1) or d.bundle = any($2) or v.head -> 'tags' ?| $3 or v.head -> 'owners' ?| $4
             order by 1",
        )
        .bind(globs)
        .bind(of("bundle:"))
        .bind(of("tag:"))
        .bind(of("owner:"))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("dags_selected"))
    }
}

fn aligned(roles: &[(String, String)]) -> (Vec<&str>, Vec<&str>) {
    roles.iter().map(|(role, scope)| (role.as_str(), scope.as_str())).unzip()
}
