//! Work that blocks, on a thread of its own: files, and what takes long to compute.
//!
//! The executors have one thread for what blocks, and secure connections wait for it; what may take seconds, or hang with
//! a file system, comes here. The rule: nobody but who asked waits for it.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use futures_lite::AsyncReadExt;

use crate::shard::fd;
use crate::shard::permits::Permit;

/// Does the work on a thread of its own and waits for what comes of it.
///
/// Bound: the permit is held until the work is done, also when nobody waits any more.
///
/// # Errors
/// The system refuses a thread or a socket pair, or the work panicked.
///
/// Cancel safety: dropping it forgets what comes of it; the thread ends by itself.
pub async fn aside<T: Send + 'static>(
    name: &str,
    permit: Permit,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (ours, theirs) = UnixStream::pair()?;
    let (send, receive) = mpsc::sync_channel(1);
    thread::Builder::new().name(name.into()).spawn(move || {
        // Closed when the thread ends, in whatever way and after all else: that is what is waited for.
        let _end = theirs;
        let permit = permit;
        let done = work();
        drop(permit);
        if send.send(done).is_err() {
            log::debug!("work was done for nobody");
        }
    })?;
    let mut ours = fd::pair_end(ours.into());
    let read = ours.read(&mut [0]).await;
    match (receive.try_recv(), read) {
        (Ok(done), _) => Ok(done),
        (Err(_), Err(error)) => Err(error),
        (Err(_), Ok(_)) => Err(io::Error::other("a fault of ours ended the work")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::permits::Permits;
    use glommio::LocalExecutor;

    #[test]
    fn what_comes_of_the_work_is_handed_back() {
        let permits = Permits::new(1);
        let permit = permits.take().unwrap();
        let done = LocalExecutor::default().run(async {
            aside("test", permit, || thread::current().name() == Some("test")).await
        });
        assert!(done.unwrap());
        assert!(permits.take().is_some());
    }

    #[test]
    fn work_that_panics_is_an_error_and_gives_its_permit_back() {
        let permits = Permits::new(1);
        let permit = permits.take().unwrap();
        let done = LocalExecutor::default().run(async {
            let done: io::Result<()> = aside("test", permit, || panic!("on purpose")).await;
            done
        });
        assert!(done.is_err());
        assert!(permits.take().is_some());
    }
}
