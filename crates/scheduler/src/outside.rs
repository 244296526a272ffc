//! Variables and connections from outside of the database: of the environment, and of a folder that secrets are mounted in.
//!
//! ```text
//! AIRFLOW_VAR_REGION, AIRFLOW_CONN_WAREHOUSE    as Airflow's users have them; read once, as no environment changes
//! DIR/variables/region                          one file each, as a Kubernetes Secret is mounted; read for each batch of admissions,
//! DIR/connections/warehouse                     so that a change needs nobody to notice it
//! ```
//!
//! Nothing of them is stored. What cannot be read keeps its place, with the reason: the value of another source would be the wrong one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use updraft_model::connection;
use updraft_model::redact::MASK;
use updraft_planner::render::Outside;

/// Most bytes of a file: a Kubernetes Secret has no more in all.
const MOST_BYTES: u64 = 1 << 20;
/// Most bytes of all files.
const MOST_IN_ALL: u64 = 32 << 20;
/// Most files of each kind.
const MOST_FILES: usize = 10_000;
/// Most mistakes that are shown.
const MOST_SHOWN: usize = 5;

/// Where a scheduler looks for variables and connections before it asks the database.
#[derive(Debug, Clone, Default)]
pub struct SecretSources {
    folder: Option<PathBuf>,
    environment: Arc<Outside>,
    /// Airflow's own settings in it that DAG files may see.
    conf: BTreeMap<String, String>,
}

impl SecretSources {
    /// A folder, if there is one, and the environment of this process.
    pub fn new(folder: Option<PathBuf>, environment: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let pairs: Vec<_> = environment.collect();
        let conf = crate::answers::conf_of(pairs.iter().cloned());
        Self { folder, environment: Arc::new(of_environment(pairs.into_iter())), conf }
    }

    /// What DAG files are answered by `conf.get`.
    pub(crate) fn conf(&self) -> BTreeMap<String, String> {
        self.conf.clone()
    }

    /// What the environment had at the start.
    pub(crate) fn environment(&self) -> Arc<Outside> {
        Arc::clone(&self.environment)
    }

    /// What the folder has now.
    pub(crate) async fn folder(&self) -> Arc<Outside> {
        let Some(folder) = self.folder.clone() else { return Arc::default() };
        let shown = folder.display().to_string();
        let read = tokio::task::spawn_blocking(move || of_folder(&folder)).await;
        Arc::new(read.unwrap_or_else(|error| Outside { unreadable: Some(format!("{shown}: {error}")), ..Outside::default() }))
    }

    /// How many there are of each, and what is wrong: for people, without a value.
    pub(crate) async fn status(&self) -> Value {
        let shown = |outside: &Outside| {
            let mistakes: Vec<&String> = outside.mistakes().collect();
            let some = mistakes.iter().take(MOST_SHOWN).collect::<Vec<_>>();
            json!({
                "variables": outside.variables.len(), "connections": outside.connections.len(), "mistakes": some,
                "more_mistakes": mistakes.len() - some.len(),
            })
        };
        let mut status = json!({"environment": shown(&self.environment)});
        if let Some(path) = &self.folder {
            status["folder"] = shown(&*self.folder().await);
            status["folder"]["path"] = json!(path.display().to_string());
        }
        status
    }
}

fn of_environment(environment: impl Iterator<Item = (OsString, OsString)>) -> Outside {
    let mut outside = Outside::default();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let text = value.into_string().map_err(|_| format!("{name} of the environment is not UTF-8"));
        if let Some(key) = name.strip_prefix("AIRFLOW_VAR_").filter(|key| !key.is_empty()) {
            outside.variables.insert(key.to_owned(), text);
        } else if let Some(id) = name.strip_prefix("AIRFLOW_CONN_").filter(|id| !id.is_empty()) {
            // Airflow takes an empty one for none.
            if text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
                continue;
            }
            let read = text.and_then(|text| parsed(&text).map_err(|why| format!("{name} of the environment is no connection: {why}")));
            outside.connections.insert(id.to_owned(), read);
        }
    }
    outside
}

/// A connection for templates. No template may have its password, so none gets further than this.
fn parsed(text: &str) -> Result<Value, String> {
    let mut fields = connection::parse(text)?;
    if let Some(password) = fields.get_mut("password") {
        *password = json!(MASK);
    }
    Ok(Value::Object(fields))
}

