//! Servers end, and are replaced, while clients ask, and nothing that was accepted is lost: by SIGTERM; by handing the
//! listening socket on (`LISTEN_FDS`); and with a socket for each process (`SO_REUSEPORT`).
//!
//! The last has a window which is the system's: a connection that was made but not accepted belongs to one of the
//! sockets, and when that is closed the connection is reset, though another process listens on the same address. A
//! server that ends accepts all that is there, but some may come between its last accept and the closing. Since 5.14
//! Linux moves them to another socket if `net.ipv4.tcp_migrate_req` is 1, which by default it isn't.

mod net_support;

use net_support::{scenario, under_all_settings};

#[test]
fn a_server_that_is_told_to_end_answers_what_it_has_accepted() {
    under_all_settings("takeover_term", &[]);
}

#[test]
fn nobody_notices_when_a_listener_is_handed_on() {
    under_all_settings("takeover_inherited", &[]);
}

#[test]
fn nobody_notices_when_the_system_moves_what_was_not_accepted() {
    scenario("takeover_shared", &["1"], 2, false);
    scenario("takeover_shared", &["1"], 1, true);
}

#[test]
fn only_what_was_not_accepted_is_reset_otherwise() {
    scenario("takeover_shared", &["0"], 2, false);
    scenario("takeover_shared", &["0"], 1, true);
}
