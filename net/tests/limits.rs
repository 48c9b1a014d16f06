//! Out of descriptors. Alone in its process, because it changes the process's limit.

mod common;

use common::*;
use corio_net::TcpStream;
use std::io::{Read, Write};

fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(result, 0);
    limit
}

fn set_soft_limit(soft: libc::rlim_t) {
    let limit = libc::rlimit {
        rlim_cur: soft,
        ..limit()
    };
    // SAFETY: the pointer is to a live `rlimit`.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    assert_eq!(result, 0);
}

#[test]
fn accept_and_connect_report_a_full_table_and_go_on_afterwards() {
    set_soft_limit(limit().rlim_max.min(500));
    let listener = listen();
    let raised = limit();
    assert_eq!(raised.rlim_cur, raised.rlim_max, "the limit was not raised");
    let addr = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(addr).unwrap();
    // Nothing above what is open now.
    set_soft_limit(3);
    let error = listener.accept().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    let error = TcpStream::connect(addr).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    set_soft_limit(raised.rlim_cur);
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"x").unwrap();
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
}
