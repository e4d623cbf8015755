//! Every alert, and what people said of its incident, in one SQLite file that any client opens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, params};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::error::StateError;
use crate::alert::{Alert, Verdict};
use crate::rules::Silence;
use crate::time::Timestamp;

/// The alerts of a state folder, and what was said of them.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

/// An incident as its latest alert told it, and what people last said of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct IncidentRow {
    /// Its id.
    pub incident: String,
    /// Packet time of its first alert.
    pub first_told: Timestamp,
    /// Packet time of its latest.
    pub told: Timestamp,
    /// What the latest alert was.
    pub kind: String,
    /// How much it matters.
    pub severity: String,
    /// The inside end.
    pub host: String,
    /// The outside end.
    pub destination: String,
    /// Bytes sent.
    pub bytes_out: u64,
    /// The latest alert's sentence.
    pub summary: String,
    /// What people last said of it, notes aside.
    pub said: Option<Said>,
    /// The rule because of which the latest alert was not told, or did not page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced: Option<Silence>,
}

/// What a person can say of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Said {
    /// Somebody looks into it.
    Ack,
    /// It was in order: the upload teaches what is normal.
    Benign,
    /// It was a theft: it teaches nothing.
    Theft,
    /// Something to remember.
    Note,
}

/// Something that was said of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Remark {
    /// When, by the clock of whoever said it.
    pub at: Timestamp,
    /// What.
    pub said: Said,
    /// In which words.
    pub text: Option<String>,
}

impl Said {
    const ALL: [Self; 4] = [Self::Ack, Self::Benign, Self::Theft, Self::Note];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Benign => "benign",
            Self::Theft => "theft",
            Self::Note => "note",
        }
    }

    fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|said| said.as_str() == text)
    }
}

impl Store {
    /// Opens a file; makes one where it is missing and `may_create`, else has nothing.
    pub(super) fn open(path: &Path, may_create: bool) -> Result<Self, StateError> {
        let open = || {
            let connection = if may_create || path.exists() {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
                Connection::open_with_flags(path, flags)?
            } else {
                Connection::open_in_memory()?
            };
            connection.busy_timeout(BUSY)?;
            // An alert is on the disk before it is told: the log survives a process that is killed.
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            let version: i64 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version < 1 {
                connection.execute_batch(TABLES)?;
            }
            Ok(connection)
        };
        let path = path.to_owned();
        match open() {
            Ok(connection) => Ok(Self { path, connection }),
            Err(source) => Err(StateError::Incidents { path, source }),
        }
    }

