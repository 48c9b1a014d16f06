//! What errors, handles and panics say is word for word what crossbeam-channel's say: programs compare
//! it, and people look it up.

use std::panic::{catch_unwind, AssertUnwindSafe};

/// What `f` panics with.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref().cloned())
        .expect("a text")
}

macro_rules! words {
    ($channel:ident) => {{
        use $channel::*;
        let mut words = Vec::new();
        macro_rules! error {
            ($error:expr) => {{
                let error = $error;
                let source = std::error::Error::source(&error).is_some();
                words.push(format!("{error} {error:?} {error:#?} {source}"));
            }};
        }
        struct NotDebug;
        error!(SendError(7));
        error!(SendError(NotDebug));
        error!(TrySendError::Full(7));
        error!(TrySendError::Disconnected(NotDebug));
        // Its `Debug` does not say which there.
        words.push(SendTimeoutError::Timeout(7).to_string());
        words.push(SendTimeoutError::Disconnected(NotDebug).to_string());
        error!(RecvError);
        error!(TryRecvError::Empty);
        error!(TryRecvError::Disconnected);
        error!(RecvTimeoutError::Timeout);
        error!(RecvTimeoutError::Disconnected);
        error!(TrySelectError);
        error!(SelectTimeoutError);
        // There these two are no errors; here they are.
        words.push(format!("{TryReadyError:?} {ReadyTimeoutError:?}"));
        error!(TrySendError::from(SendError(1)));
        words.push(SendTimeoutError::from(SendError(1)).to_string());
        error!(TryRecvError::from(RecvError));
        error!(RecvTimeoutError::from(RecvError));
        words.push(format!(
            "{} {} {} {} {} {}",
            TrySendError::Full(1).is_full(),
            TrySendError::Full(1).is_disconnected(),
            SendTimeoutError::Timeout(1).is_timeout(),
            SendTimeoutError::Timeout(1).is_disconnected(),
            TryRecvError::Empty.is_empty(),
            RecvTimeoutError::Timeout.is_timeout(),
        ));

        let (s, r) = bounded::<u8>(1);
        let (_other_s, other_r) = bounded::<u8>(1);
        words.push(format!("{s:?} {r:?} {:#?}", r.iter()));
        words.push(format!(
            "{:?} {:?}",
            r.try_iter(),
            other_r.clone().into_iter()
        ));
        words.push(format!("{:?} {:10?}|", Select::new(), Select::default()));
        words.push(panic_of(|| drop(Select::new().select())));
        words.push(panic_of(|| {
            // There, a channel is not usable after this.
            let (s, _r) = bounded::<u8>(1);
            let mut select = Select::new();
            select.send(&s);
            let operation = select.select();
            assert_eq!(format!("{operation:?}"), "SelectedOperation { .. }");
            drop(operation);
        }));
        words.push(panic_of(|| Select::new().remove(3)));
        words.push(panic_of(|| {
            let mut select = Select::new();
            let index = select.recv(&r);
            select.remove(index);
            select.remove(index);
        }));
        words
    }};
}

#[test]
fn words_are_the_same() {
    use corio::channel;
    for (ours, theirs) in words!(channel).into_iter().zip(words!(crossbeam_channel)) {
        // There, `Debug` puts some into quotation marks, which std's errors don't have.
        assert_eq!(ours, theirs.replace('"', ""));
    }
}
