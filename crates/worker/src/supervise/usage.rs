//! What the command and its descendants used, as far as the kernel has added it up: of every child that was reaped.

use rustix::process::Pid;
use updraft_model::end::Usage;

/// None: the system does not tell.
pub(super) fn of_children(command: Pid) -> Option<Usage> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (user, system) = children_in(&stat)?;
    let second = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).ok().filter(|ticks| *ticks > 0)?);
    Some(Usage { pid: command.as_raw_nonzero().get(), user_seconds: user / second, system_seconds: system / second })
}

/// `cutime` and `cstime`, in ticks: the 16th and 17th words, of which the second is a name in brackets that may have blanks and brackets in it.
fn children_in(stat: &str) -> Option<(f64, f64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace().skip(13);
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticks_of_children_are_found_behind_any_name() {
        assert_eq!(children_in("7 (a) b) S 1 7 7 0 -1 4 1 2 3 4 5 6 70 80 20 0 1"), Some((70.0, 80.0)));
        assert_eq!(children_in("7 (a) S 1"), None);
    }
}
