//! A port that is taken is named with its owner.

use std::fs;

/// Who has the port, as far as this system tells.
pub(crate) fn taken(port: u16, error: &std::io::Error) -> String {
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return format!("cannot listen on 127.0.0.1:{port}: {error}");
    }
    let owner = owner(port).map_or_else(|| "another process".to_owned(), |(pid, name)| format!("{name} (process {pid})"));
    format!("port {port} is taken by {owner}: stop that, or choose another with --port")
}

/// The process that listens on a local TCP port, from /proc. None where that does not exist or may not be read.
fn owner(port: u16) -> Option<(u32, String)> {
    let wanted = format!(":{port:04X}");
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A: listening.
            if let [_, local, _, "0A", ..] = fields[..]
                && local.ends_with(&wanted)
                && let Some(inode) = fields.get(9)
            {
                inodes.push(format!("socket:[{inode}]"));
            }
        }
    }
    for process in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        for fd in fs::read_dir(process.path().join("fd")).into_iter().flatten().filter_map(Result::ok) {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            if inodes.iter().any(|inode| target.as_os_str() == inode.as_str()) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some((pid, name.trim().to_owned()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if std::path::Path::new("/proc/net/tcp").exists() {
            assert_eq!(owner(port).map(|o| o.0), Some(std::process::id()));
        }
    }
}
