//! A network of the process's own, in which a name server is listening and never answers.

use std::ffi::CStr;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Moves the process, which must have but one thread, into namespaces of its own, where names are
/// asked for at the socket that is returned, and nowhere else. The error says what is not permitted.
pub(crate) fn without_answers() -> Result<UdpSocket, String> {
    isolated(&[
        (
            c"/etc/resolv.conf",
            "nameserver 127.0.0.1\noptions timeout:1 attempts:3\n",
        ),
        (c"/etc/nsswitch.conf", "hosts: files dns\n"),
    ])?;
    UdpSocket::bind("127.0.0.1:53").map_err(|error| format!("bind: {error}"))
}

/// Moves the process, which must have but one thread, into namespaces of its own: a network of which
/// there is the loopback interface, and other texts in the place of some files. The error says what is
/// not permitted.
pub(crate) fn isolated(files: &[(&CStr, &str)]) -> Result<(), String> {
    let step =
        |what: &str, result: io::Result<()>| result.map_err(|error| format!("{what}: {error}"));
    // SAFETY: no memory is passed.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET) };
    step("unshare", check(unshared))?;
    step("mount", mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE))?;
    for (name, text) in files {
        let path = std::env::temp_dir().join(format!("corio-net-{}", std::process::id()));
        step("write", std::fs::write(&path, text))?;
        let source = std::ffi::CString::new(path.to_string_lossy().as_bytes()).unwrap();
        let mounted = mount(Some(&source), name, libc::MS_BIND);
        step("remove", std::fs::remove_file(&path))?;
        step("bind mount", mounted)?;
    }
    step("loopback", loopback_up())
}

fn mount(source: Option<&CStr>, target: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    // SAFETY: strings that end with a zero, or null where the kernel looks at none.
    check(unsafe {
        libc::mount(
            source.map_or(std::ptr::null(), CStr::as_ptr),
            target.as_ptr(),
            std::ptr::null(),
            flags,
            std::ptr::null(),
        )
    })
}

pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all zero is a request without a name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads a live `ifreq`, with a name that ends with a zero.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) })
}

pub(crate) fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
