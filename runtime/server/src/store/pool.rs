//! Connections whose answers are not waited for forever.
//!
//! A database that has accepted a connection and then says nothing (a frozen machine, a network that swallows packets) ends no
//! statement by itself, and so none of the drivers' timeouts, which are the database's to keep. Here every statement has
//! [`PATIENCE`]: what has no answer by then has failed, and its connection is not used again, since the answer may still come.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Describe, Either, Error, Execute, Executor, SqlStr, Transaction};
use tokio::time::timeout;

/// The longest that an answer is waited for. Locks are waited for less, and every statement touches few rows.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Either<AnyQueryResult, AnyRow>;

/// What a statement without an answer fails with.
fn silent() -> Error {
    Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database does not answer",
    ))
}

/// Waits for an answer, but not forever.
pub(super) async fn answered<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(silent()))
}

/// Connections to the database.
#[derive(Debug, Clone)]
pub(super) struct Pool(AnyPool);

impl Pool {
    pub(super) fn new(pool: AnyPool) -> Self {
        Self(pool)
    }

    /// A transaction, begun in the database's own way.
    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        Ok(Tx::new(answered(self.0.begin()).await?))
    }

    /// A transaction, begun by this statement.
    pub(super) async fn begin_with(&self, statement: &'static str) -> Result<Tx, Error> {
        Ok(Tx::new(answered(self.0.begin_with(statement)).await?))
    }

    /// One of the connections. How long one is waited for is the pool's own bound.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Any>, Error> {
        self.0.acquire().await
    }

    /// Waits for running statements, and closes all connections.
    pub(super) async fn close(&self) {
        // Connections that never come back are closed with the process.
        drop(timeout(PATIENCE, self.0.close()).await);
    }
}

impl<'c> Executor<'c> for &'c Pool {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        at_once(async move {
            let mut connection = self.acquire().await?;
            let answers = answered((&mut *connection).fetch_many(query).try_collect::<Vec<_>>()).await;
            if is_silence(&answers) {
                drop(connection.detach());
            }
            answers
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        first_row(self.fetch_many(query))
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(answered(self.0.prepare_with(sql, parameters)))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
    where
        'c: 'e,
    {
        Box::pin(answered((&self.0).describe(sql)))
    }
}

/// A transaction that is rolled back unless it is committed.
#[derive(Debug)]
pub(crate) struct Tx(Statements);

/// Runs the statements of a transaction.
#[derive(Debug)]
pub(crate) struct Statements {
    /// None after an answer did not come.
    open: Option<Transaction<'static, Any>>,
}

impl Tx {
    fn new(transaction: Transaction<'static, Any>) -> Self {
        Self(Statements {
            open: Some(transaction),
        })
    }

    /// Makes what was written last.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        match self.0.open.take() {
            Some(transaction) => answered(transaction.commit()).await,
            None => Err(silent()),
        }
    }

    /// Undoes what was written.
    pub(crate) async fn rollback(mut self) -> Result<(), Error> {
        match self.0.open.take() {
            Some(transaction) => answered(transaction.rollback()).await,
            None => Err(silent()),
        }
    }
}

impl Deref for Tx {
    type Target = Statements;

    fn deref(&self) -> &Statements {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Statements {
        &mut self.0
    }
}

impl Statements {
    fn connection(&mut self) -> Result<&mut AnyConnection, Error> {
        Ok(self.open.as_mut().ok_or_else(silent)?)
    }
}

impl<'c> Executor<'c> for &'c mut Statements {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        at_once(async move {
            let connection = self.connection()?;
            let answers = answered(connection.fetch_many(query).try_collect::<Vec<_>>()).await;
            if is_silence(&answers) {
                self.open = None;
            }
            answers
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        first_row(self.fetch_many(query))
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { answered(self.connection()?.prepare_with(sql, parameters)).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { answered(self.connection()?.describe(sql)).await })
    }
}

fn is_silence<T>(answers: &Result<T, Error>) -> bool {
    matches!(answers, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// All answers when the last of them is there: every statement here touches few rows.
fn at_once<'e>(
    answers: impl Future<Output = Result<Vec<Answer>, Error>> + Send + 'e,
) -> BoxStream<'e, Result<Answer, Error>> {
    stream::once(answers)
        .map_ok(|answers| stream::iter(answers.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

fn first_row<'e>(answers: BoxStream<'e, Result<Answer, Error>>) -> BoxFuture<'e, Result<Option<AnyRow>, Error>> {
    Box::pin(async move {
        let answers: Vec<Answer> = answers.try_collect().await?;
        Ok(answers.into_iter().find_map(Either::right))
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::testing::{KEY, options};
    use super::super::{Store, StoreError};
    use crate::keyring::Keyring;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_accepts_and_says_nothing_is_told() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let url = format!("postgres://strowger@{address}/strowger?sslmode=disable");
        let error = Store::open(&url, Keyring::parse(KEY).unwrap(), &options())
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
}
