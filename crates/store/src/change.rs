//! What a person changes of the installation's settings, with its entry in the audit log: one transaction, so that neither is there without
//! the other. Rows that are read here are locked until the end: what an entry says was before is what was changed.

use sqlx::{Postgres, QueryBuilder, Transaction};

use crate::read::audit::{self, Audit};
use crate::read::pools::{self, PoolRow, PoolWrite};
use crate::read::secrets::{self, ConnectionRow, Existing, VariableRow};
use crate::{Error, Store};

/// A change that is being made. Dropped, nothing of it has happened. It holds a connection: whoever has one asks the store for nothing else.
#[derive(Debug)]
pub struct Change {
    tx: Transaction<'static, Postgres>,
}

/// Not even readers of a foreign key wait for it.
const LOCKED: &str = " for no key update";

impl Store {
    /// Begins a change.
    pub async fn change(&self) -> Result<Change, Error> {
        Ok(Change { tx: self.pool.begin().await.map_err(Error::of("change"))? })
    }
}

impl Change {
    /// Ends it, with its entry.
    pub async fn commit(mut self, entry: &Audit<'_>) -> Result<(), Error> {
        let address = audit::address();
        audit::insert(&mut *self.tx, entry, address.as_deref()).await?;
        self.tx.commit().await.map_err(Error::of("change"))?;
        audit::say(entry, address.as_deref());
        Ok(())
    }

    /// One pool.
    pub async fn pool_get(&mut self, name: &str) -> Result<Option<PoolRow>, Error> {
        let mut sql = QueryBuilder::new(pools::SELECT);
        sql.push(" and p.name = ").push_bind(name).push(LOCKED);
        sql.build_query_as().fetch_optional(&mut *self.tx).await.map_err(Error::of("pool_get"))
    }

    /// Makes a pool; false: there is one of that name.
    pub async fn pool_create(&mut self, pool: &PoolWrite<'_>) -> Result<bool, Error> {
        let done =
            sqlx::query("insert into pool (name, slots, description, include_deferred) values ($1, $2, $3, $4) on conflict do nothing")
                .bind(pool.name)
                .bind(pool.slots)
                .bind(pool.description)
                .bind(pool.include_deferred)
                .execute(&mut *self.tx)
                .await
                .map_err(Error::of("pool_create"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Changes a pool; false: there is none of that name. A smaller pool stops nothing that runs.
    pub async fn pool_update(&mut self, pool: &PoolWrite<'_>) -> Result<bool, Error> {
        let done = sqlx::query("update pool set slots = $2, description = $3, include_deferred = $4 where name = $1")
            .bind(pool.name)
            .bind(pool.slots)
            .bind(pool.description)
            .bind(pool.include_deferred)
            .execute(&mut *self.tx)
            .await
            .map_err(Error::of("pool_update"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a pool; false: there is none. Tasks that name it wait until it is made again, and `why` says so.
    pub async fn pool_delete(&mut self, name: &str) -> Result<bool, Error> {
        let done =
            sqlx::query("delete from pool where name = $1").bind(name).execute(&mut *self.tx).await.map_err(Error::of("pool_delete"))?;
        Ok(done.rows_affected() == 1)
    }

    /// One variable.
    pub async fn variable_get(&mut self, key: &str) -> Result<Option<VariableRow>, Error> {
        let mut sql = QueryBuilder::new(secrets::VARIABLE);
        sql.push(" and v.key = ").push_bind(key).push(LOCKED);
        sql.build_query_as().fetch_optional(&mut *self.tx).await.map_err(Error::of("variable_get"))
    }

    /// Writes a variable; false: there is one of that key, and it was kept.
    pub async fn variable_put(&mut self, variable: &VariableRow, existing: Existing) -> Result<bool, Error> {
        let done = sqlx::query(
            "insert into variable as v (key, sealed, description) values ($1, $2, $3)
             on conflict (key) do update set sealed = excluded.sealed, description = excluded.description, updated_at = now() where $4",
        )
        .bind(&variable.key)
        .bind(&variable.sealed)
        .bind(&variable.description)
        .bind(existing == Existing::Overwrite)
        .execute(&mut *self.tx)
        .await
        .map_err(Error::of("variable_put"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a variable; false: there is none.
    pub async fn variable_delete(&mut self, key: &str) -> Result<bool, Error> {
        let done = sqlx::query("delete from variable where key = $1")
            .bind(key)
            .execute(&mut *self.tx)
            .await
            .map_err(Error::of("variable_delete"))?;
        Ok(done.rows_affected() == 1)
    }

    /// One connection.
    pub async fn connection_get(&mut self, connection_id: &str) -> Result<Option<ConnectionRow>, Error> {
        let mut sql = QueryBuilder::new(secrets::CONNECTION);
        sql.push(" and c.connection_id = ").push_bind(connection_id).push(LOCKED);
        sql.build_query_as().fetch_optional(&mut *self.tx).await.map_err(Error::of("connection_get"))
    }

    /// Writes a connection; false: there is one of that id, and it was kept.
    pub async fn connection_put(&mut self, connection: &ConnectionRow, existing: Existing) -> Result<bool, Error> {
        let done = sqlx::query(
            "insert into connection (connection_id, conn_type, description, host, schema, login, port, sealed_password, sealed_extra)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (connection_id) do update set conn_type = excluded.conn_type, description = excluded.description,
                 host = excluded.host, schema = excluded.schema, login = excluded.login, port = excluded.port,
                 sealed_password = excluded.sealed_password, sealed_extra = excluded.sealed_extra, updated_at = now()
             where $10",
        )
        .bind(&connection.connection_id)
        .bind(&connection.conn_type)
        .bind(&connection.description)
        .bind(&connection.host)
        .bind(&connection.schema)
        .bind(&connection.login)
        .bind(connection.port)
        .bind(&connection.sealed_password)
        .bind(&connection.sealed_extra)
        .bind(existing == Existing::Overwrite)
        .execute(&mut *self.tx)
        .await
        .map_err(Error::of("connection_put"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a connection; false: there is none.
    pub async fn connection_delete(&mut self, connection_id: &str) -> Result<bool, Error> {
        let done = sqlx::query("delete from connection where connection_id = $1")
            .bind(connection_id)
            .execute(&mut *self.tx)
            .await
            .map_err(Error::of("connection_delete"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Pauses a DAG or lets it go on. Whether it was paused before; none: there is no such DAG.
    pub async fn dag_pause(&mut self, dag_id: &str, paused: bool) -> Result<Option<bool>, Error> {
        let before = sqlx::query_scalar("select is_paused from dag where dag_id = $1 for no key update")
            .bind(dag_id)
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(Error::of("dag_pause"))?;
        sqlx::query("update dag set is_paused = $2 where dag_id = $1")
            .bind(dag_id)
            .bind(paused)
            .execute(&mut *self.tx)
            .await
            .map_err(Error::of("dag_pause"))?;
        Ok(before)
    }
}
