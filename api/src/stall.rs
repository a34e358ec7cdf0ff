//! Gives up on a peer that asks and does not read the answers. Slow requests are ended by hyper's
//! own timer and by `gate`.

use std::future::Future as _;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::limits::WRITE_STALL_MAX;

/// A stream whose writing fails once the other end has taken nothing for [`WRITE_STALL_MAX`].
///
/// It goes beneath TLS, so that what is judged is what the network takes.
#[derive(Debug)]
pub(crate) struct Stalling<S> {
    stream: S,
    stall_max: Duration,
    /// Since when writing waits; nothing while it does not.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, stall_max: WRITE_STALL_MAX, stalled: None }
    }

    /// What a write came to: its result, or the end of patience.
    fn judge<T>(&mut self, context: &mut Context<'_>, done: Poll<Result<T>>) -> Poll<Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not read its answers")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// Only writes are judged: flushing and shutting down a TCP socket never wait, and a flush that
/// is done at once must not pass for progress.
impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (ours, _theirs) = duplex(8);
        let mut ours = Stalling::new(ours);
        let started = tokio::time::Instant::now();
        let error = ours.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), WRITE_STALL_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_served() {
        let (ours, mut theirs) = duplex(1);
        let mut ours = Stalling::new(ours);
        let reader = tokio::spawn(async move {
            for _ in 0..20 {
                sleep(WRITE_STALL_MAX - Duration::from_secs(1)).await;
                theirs.read_u8().await.unwrap();
            }
        });
        ours.write_all(&[0; 20]).await.unwrap();
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn flushing_is_no_progress() {
        let (ours, _theirs) = duplex(1);
        let mut ours = Stalling::new(ours);
        ours.write_all(&[0]).await.unwrap();
        let insisting = async {
            while timeout(Duration::from_secs(1), ours.write(&[0])).await.is_err() {
                ours.flush().await.unwrap();
            }
        };
        timeout(2 * WRITE_STALL_MAX, insisting).await.unwrap();
    }
}
