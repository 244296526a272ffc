//! The value that a command leaves in the file that `UPDRAFT_XCOM_PATH` names.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

/// Most bytes of an XCom value, as with pods.
const LIMIT: usize = 4096;
/// Most bytes of all values that a Python task leaves. In a pod they have the place of one.
const PYTHON_LIMIT: usize = 65_536;

/// `None`: it left nothing.
pub(crate) fn read(path: &Path, python: bool) -> Option<Result<Value, String>> {
    let limit = if python { PYTHON_LIMIT } else { LIMIT };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(format!("the XCom file could not be read: {error}"))),
        Ok(length) if length > limit => {
            Some(Err(format!("the XCom value is longer than {limit} bytes; store it elsewhere and push a reference to it")))
        }
        Ok(_) => Some(serde_json::from_slice(&bytes).map_err(|error| {
            format!("the XCom file is not JSON ({error}); write one JSON value, such as {{\"rows\": 12}} or \"text\" with its quotes")
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_of_at_most_4096_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xcom.json");
        assert_eq!(read(&path, false), None);
        let at = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path, false).unwrap()
        };
        assert_eq!(at("{\"rows\": 12}\n"), Ok(serde_json::json!({"rows": 12})));
        let longest = format!("\"{}\"", "x".repeat(LIMIT - 2));
        assert!(at(&longest).is_ok());
        assert!(at(&format!("{longest} ")).unwrap_err().contains("4096"));
        assert!(at("rows=12").unwrap_err().contains("not JSON"));
        assert!(at("").unwrap_err().contains("not JSON"));
    }
}
