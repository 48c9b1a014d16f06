//! What sysmon asks of Linux about threads.

use std::fs::File;
use std::io::Read;

/// Niceness of a thread that computes without a P: the weakest. It protects the others' latency; on
/// idle processors it costs the burner nothing.
const BURNER_NICE: libc::c_int = 19;

/// The calling thread's id.
pub(crate) fn gettid() -> u32 {
    // SAFETY: no arguments, no memory.
    unsafe { libc::gettid() as u32 }
}

/// Is the thread neither running nor ready to run? `false` if that can't be told.
pub(crate) fn is_blocked(tid: u32) -> bool {
    let mut stat = [0u8; 128];
    let read =
        File::open(format!("/proc/self/task/{tid}/stat")).and_then(|mut file| file.read(&mut stat));
    let Ok(n) = read else { return false };
    // "tid (name) state ...": the name may contain anything, so the last parenthesis counts.
    let after_name = stat[..n].iter().rposition(|&byte| byte == b')');
    after_name
        .and_then(|at| stat.get(at + 2))
        .is_some_and(|state| *state != b'R')
}

/// The CPU time of a thread of this process, in ns; 0 if there is no such thread.
pub(crate) fn cpu_time(tid: u32) -> u64 {
    if tid == 0 {
        return 0;
    }
    // The kernel's number for it: a thread's (4) exact (2) clock.
    let clock = (!tid << 3 | 6) as libc::clockid_t;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes to a live `timespec`.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Makes the thread give way to others. `false` if the system refuses.
pub(crate) fn renice(tid: u32) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, tid, BURNER_NICE) == 0 }
}

/// Are there threads in this process besides these?
pub(crate) fn other_threads(ours: &[u32]) -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return true;
    };
    tasks
        .flatten()
        .filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok())
        .any(|tid| !ours.contains(&tid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::sync::mpsc;

    #[test]
    fn a_threads_cpu_time_is_known_to_others() {
        let (tid_tx, tid_rx) = mpsc::channel();
        let (go, told) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tid_tx.send(gettid()).unwrap();
            told.recv().unwrap();
            let before = cpu_time(gettid());
            while cpu_time(gettid()) < before + 5_000_000 {
                black_box((0..1000).sum::<u64>());
            }
            tid_tx.send(gettid()).unwrap();
            told.recv().unwrap_err();
        });
        let before = cpu_time(tid_rx.recv().unwrap());
        go.send(()).unwrap();
        assert!(cpu_time(tid_rx.recv().unwrap()) >= before + 5_000_000);
        drop(go);
        thread.join().unwrap();
        assert_eq!(cpu_time(0), 0);
        assert_eq!(cpu_time(u32::MAX >> 8), 0);
    }

    #[test]
    fn a_thread_is_blocked_or_not() {
        assert!(!is_blocked(gettid()), "the caller runs");
        let (tid_tx, tid_rx) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tid_tx.send(gettid()).unwrap();
            stopped.recv().unwrap_err();
        });
        let tid = tid_rx.recv().unwrap();
        while !is_blocked(tid) {
            std::thread::yield_now();
        }
        assert!(other_threads(&[gettid()]));
        drop(stop);
        thread.join().unwrap();
    }
}