fn of_folder(folder: &Path) -> Outside {
    let mut outside = Outside::default();
    let mut left = MOST_IN_ALL;
    // Without this an unmounted volume would look like an empty one.
    if let Err(error) = std::fs::read_dir(folder) {
        outside.unreadable = Some(unreadable(folder, &error));
        return outside;
    }
    match files(&folder.join("variables"), &mut left) {
        Ok(found) => outside.variables.extend(found),
        Err(why) => outside.unreadable = Some(why),
    }
    match files(&folder.join("connections"), &mut left) {
        Ok(found) => outside.connections.extend(
            found.into_iter().filter(|(_, text)| !text.as_ref().is_ok_and(|text| text.trim().is_empty())).map(|(id, text)| {
                let path = folder.join("connections").join(&id);
                let read = text.and_then(|text| parsed(&text).map_err(|why| format!("{} is no connection: {why}", path.display())));
                (id, read)
            }),
        ),
        Err(why) => outside.unreadable = Some(why),
    }
    outside
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}

/// A name and the text of its file, or why it cannot be read.
type Named = (String, Result<String, String>);

/// The files of a folder by name, or why it cannot be told what is in it. Names that begin with a dot are the mount's own (`..data`).
fn files(folder: &Path, left: &mut u64) -> Result<Vec<Named>, String> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        // A name that is not UTF-8 is one that no template can ask for.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        if found.len() == MOST_FILES {
            return Err(format!("{} has more than {MOST_FILES} files: keep others elsewhere", folder.display()));
        }
        if let Some(text) = text_of(&entry.path(), left).transpose() {
            found.push((name, text));
        }
    }
    Ok(found)
}

