//! One connection, from its goroutine's side: hooks, the handler, and the end, whatever way it comes.

use crate::metrics;
use crate::network::Conn;
use crate::prim::atomic::Ordering;
use crate::server::config::{Admission, Refusal, ServerWarning};
use crate::server::connection::{Connection, ConnectionInfo, ConnectionState};
use crate::server::registry::{Entry, Place, Shared, count};
use crate::shared::HasSocket;
use socket2::SockRef;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A registered connection whose goroutine is about to begin. If there can be none, dropping this refuses it.
///
/// It is one word, and so takes no memory beside the goroutine and its name.
struct Pending(Option<Arc<Entry>>);

/// A connection on its way through its goroutine. Dropping it ends it: it is deregistered, closed, its hook is told,
/// and its place is free, in this order.
struct Served {
    /// `None` only while it is dropped.
    entry: Option<Arc<Entry>>,
}

impl Shared {
    /// Serves an accepted connection in a goroutine of its own, or refuses it.
    pub(super) fn receive(
        self: &Arc<Self>,
        conn: Conn,
        info: ConnectionInfo,
        place: Option<Place>,
    ) {
        count(&self.counters.accepted);
        // They fail only if the connection was closed already, by nobody.
        let _ = conn.set_read_timeout(self.config.read_timeout);
        let _ = conn.set_write_timeout(self.config.write_timeout);
        if !self.is_admitted(&info) {
            return self.refuse(&conn, &info, Refusal::Denied);
        }
        let entry = match self.register(conn, info, place) {
            Ok(entry) => entry,
            Err(refused) => {
                return self.refuse(&refused.conn, &refused.info, refused.refusal);
            }
        };
        let info = &entry.info;
        let name = &self.config.name;
        let name = format!("{name}:conn {} {}", info.id, info.peer_addr());
        let mut builder = corio::Builder::new().name(name);
        if let Some(bytes) = self.config.stack_size {
            builder = builder.stack_size(bytes);
        }
        let pending = Pending(Some(entry));
        // If it fails, `pending` is dropped with the closure.
        let _ = builder.spawn(move || pending.run());
    }

    fn is_admitted(&self, info: &ConnectionInfo) -> bool {
        let Some(hook) = &self.config.admit else {
            return true;
        };
        self.guard(|| hook(info)) == Some(Admission::Admit)
    }

    /// Tells a connection's end that it will not be served.
    pub(super) fn refuse(&self, conn: &Conn, info: &ConnectionInfo, refusal: Refusal) {
        count(&self.counters.refused);
        if let Some(hook) = &self.config.on_refused {
            self.guard(|| hook(info, conn, refusal));
        } else {
            // Closing resets it then, and leaves nothing behind in the system. Should that fail, the
            // peer sees the end of the stream.
            let _ = conn
                .socket()
                .control(|fd| SockRef::from(&fd).set_linger(Some(Duration::ZERO)));
            if refusal == Refusal::NoGoroutine
                && !self.told_no_goroutine.swap(true, Ordering::Relaxed)
            {
                self.warn(&ServerWarning::NoGoroutine);
            }
        }
    }
}

impl Pending {
    fn run(mut self) {
        let entry = self.0.take();
        Served { entry }.run();
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            let shared = entry.place.shared();
            shared.deregister(&entry, false);
            shared.refuse(&entry.conn, &entry.info, Refusal::NoGoroutine);
        }
    }
}

impl Served {
    fn run(self) {
        let entry = self.entry.as_ref().expect("taken only by drop");
        let shared = Arc::clone(entry.place.shared());
        shared.tell(&entry.info, ConnectionState::New);
        let mut connection = Connection::new(entry);
        let handler = || (shared.config.handler)(&mut connection);
        // What the handler has left half changed, it alone can see.
        let outcome = catch_unwind(AssertUnwindSafe(handler));
        drop(connection);
        match outcome {
            Ok(Ok(())) => {}
            // The server itself has closed it.
            Ok(Err(_)) if entry.word.is_closed() => {}
            Ok(Err(error)) => {
                count(&shared.counters.handler_errors);
                if let Some(hook) = &shared.config.on_error {
                    shared.guard(|| hook(&entry.info, &error));
                }
            }
            Err(payload) => {
                count(&shared.counters.panics);
                metrics::panicked();
                if let Some(hook) = &shared.config.on_panic {
                    shared.guard(|| hook(&entry.info, &*payload));
                }
                drop(self);
                // So that it is reported as every goroutine's, or ends the process, as configured.
                resume_unwind(payload);
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        let shared = Arc::clone(entry.place.shared());
        shared.deregister(&entry, true);
        if entry.conn.socket().is_shared() {
            // Somebody has a clone. It fails if it was closed before.
            let _ = entry.conn.close();
        }
        // Nobody else has it any more: who looks at connections does so under the registry's lock.
        if let Some(entry) = Arc::into_inner(entry) {
            drop(entry.conn);
            shared.tell(&entry.info, ConnectionState::Closed);
            drop(entry.place);
        }
    }
}
