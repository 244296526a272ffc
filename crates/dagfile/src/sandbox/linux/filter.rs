//! The system calls that no DAG file needs.
//!
//! A list of what is refused, not of what is allowed: Python and its extension modules use most of the rest, and the file system is
//! landlock's. `socket` answers EACCES, so that Python says *permission denied* where a file wants the network; the others EPERM.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

const NO_NETWORK: &[i64] = &[libc::SYS_socket, libc::SYS_bind, libc::SYS_connect, libc::SYS_listen];

const NEVER: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Mounts, namespaces, ways around path checks.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Large parts of the kernel that have had holes.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_fanotify_init,
    // The machine.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_personality,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
];

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// Flags of `clone` that make namespaces.
const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// On x86-64 a kernel may offer every call a second time under this bit (x32); a filter by number would miss it.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

fn program(calls: impl IntoIterator<Item = (i64, Vec<SeccompRule>)>, errno: i32) -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (number, conditions) in calls {
        #[cfg(target_arch = "x86_64")]
        rules.insert(number | X32, conditions.clone());
        rules.insert(number, conditions);
    }
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), ARCH)?;
    Ok(filter.try_into()?)
}

/// Refuses the calls for this process and all that it becomes or starts.
pub(crate) fn apply() -> Result<(), seccompiler::Error> {
    let always = |calls: &[i64]| calls.iter().map(|number| (*number, Vec::new())).collect::<Vec<_>>();
    // One condition for each flag: a call is refused when any of them is set.
    let mut namespaces = Vec::new();
    for bit in (0..64).map(|shift| 1_u64 << shift).filter(|bit| NAMESPACES & bit != 0) {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)?;
        namespaces.push(SeccompRule::new(vec![condition])?);
    }
    let mut never = always(NEVER);
    never.push((libc::SYS_clone, namespaces));
    apply_filter(&program(always(NO_NETWORK), libc::EACCES)?)?;
    apply_filter(&program(never, libc::EPERM)?)?;
    // The flags of clone3 are behind a pointer, which no filter can follow: glibc falls back to clone when it is not there.
    apply_filter(&program(always(&[libc::SYS_clone3]), libc::ENOSYS)?)
}
