//! Where cuts do what takes a processor or a disk for long: on threads of their own, bounded in
//! number, that come behind those which answer. Megabytes are rewritten in a few hundred
//! microseconds, but four cuts do that without end, and a listing should not wait for any of it.

use std::io;
use std::sync::LazyLock;

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tokio::runtime::{Builder, Runtime};

use crate::ffmpeg::NICENESS;

/// As many as wait for disks at once; on the processor they take turns.
const THREADS: usize = 16;

/// Nothing but its blocking threads is used.
static BEHIND: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.thread_name("cut").max_blocking_threads(THREADS);
    builder.on_thread_start(|| {
        // On Linux it is a thread's own. Best effort: at the usual priority it does the same.
        if let Err(error) = setpriority_process(Some(gettid()), NICENESS) {
            tracing::debug!(%error, "cuts run at the usual priority");
        }
    });
    builder.build()
});

/// Does what takes long or reads files where it may.
///
/// # Errors
/// If it panicked, or the process is about to end.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let done = match &*BEHIND {
        Ok(runtime) => runtime.spawn_blocking(work),
        Err(_) => tokio::task::spawn_blocking(work),
    };
    done.await.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[tokio::test]
    async fn work_comes_behind_and_a_panic_is_an_error() {
        let ours = getpriority_process(Some(gettid())).unwrap();
        let theirs = blocking(|| getpriority_process(Some(gettid())).unwrap());
        assert_eq!(theirs.await.unwrap(), NICENESS.max(ours));
        let panicked = blocking(|| panic!("on purpose")).await;
        panicked.unwrap_err();
        assert_eq!(blocking(|| 7).await.unwrap(), 7);
    }
}
