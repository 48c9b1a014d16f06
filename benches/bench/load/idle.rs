//! Connections that are open and do nothing.

use std::io;
use std::thread;
use std::time::Duration;

use super::connect::Connector;
use super::echo::Echoes;
use super::exchange::{Asking, Exchange};
use super::pattern::Pattern;
use super::{Hook, IdlePlan, Moment};

/// Connections that are made without a pause when nothing is sent on them. A backlog of 128 is usual,
/// and a handshake that finds it full is tried again a second later.
const BURST: usize = 32;

/// The pause.
const PAUSE: Duration = Duration::from_millis(1);

/// Opens them, waits, and closes them.
pub(super) fn idle(plan: &IdlePlan, hook: Hook<'_>) -> io::Result<()> {
    hook(Moment::Begin)?;
    if plan.message == 0 {
        let mut connector = Connector::new(&plan.target)?;
        let mut sockets = Vec::with_capacity(plan.connections);
        for index in 0..plan.connections {
            if index % BURST == BURST - 1 {
                thread::sleep(PAUSE);
            }
            sockets.push(connector.connect()?);
        }
        thread::sleep(plan.hold);
        for (index, socket) in sockets.iter().enumerate() {
            match io::Read::read(&mut &*socket, &mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => {
                    let what = format!("connection {index} is not idle: {other:?}");
                    return Err(io::Error::other(what));
                }
            }
        }
        return hook(Moment::End);
    }
    let pattern = Pattern::noise();
    let asking = Asking {
        connections: plan.connections,
        depth: 1,
        request: plan.message,
        scattered: true,
        rate: None,
        warmup: Duration::ZERO,
        duration: Duration::ZERO,
    };
    let echoes = Echoes::new(&pattern, plan.message, plan.connections);
    let mut exchange = Exchange::open(&asking, &pattern, echoes, &plan.target)?;
    thread::sleep(plan.hold);
    exchange.expect_open()?;
    hook(Moment::End)
}
