//! The value that a command leaves in the file that `UPDRAFT_XCOM_PATH` names.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

/// Most bytes of an XCom value, as with pods.
const LIMIT: usize = 4096;

/// `None`: it left nothing.
pub(crate) fn read(path: &Path) -> Option<Result<Value, String>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LIMIT as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(format!("the XCom file could not be read: {error}"))),
        Ok(length) if length > LIMIT => {
            Some(Err(format!("the XCom value is longer than {LIMIT} bytes; store it elsewhere and push a reference to it")))
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
        assert_eq!(read(&path), None);
        let at = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).unwrap()
        };
        assert_eq!(at("{\"rows\": 12}\n"), Ok(serde_json::json!({"rows": 12})));
        let longest = format!("\"{}\"", "x".repeat(LIMIT - 2));
        assert!(at(&longest).is_ok());
        assert!(at(&format!("{longest} ")).unwrap_err().contains("4096"));
        assert!(at("rows=12").unwrap_err().contains("not JSON"));
        assert!(at("").unwrap_err().contains("not JSON"));
    }
}
