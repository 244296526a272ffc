//! Variables and connections. What may be secret comes and goes sealed ([`crate::Keyring`]): nothing here can read it.

use sqlx::{FromRow, QueryBuilder};

use super::{Column, Kind, ListQuery, Page, column};
use crate::{Error, Store};

/// What a list of variables can be filtered and ordered by.
pub const VARIABLE_COLUMNS: &[Column] = &[
    column("variable_key", "v.key", Kind::Text),
    column("key", "v.key", Kind::Text),
    column("id", "v.key", Kind::Text),
    column("description", "v.description", Kind::Text),
    // Sealed, all of them, and nobody's: there is nothing to order by.
    column("_val", "null::text", Kind::Text).order_only(),
    column("is_encrypted", "(v.sealed is not null)", Kind::Bool).order_only(),
    column("team_name", "null::text", Kind::Text).order_only(),
];

/// What a list of connections can be filtered and ordered by.
pub const CONNECTION_COLUMNS: &[Column] = &[
    column("connection_id", "c.connection_id", Kind::Text),
    column("conn_id", "c.connection_id", Kind::Text),
    column("id", "c.connection_id", Kind::Text),
    column("conn_type", "c.conn_type", Kind::Text),
    column("description", "c.description", Kind::Text),
    column("host", "c.host", Kind::Text),
    column("port", "c.port", Kind::Number),
    column("team_name", "null::text", Kind::Text).order_only(),
];

/// A variable.
#[derive(Debug, Clone, FromRow)]
pub struct VariableRow {
    /// Its key.
    pub key: String,
    /// The value, sealed.
    pub sealed: Vec<u8>,
    /// For people.
    pub description: Option<String>,
}

/// A connection.
#[derive(Debug, Clone, Default, FromRow)]
pub struct ConnectionRow {
    /// Its id.
    pub connection_id: String,
    /// Its type (`postgres`, `aws`, …).
    pub conn_type: String,
    /// For people.
    pub description: Option<String>,
    /// Where.
    pub host: Option<String>,
    /// The database, or what the type calls a schema.
    pub schema: Option<String>,
    /// Who.
    pub login: Option<String>,
    /// Where, too.
    pub port: Option<i32>,
    /// The password, sealed.
    pub sealed_password: Option<Vec<u8>>,
    /// Whatever else the type knows, as JSON; sealed.
    pub sealed_extra: Option<Vec<u8>>,
}

/// What to do with a row that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it, and say so.
    Keep,
    /// Write over it.
    Overwrite,
}

pub(crate) const VARIABLE: &str = "select v.key, v.sealed, v.description from variable v where true";
pub(crate) const CONNECTION: &str = "select c.connection_id, c.conn_type, c.description, c.host, c.schema, c.login, c.port, c.sealed_password, c.sealed_extra \
    from connection c where true";

impl Store {
    /// Variables, by key.
    pub async fn variable_list(&self, query: &ListQuery) -> Result<Page<VariableRow>, Error> {
        let mut sql = QueryBuilder::new(VARIABLE);
        query.push_filters(&mut sql);
        query.push_tail(&mut sql, "v.key", "v.key");
        let rows = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("variable_list"))?;
        let mut sql = QueryBuilder::new("select count(*) from variable v where true");
        query.push_filters(&mut sql);
        let total = sql.build_query_scalar().fetch_one(&self.pool).await.map_err(Error::of("variable_list"))?;
        Ok(Page { rows, total })
    }

    /// All variables, as of one moment.
    pub async fn variables_all(&self) -> Result<Vec<VariableRow>, Error> {
        sqlx::query_as(VARIABLE).fetch_all(&self.pool).await.map_err(Error::of("variables_all"))
    }

    /// One variable.
    pub async fn variable_get(&self, key: &str) -> Result<Option<VariableRow>, Error> {
        let mut sql = QueryBuilder::new(VARIABLE);
        sql.push(" and v.key = ").push_bind(key);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("variable_get"))
    }

    /// Connections, by id.
    pub async fn connection_list(&self, query: &ListQuery) -> Result<Page<ConnectionRow>, Error> {
        let mut sql = QueryBuilder::new(CONNECTION);
        query.push_filters(&mut sql);
        query.push_tail(&mut sql, "c.connection_id", "c.connection_id");
        let rows = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("connection_list"))?;
        let mut sql = QueryBuilder::new("select count(*) from connection c where true");
        query.push_filters(&mut sql);
        let total = sql.build_query_scalar().fetch_one(&self.pool).await.map_err(Error::of("connection_list"))?;
        Ok(Page { rows, total })
    }

    /// All connections, as of one moment.
    pub async fn connections_all(&self) -> Result<Vec<ConnectionRow>, Error> {
        sqlx::query_as(CONNECTION).fetch_all(&self.pool).await.map_err(Error::of("connections_all"))
    }

    /// One connection.
    pub async fn connection_get(&self, connection_id: &str) -> Result<Option<ConnectionRow>, Error> {
        let mut sql = QueryBuilder::new(CONNECTION);
        sql.push(" and c.connection_id = ").push_bind(connection_id);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("connection_get"))
    }

    /// How many variables and connections there are.
    pub async fn secrets_count(&self) -> Result<(i64, i64), Error> {
        sqlx::query_as("select (select count(*) from variable), (select count(*) from connection)")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("secrets_count"))
    }

    /// Puts a sealed value in the place of the one that it was made from; false: somebody wrote another one meanwhile, or there is none
    /// any more.
    pub async fn reseal(&self, of: Sealed, name: &str, old: &[u8], new: &[u8]) -> Result<bool, Error> {
        let sql = match of {
            Sealed::Variable => "update variable set sealed = $3 where key = $1 and sealed = $2",
            Sealed::Password => "update connection set sealed_password = $3 where connection_id = $1 and sealed_password = $2",
            Sealed::Extra => "update connection set sealed_extra = $3 where connection_id = $1 and sealed_extra = $2",
        };
        let done = sqlx::query(sql).bind(name).bind(old).bind(new).execute(&self.pool).await.map_err(Error::of("reseal"))?;
        Ok(done.rows_affected() == 1)
    }
}

/// What is sealed, and so the place that a sealed value is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// The value of a variable.
    Variable,
    /// The password of a connection.
    Password,
    /// The extra of a connection.
    Extra,
}

impl Sealed {
    /// The place of the one of this name.
    pub fn place(self, name: &str) -> String {
        let kind = match self {
            Self::Variable => "variable",
            Self::Password => "connection/password",
            Self::Extra => "connection/extra",
        };
        format!("{kind}/{name}")
    }
}
