//! Reading the log of an attempt by offset, and bounding its size.
//!
//! The command writes straight into the file: a pipe through the supervisor would cost two context switches per write, and the output would
//! die with the supervisor. `RLIMIT_FSIZE` is no alternative either, since it also forbids the task to write large files of its own. So
//! the supervisor looks at the size now and then, and frees the blocks of the middle (`fallocate`, punch hole): the first and the last 32 MiB
//! stay, offsets stay valid, and readers get a marker where the hole is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::runner::LogRead;

/// How much of the start of a log is kept, in bytes: a multiple of every block size in use.
pub(crate) const HEAD: u64 = 32 << 20;
/// How much of the end of a log is kept, in bytes.
pub(crate) const TAIL: u64 = 32 << 20;
#[cfg(target_os = "linux")]
const BLOCK: u64 = 1 << 16;
/// How far a log may outgrow its limit before the next hole is punched, in bytes.
#[cfg(target_os = "linux")]
const SLACK: u64 = 4 << 20;

/// Reads up to `max` bytes from `offset` on.
pub(crate) fn read(path: &Path, offset: u64, max: usize) -> io::Result<LogRead> {
    let file = match File::open(path) {
        Ok(file) => file,
        // Not started yet, or its command could not be started.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LogRead { data: Vec::new(), next: offset.into(), eof: true }),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    if size > HEAD + TAIL
        && offset >= HEAD
        && let Some(data_at) = next_data(&file, offset, size)?.filter(|at| *at > offset)
    {
        let dropped = data_at - offset;
        let marker = format!("\n[updraft] {dropped} bytes of the log were dropped here: it grew past {} MiB\n", (HEAD + TAIL) >> 20);
        return Ok(LogRead { data: marker.into_bytes(), next: data_at.into(), eof: data_at >= size });
    }
    // Stop at the head's end, so that the next read starts where a hole may start.
    let until = if size > HEAD + TAIL && offset < HEAD { HEAD } else { size };
    let want = usize::try_from(until.saturating_sub(offset)).unwrap_or(usize::MAX).min(max);
    let mut data = vec![0; want];
    let mut filled = 0;
    while filled < want {
        match file.read_at(&mut data[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    data.truncate(filled);
    let next = offset + filled as u64;
    Ok(LogRead { data, next: next.into(), eof: next >= size })
}

/// Reads up to `max` bytes that end at `until`. A hole reads as zeros, which are nobody's secret.
pub(crate) fn read_before(path: &Path, until: u64, max: usize) -> io::Result<Vec<u8>> {
    let from = until.saturating_sub(max as u64);
    let mut data = vec![0; usize::try_from(until - from).unwrap_or(0)];
    if !data.is_empty() {
        File::open(path)?.read_exact_at(&mut data, from)?;
    }
    Ok(data)
}

#[cfg(target_os = "linux")]
fn next_data(file: &File, offset: u64, size: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(at) => Ok(Some(at)),
        // Nothing but a hole from here on.
        Err(error) if error == rustix::io::Errno::NXIO => Ok((offset < size).then_some(size)),
        // The file system knows no holes.
        Err(error) if error == rustix::io::Errno::INVAL => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn next_data(_file: &File, _offset: u64, _size: u64) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Frees the middle of a log that grew too long. `dropped` is what this supervisor has freed up to, so that nothing is freed twice.
#[cfg(target_os = "linux")]
pub(crate) fn bound(log: &File, dropped: &mut u64) -> io::Result<()> {
    let size = log.metadata()?.len();
    let until = size.saturating_sub(TAIL) / BLOCK * BLOCK;
    let from = (*dropped).max(HEAD);
    if until < from + SLACK {
        return Ok(());
    }
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(log, flags, from, until - from)?;
    *dropped = until;
    Ok(())
}

/// Holes are not punched here: the log is unbounded.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bound(_log: &File, _dropped: &mut u64) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_log_is_read_by_offset_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(read(&path, 5, 10).unwrap(), LogRead { data: vec![], next: 5.into(), eof: true });
        std::fs::write(&path, b"0123456789").unwrap();
        assert_eq!(read(&path, 0, 4).unwrap(), LogRead { data: b"0123".to_vec(), next: 4.into(), eof: false });
        assert_eq!(read(&path, 4, 100).unwrap(), LogRead { data: b"456789".to_vec(), next: 10.into(), eof: true });
        assert_eq!(read(&path, 10, 100).unwrap(), LogRead { data: vec![], next: 10.into(), eof: true });
        assert_eq!(read(&path, 99, 100).unwrap(), LogRead { data: vec![], next: 99.into(), eof: true });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_middle_of_a_huge_log_is_freed_and_marked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        let chunk = vec![b'x'; 1 << 20];
        for at in 0..100_u64 {
            file.write_all_at(&chunk, at << 20).unwrap();
        }
        let mut dropped = 0;
        bound(&file, &mut dropped).unwrap();
        assert!(dropped > HEAD);
        assert!(file.metadata().unwrap().blocks() * 512 <= HEAD + TAIL + SLACK + BLOCK, "the blocks are still there");
        let (mut at, mut bytes, mut markers) = (0, 0, 0);
        loop {
            let piece = read(&path, at, 3 << 20).unwrap();
            assert!(!piece.data.contains(&0), "a hole was read as text");
            if piece.next.offset - at == piece.data.len() as u64 {
                bytes += piece.data.len() as u64
            } else {
                markers += 1
            }
            at = piece.next.offset;
            if piece.eof {
                break;
            }
        }
        assert_eq!((at, markers), (100 << 20, 1));
        assert!(bytes >= HEAD + TAIL);
    }
}
