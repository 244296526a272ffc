//! What `doctor` finds about this process's own surroundings: the broker, the clock, the disks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use updraft_broker::BrokerStatus;

use super::{Finding, Status, finding};

/// Clocks that differ by more deserve a look: times of different hosts are shown side by side.
const SKEW: TimeDelta = TimeDelta::seconds(2);
/// A disk with less is about to be full, in bytes.
const LITTLE: u64 = 1024 * 1024 * 1024;
/// A disk with less is full for all that matters.
const NOTHING: u64 = 64 * 1024 * 1024;

pub(super) fn broker(status: &BrokerStatus, now: DateTime<Utc>) -> Finding {
    let name = "the broker takes and brings hints";
    let since = (now - DateTime::<Utc>::from(status.since)).num_seconds().max(0);
    // Nothing is lost without it: everything is found in Postgres, a second or ten later.
    if !status.connected {
        let reason = status.reason.as_deref().unwrap_or("not connected");
        let remedy = "bring RabbitMQ back; until then every step takes a second or so longer, and nothing is lost";
        return finding("broker", name, Status::Warn, format!("{reason}\nfor {since} s"), Some(remedy));
    }
    if let Some(blocked) = &status.blocked {
        let remedy = "give RabbitMQ memory or disk; until then every step takes a second or so longer, and nothing is lost";
        return finding("broker", name, Status::Warn, format!("it takes no messages: {blocked}\nfor {since} s"), Some(remedy));
    }
    if !status.warnings.is_empty() {
        let remedy = "delete the queue while nothing is in it, or say what it is by --broker-queue-type";
        return finding("broker", name, Status::Warn, status.warnings.join("\n"), Some(remedy));
    }
    finding("broker", name, Status::Ok, "", None)
}

/// `there` is the database's time, asked for at `before` and known at `after`, by this host's clock.
pub(super) fn clock(before: DateTime<Utc>, there: DateTime<Utc>, after: DateTime<Utc>) -> Finding {
    // It was read between the two: less than that way can not be told from none.
    let skew = if there < before {
        before - there
    } else if there > after {
        there - after
    } else {
        TimeDelta::zero()
    };
    let milliseconds = skew.num_milliseconds();
    let which = if there < before { "ahead of" } else { "behind" };
    let detail = match milliseconds {
        0..=9 => "as far as can be told".to_owned(),
        _ => format!("this host is {:.2} s {which} the database's", milliseconds as f64 / 1000.0),
    };
    let status = if skew > SKEW { Status::Warn } else { Status::Ok };
    let remedy = "let chrony or systemd-timesyncd set both clocks; leases and retries go by the database's";
    finding("clock", "this host's clock is the database's", status, detail, Some(remedy))
}

/// One finding for each folder that must have room.
pub(super) fn disks(folders: &[PathBuf]) -> Vec<Finding> {
    folders.iter().map(|folder| disk(folder, room(folder))).collect()
}

struct Room {
    free: u64,
    total: u64,
    /// Files that may still be made. None: the file system does not count them.
    files: Option<u64>,
}

fn room(folder: &Path) -> std::io::Result<Room> {
    let stat = rustix::fs::statvfs(folder)?;
    let files = (stat.f_files > 0).then_some(stat.f_favail);
    Ok(Room { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize, files })
}

fn disk(folder: &Path, room: std::io::Result<Room>) -> Finding {
    let id = format!("disk:{}", folder.display());
    let name = format!("there is room in the API's {}", folder.display());
    let remedy = "make room, or a larger volume; `updraft db clean` forgets old runs, which Postgres then uses again";
    let (status, detail) = match room {
        Err(error) => (Status::Warn, format!("cannot be looked at: {error}")),
        Ok(Room { files: Some(0..1000), .. }) => (Status::Fail, "almost no more files can be made in it".to_owned()),
        Ok(Room { free, total, .. }) => {
            let status = match free {
                0..NOTHING => Status::Fail,
                _ if free < LITTLE || free < total / 20 => Status::Warn,
                _ => Status::Ok,
            };
            (status, format!("{:.1} of {:.1} GiB are free", gib(free), gib(total)))
        }
    };
    finding(&id, &name, status, detail, Some(remedy))
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0 * 1024.0)
}

/// How long the doctor waits for a clock.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_by_what_no_way_explains() {
        let at = |seconds: f64| DateTime::<Utc>::UNIX_EPOCH + TimeDelta::milliseconds((seconds * 1000.0) as i64);
        assert_eq!(clock(at(10.0), at(10.4), at(11.0)).status, Status::Ok, "somewhere on the way");
        assert_eq!(clock(at(10.0), at(12.5), at(11.0)).status, Status::Ok, "within two seconds");
        let ahead = clock(at(10.0), at(4.0), at(10.1));
        assert_eq!((ahead.status, ahead.detail.as_str()), (Status::Warn, "this host is 6.00 s ahead of the database's"));
        let behind = clock(at(10.0), at(14.1), at(10.1));
        assert_eq!((behind.status, behind.detail.as_str()), (Status::Warn, "this host is 4.00 s behind the database's"));
        assert!(behind.remedy.is_some());
    }

    #[test]
    fn a_full_disk_is_found_before_it_is_full() {
        let status = |free, total, files| disk(Path::new("/data"), Ok(Room { free, total, files })).status;
        let gib = 1024 * 1024 * 1024;
        assert_eq!(status(50 * gib, 100 * gib, None), Status::Ok);
        assert_eq!(status(4 * gib, 100 * gib, None), Status::Warn, "a twentieth");
        assert_eq!(status(gib / 2, 2 * gib, None), Status::Warn);
        assert_eq!(status(gib / 100, 100 * gib, None), Status::Fail);
        assert_eq!(status(50 * gib, 100 * gib, Some(3)), Status::Fail, "no more files");
        assert_eq!(disk(Path::new("/data"), Err(std::io::ErrorKind::NotFound.into())).status, Status::Warn);
        assert!(disks(&[std::env::temp_dir()]).iter().all(|found| found.detail.contains("GiB")), "a real one can be asked");
    }

    #[test]
    fn a_broker_that_is_away_is_a_warning_with_its_reason() {
        let at = std::time::SystemTime::UNIX_EPOCH;
        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(7);
        let up = BrokerStatus { connected: true, reason: None, blocked: None, warnings: Vec::new(), since: at };
        assert_eq!(broker(&up, now).status, Status::Ok);
        let away = BrokerStatus { connected: false, reason: Some("refused".to_owned()), ..up.clone() };
        assert_eq!((broker(&away, now).status, broker(&away, now).detail.as_str()), (Status::Warn, "refused\nfor 7 s"));
        let blocked = BrokerStatus { blocked: Some("low on memory".to_owned()), ..up.clone() };
        assert_eq!(broker(&blocked, now).status, Status::Warn);
        let odd = BrokerStatus { warnings: vec!["queue x is classic".to_owned()], ..up };
        assert_eq!(broker(&odd, now).detail, "queue x is classic");
    }
}