/// The text of a file, without the line break at its end. None: it went away meanwhile, as files do when a mounted Secret changes.
fn text_of(path: &Path, left: &mut u64) -> Result<Option<String>, String> {
    let read = || -> std::io::Result<Option<Vec<u8>>> {
        // Follows links, and opens no pipe, which would wait for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    let bytes = match read() {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(format!("{} is no file: there is one file for each name", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound && std::fs::symlink_metadata(path).is_err() => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > MOST_BYTES {
        return Err(format!("{} has more than {MOST_BYTES} bytes", path.display()));
    }
    *left = left.checked_sub(length).ok_or_else(|| format!("{}: the files have more than {MOST_IN_ALL} bytes in all", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    Ok(Some(text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)).to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_environment_is_read_as_airflow_names_it() {
        let pairs = [
            ("AIRFLOW_VAR_REGION", "eu\n"),
            ("AIRFLOW_VAR_EMPTY", ""),
            ("AIRFLOW_VAR_", "x"),
            ("AIRFLOW_CONN_DB", "postgres://me:canary@Host:5432/x"),
            ("AIRFLOW_CONN_API", r#"{"conn_type": "http", "password": "canary"}"#),
            ("AIRFLOW_CONN_BAD", "canary"),
            ("AIRFLOW_CONN_NONE", ""),
            ("PATH", "/bin"),
        ];
        let mut pairs: Vec<(OsString, OsString)> = pairs.map(|(name, value)| (name.into(), value.into())).into();
        pairs.push(("AIRFLOW_VAR_BYTES".into(), std::os::unix::ffi::OsStringExt::from_vec(vec![0xff])));
        let found = of_environment(pairs.into_iter());
        let names = |all: Vec<&String>| all.into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(found.variables.keys().collect()), ["BYTES", "EMPTY", "REGION"]);
        assert_eq!(found.variables["REGION"], Ok("eu\n".to_owned()), "an environment is taken as it is");
        assert_eq!(names(found.connections.keys().collect()), ["API", "BAD", "DB"]);
        assert_eq!(found.connections["DB"].as_ref().unwrap()["password"], "***");
        assert_eq!(found.connections["DB"].as_ref().unwrap()["host"], "host");
        let mistakes: Vec<&String> = found.mistakes().collect();
        assert_eq!(mistakes[0], "AIRFLOW_VAR_BYTES of the environment is not UTF-8");
        assert!(mistakes[1].starts_with("AIRFLOW_CONN_BAD of the environment is no connection: it is neither"), "{mistakes:?}");
        assert!(!format!("{mistakes:?}{:?}", found.connections).contains("canary"));
    }

    /// A folder as the kubelet mounts a Secret: files are links through `..data`, which is changed in one step.
    fn mount(at: &Path, version: &str, files: &[(&str, &str)]) {
        let data = at.join(format!("..{version}"));
        fs::create_dir_all(&data).unwrap();
        for (name, text) in files {
            fs::write(data.join(name), text).unwrap();
            let link = at.join(name);
            if fs::symlink_metadata(&link).is_err() {
                symlink(format!("..data/{name}"), link).unwrap();
            }
        }
        symlink(format!("..{version}"), at.join("..data_tmp")).unwrap();
        fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
    }

    #[test]
    fn a_mounted_secret_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let variables = folder.path().join("variables");
        assert_eq!(of_folder(folder.path()), Outside::default(), "neither folder has to be there");
        mount(&variables, "1", &[("region", "eu\n"), ("lines", "a\nb\r\n"), ("plain", "x")]);
        mount(&folder.path().join("connections"), "1", &[("db", "mysql://u:canary@h/s\n"), ("none", "\n")]);
        let found = of_folder(folder.path());
        let texts: Vec<_> = found.variables.iter().map(|(name, text)| (name.as_str(), text.as_ref().unwrap().as_str())).collect();
        assert_eq!(texts, [("lines", "a\nb"), ("plain", "x"), ("region", "eu")]);
        assert_eq!(found.connections.len(), 1);
        assert_eq!(found.connections["db"].as_ref().unwrap()["schema"], "s");
        mount(&variables, "2", &[("region", "us")]);
        let found = of_folder(folder.path());
        assert_eq!(found.variables["region"], Ok("us".to_owned()));
        // Its link leads nowhere: the Secret has no such key any more, and the kubelet has not got to the link.
        assert!(found.variables["plain"].as_ref().unwrap_err().ends_with("plain cannot be read: No such file or directory (os error 2)"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let variables = folder.path().join("variables");
        fs::create_dir_all(variables.join("inner")).unwrap();
        fs::write(variables.join("bytes"), [0xff, 0xfe]).unwrap();
        fs::write(variables.join("large"), vec![b'x'; 1 + usize::try_from(MOST_BYTES).unwrap()]).unwrap();
        fs::write(variables.join("good"), "x").unwrap();
        let found = of_folder(folder.path());
        assert_eq!(found.variables["good"], Ok("x".to_owned()));
        let mistakes: Vec<&String> = found.mistakes().collect();
        let at = variables.display();
        let expect = [
            format!("{at}/bytes is not UTF-8"),
            format!("{at}/inner is no file: there is one file for each name"),
            format!("{at}/large has more than 1048576 bytes"),
        ];
        assert_eq!(mistakes, expect.iter().collect::<Vec<_>>());
        let gone = of_folder(&folder.path().join("gone"));
        assert!(gone.unreadable.unwrap().contains("/gone cannot be read"));
        fs::remove_dir_all(&variables).unwrap();
        fs::write(&variables, "").unwrap();
        assert!(of_folder(folder.path()).unreadable.unwrap().contains("/variables cannot be read"));
    }

    #[test]
    fn there_is_an_end_to_how_much_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "12345").unwrap();
        let mut left = 4;
        assert!(text_of(&folder.path().join("a"), &mut left).unwrap_err().ends_with("bytes in all"));
        assert_eq!(text_of(&folder.path().join("b"), &mut left), Ok(None));
    }

    #[tokio::test]
    async fn the_status_has_numbers_and_no_values() {
        let folder = tempfile::tempdir().unwrap();
        let variables = folder.path().join("variables");
        fs::create_dir(&variables).unwrap();
        fs::write(variables.join("region"), "canary").unwrap();
        for n in 0..7 {
            fs::create_dir(variables.join(format!("d{n}"))).unwrap();
        }
        let environment = [("AIRFLOW_CONN_DB", "x://canary"), ("AIRFLOW_VAR_A", "canary")];
        let environment = environment.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let sources = SecretSources::new(Some(folder.path().to_owned()), environment.into_iter());
        let status = sources.status().await;
        assert_eq!(status["environment"], json!({"variables": 1, "connections": 1, "mistakes": [], "more_mistakes": 0}));
        assert_eq!((&status["folder"]["variables"], &status["folder"]["more_mistakes"]), (&json!(8), &json!(2)));
        assert_eq!(status["folder"]["mistakes"].as_array().unwrap().len(), 5);
        assert!(!status.to_string().contains("canary") && !format!("{sources:?}").contains("canary"));
        assert_eq!(SecretSources::default().status().await["folder"], Value::Null);
    }
}