    /// Writes alerts, all of them or none. One that is there already, as after a run that was cut short, is
    /// written over: it says the same.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add<'a>(
        &mut self,
        alerts: impl IntoIterator<Item = &'a Alert>,
    ) -> Result<(), StateError> {
        let add = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for alert in alerts {
                let json = serde_json::to_value(alert)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                let text = |pointer: &str| {
                    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                transaction.prepare_cached(ADD)?.execute(params![
                    alert.incident,
                    alert.revision,
                    nanos(alert.time),
                    text("/kind"),
                    text("/severity"),
                    text("/host/ip"),
                    alert.destination.key,
                    i64::try_from(alert.bytes_out).unwrap_or(i64::MAX),
                    alert.summary,
                    json.to_string(),
                ])?;
            }
            transaction.commit()
        };
        add(&mut self.connection).map_err(|source| self.failed(source))
    }

    /// Says something of an incident.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn say(&self, incident: &str, remark: &Remark) -> Result<(), StateError> {
        let values =
            params![incident, nanos(remark.at), remark.said.as_str(), remark.text.as_deref()];
        self.connection
            .execute("INSERT INTO remark (incident, at, said, text) VALUES (?, ?, ?, ?)", values)
            .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// All incidents, the one that was told of last first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn list(&self) -> Result<Vec<IncidentRow>, StateError> {
        self.rows(LIST, [], |row| {
            let said: Option<String> = row.get(9)?;
            let silenced: Option<String> = row.get(10)?;
            Ok(IncidentRow {
                incident: row.get(0)?,
                first_told: moment(row, 1)?,
                told: moment(row, 2)?,
                kind: row.get(3)?,
                severity: row.get(4)?,
                host: row.get(5)?,
                destination: row.get(6)?,
                bytes_out: row.get::<_, i64>(7)?.cast_unsigned(),
                summary: row.get(8)?,
                said: said.as_deref().and_then(Said::of),
                silenced: silenced.and_then(|json| serde_json::from_str(&json).ok()),
            })
        })
    }

    /// The one incident whose id begins so.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, id: &str) -> Result<IncidentRow, StateError> {
        let mut found = self.list()?;
        found.retain(|row| row.incident.starts_with(id));
        match found.len() {
            1 => Ok(found.remove(0)),
            count => Err(StateError::NoSuchIncident {
                path: self.path.clone(),
                id: id.to_owned(),
                count,
            }),
        }
    }

    /// The alerts of an incident, in their order, as they were told.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn alerts(&self, incident: &str) -> Result<Vec<Value>, StateError> {
        let sql = "SELECT json FROM alert WHERE incident = ? ORDER BY revision";
        let texts = self.rows(sql, [incident], |row| row.get::<_, String>(0))?;
        Ok(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }

    /// What was said of an incident, in its order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn remarks(&self, incident: &str) -> Result<Vec<Remark>, StateError> {
        let sql = "SELECT at, said, text FROM remark WHERE incident = ? ORDER BY id";
        self.rows(sql, [incident], |row| {
            let said: String = row.get(1)?;
            let said = Said::of(&said).unwrap_or(Said::Note);
            Ok(Remark { at: moment(row, 0)?, said, text: row.get(2)? })
        })
    }

    /// What people last judged of incidents, in the order in which they did.
    pub(super) fn verdicts(&self) -> Result<Vec<(String, Verdict)>, StateError> {
        let sql = "SELECT incident, said FROM remark WHERE said IN ('benign', 'theft') ORDER BY id";
        self.rows(sql, [], |row| {
            let said: String = row.get(1)?;
            let is_benign = said == Said::Benign.as_str();
            Ok((row.get(0)?, if is_benign { Verdict::Benign } else { Verdict::Theft }))
        })
    }

    fn rows<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        of: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StateError> {
        let rows = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(values, of)?.collect::<Result<Vec<T>, _>>()
        };
        rows().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> StateError {
        StateError::Incidents { path: self.path.clone(), source }
    }
}

/// SQLite has no unsigned numbers; ours reach to the year 2262 there.
fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_nanos(row.get::<_, i64>(column)?.cast_unsigned()))
}

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS alert (
    incident TEXT NOT NULL, revision INTEGER NOT NULL, time INTEGER NOT NULL, kind TEXT NOT NULL,
    severity TEXT NOT NULL, host TEXT NOT NULL, destination TEXT NOT NULL, bytes_out INTEGER NOT NULL,
    summary TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (incident, revision)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS remark (
    id INTEGER PRIMARY KEY, incident TEXT NOT NULL, at INTEGER NOT NULL, said TEXT NOT NULL, text TEXT
);
CREATE INDEX IF NOT EXISTS remark_of ON remark (incident);
PRAGMA user_version = 1;
COMMIT;";

const ADD: &str = "INSERT OR REPLACE INTO alert
    (incident, revision, time, kind, severity, host, destination, bytes_out, summary, json)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const LIST: &str = "
WITH span AS (SELECT incident, MIN(time) AS first, MAX(revision) AS last FROM alert GROUP BY incident)
SELECT a.incident, span.first, a.time, a.kind, a.severity, a.host, a.destination, a.bytes_out, a.summary,
       (SELECT said FROM remark WHERE incident = a.incident AND said <> 'note' ORDER BY id DESC LIMIT 1),
       json_extract(a.json, '$.silenced')
FROM span JOIN alert a ON a.incident = span.incident AND a.revision = span.last
ORDER BY a.time DESC, a.incident";
