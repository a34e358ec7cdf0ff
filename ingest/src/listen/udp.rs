//! Datagrams: one thread a socket, many datagrams a system call, every loss counted.
//!
//! The thread parses what it receives into an open batch and goes back for more; it waits for
//! nothing but the socket. What the buffers have no room for is shed and counted by sender, and
//! what the kernel had no room for it tells itself (`SO_RXQ_OVFL`).

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt,
};
use socket2::Type;
use tokio_util::sync::CancellationToken;

use super::{AllowList, bind, local_address};
use crate::batcher::{Batcher, EVENT_OVERHEAD_BYTES};
use crate::budget::Budget;
use crate::flow::FlowDecoder;
use crate::metrics::{Counts, Dropped, Input};
use crate::parse::{Format, Received, Sender};
use crate::{Error, LocalAddress};

/// Datagrams taken by one system call; with more the gain per datagram is lost in the noise.
const DATAGRAMS_MAX: usize = 64;

/// Largest datagram that UDP can carry over IP, rounded up to a page.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

/// How long the thread waits for a datagram before it looks whether it shall stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is done with datagrams.
#[derive(Debug)]
pub(crate) enum Decoding {
    /// Each is one record.
    Records(Format),
    /// Each holds flow records.
    Flows(Box<FlowDecoder>),
}

/// A bound socket and what is done with what it receives.
#[derive(Debug)]
pub(crate) struct UdpListener {
    socket: UdpSocket,
    input: Input,
    decoding: Decoding,
    allow: AllowList,
    batcher: Arc<Batcher>,
    budget: Arc<Budget>,
    shard: usize,
    slab: Vec<u8>,
    /// The kernel's count of datagrams that it dropped, as last told.
    kernel_drops: u32,
}

/// A datagram in the slab.
struct Datagram {
    sender: SocketAddr,
    bytes: usize,
    truncated: bool,
}

impl UdpListener {
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) fn bind(
        address: SocketAddr,
        receive_buffer: usize,
        allow: AllowList,
        decoding: Decoding,
        batcher: &Arc<Batcher>,
        budget: &Arc<Budget>,
    ) -> Result<Self, Error> {
        let (what, input) = match &decoding {
            Decoding::Records(_) => ("syslog over udp", Input::SyslogUdp),
            Decoding::Flows(_) => ("flows over udp", Input::Flow),
        };
        let socket = bind(what, address, Type::DGRAM)?;
        let fail = |source| Error::Listen { what, address, source };
        // Beyond the system's limit only for the privileged; the plain request is cut to it.
        if setsockopt(&socket, sockopt::RcvBufForce, &receive_buffer).is_err() {
            socket.set_recv_buffer_size(receive_buffer).map_err(fail)?;
        }
        setsockopt(&socket, sockopt::RxqOvfl, &1).map_err(|errno| fail(errno.into()))?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
        Ok(Self {
            socket: socket.into(),
            input,
            decoding,
            allow,
            batcher: Arc::clone(batcher),
            budget: Arc::clone(budget),
            shard: batcher.assign(),
            slab: vec![0; DATAGRAMS_MAX * DATAGRAM_BYTES_MAX],
            kernel_drops: 0,
        })
    }

    /// Where it listens.
    pub(crate) fn local_address(&self) -> Result<LocalAddress, Error> {
        local_address(self.input, self.socket.local_addr())
    }

    /// Receives until `stop` is cancelled.
    pub(crate) fn run(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.receive() {
                Ok(datagrams) => self.take(&datagrams),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => {
                    // An ICMP answer to nobody in particular; there is nothing to be done.
                    tracing::debug!(%error, input = self.input.as_str(), "receiving failed");
                }
            }
        }
    }

    /// Waits for at least one datagram.
    fn receive(&mut self) -> nix::Result<Vec<Datagram>> {
        // Made anew for each call: the kernel writes lengths into the headers, and with those of
        // the last call it would have no room for what it wants to tell next time.
        let space = Some(nix::cmsg_space!(u32));
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(DATAGRAMS_MAX, space);
        let slots = self.slab.chunks_exact_mut(DATAGRAM_BYTES_MAX);
        let mut slices: Vec<_> = slots.map(|slot| [IoSliceMut::new(slot)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let received =
            recvmmsg(self.socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
        let mut datagrams = Vec::with_capacity(DATAGRAMS_MAX);
        let mut dropped = None;
        for message in received {
            for control in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::RxqOvfl(total) = control {
                    dropped = Some(total);
                }
            }
            // Without an address it cannot be told whose it is; UDP over IP always has one.
            let sender = message.address.as_ref().and_then(socket_address);
            datagrams.push(Datagram {
                sender: sender.unwrap_or_else(|| SocketAddr::new(IpAddr::from([0; 4]), 0)),
                bytes: message.bytes,
                truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
            });
        }
        if let Some(total) = dropped {
            let new = total.wrapping_sub(self.kernel_drops);
            self.kernel_drops = total;
            self.batcher.metrics.kernel_dropped(self.input, u64::from(new));
        }
        Ok(datagrams)
    }

    fn take(&mut self, datagrams: &[Datagram]) {
        let Some(mut filling) = self.batcher.fill(self.shard, self.input) else { return };
        let at = self.batcher.clock.now();
        let mut source = None;
        for (datagram, slot) in datagrams.iter().zip(self.slab.chunks_exact(DATAGRAM_BYTES_MAX)) {
            let ip = datagram.sender.ip();
            let Some(bytes) = slot.get(..datagram.bytes).filter(|bytes| !bytes.is_empty()) else {
                continue;
            };
            if !self.allow.admits(ip) {
                self.batcher.metrics.refused_connection(self.input, "not_allowed");
                continue;
            }
            let held = bytes.len() + EVENT_OVERHEAD_BYTES;
            if let Err(reason) = self.budget.take(ip, held) {
                shed(&self.batcher, self.input, ip, bytes.len(), reason);
                continue;
            }
            filling.hold_datagram(ip, held);
            let settings = match &source {
                Some((known, settings)) if *known == ip => Arc::clone(settings),
                _ => self.batcher.sources.settings(Some(ip)),
            };
            source = Some((ip, Arc::clone(&settings)));
            match &mut self.decoding {
                Decoding::Records(format) => {
                    let sender = sender(datagram.sender, self.input);
                    let (zone, format) = (&settings.zone, *format);
                    let received = Received { raw: bytes, at, sender: &sender, zone, format };
                    filling.record(&received, datagram.truncated);
                }
                Decoding::Flows(decoder) => {
                    let decoded = filling.decode(&self.budget, ip, bytes.len(), |builder| {
                        decoder.decode(datagram.sender, bytes, at, builder)
                    });
                    self.batcher.flows_decoded(ip, decoded);
                }
            }
        }
    }
}

fn shed(batcher: &Batcher, input: Input, sender: IpAddr, bytes: usize, reason: Dropped) {
    batcher.metrics.received(input, 1, bytes as u64);
    let mut counts = Counts::default();
    counts.add(input, 1);
    batcher.metrics.dropped(counts, reason);
    batcher.sources.lost(sender, 1);
}

fn sender(address: SocketAddr, input: Input) -> Sender {
    Sender {
        ip: Some(address.ip()),
        port: Some(address.port()),
        transport: input.transport(),
        tls_subject: None,
    }
}

/// With an IPv4 address that came over an IPv6 socket as what it is.
fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::new(IpAddr::V6(v6.ip()).to_canonical(), v6.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::IngestMetrics;
    use crate::source::{Settings, Sources};
    use keng_metrics::Registry;
    use tokio::sync::mpsc;

    fn listener(
        registry: &Registry,
        receive_buffer: usize,
        budget: usize,
        decoding: Decoding,
    ) -> (UdpListener, mpsc::UnboundedReceiver<crate::appender::Closed>) {
        let metrics = Arc::new(IngestMetrics::new(registry));
        let clock: Arc<dyn keng_event::Clock> = Arc::new(keng_event::SystemClock::default());
        let settings = Settings::new(&crate::Config::default()).unwrap();
        let sources = Sources::new(settings, Arc::clone(&clock), Arc::clone(&metrics), None);
        let (closed, queue) = mpsc::unbounded_channel();
        let batcher = Arc::new(Batcher::new(1, closed, clock, metrics, sources));
        let listener = UdpListener::bind(
            "127.0.0.1:0".parse().unwrap(),
            receive_buffer,
            AllowList::new(&[]),
            decoding,
            &batcher,
            &Arc::new(Budget::new(budget)),
        );
        (listener.unwrap(), queue)
    }

    /// Everything that waits in the socket.
    fn drain(listener: &mut UdpListener) -> usize {
        let mut count = 0;
        while let Ok(datagrams) = listener.receive() {
            listener.take(&datagrams);
            count += datagrams.len();
        }
        count
    }

    #[test]
    fn what_the_kernel_dropped_is_counted_to_the_datagram() {
        let registry = Registry::new();
        let (mut listener, _queue) =
            listener(&registry, 4_096, 1 << 20, Decoding::Records(Format::Syslog));
        let address = listener.local_address().unwrap().address;
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut received = 0;
        // Twice, since the count must still be told after a call in which it was not.
        for _ in 0..2 {
            for _ in 0..500 {
                sender.send_to(&[b'x'; 200], address).unwrap();
            }
            received += drain(&mut listener);
            // The kernel tells its count with the next datagram that it keeps.
            sender.send_to(b"<38>x", address).unwrap();
            received += drain(&mut listener);
        }
        let text = registry.render();
        let series = "keng_ingest_kernel_drops_total{input=\"syslog_udp\"}";
        let line = text.lines().find(|line| line.starts_with(series));
        let dropped: usize = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(dropped > 0);
        assert_eq!(received + dropped, 1_002);
    }

    #[test]
    fn what_the_buffer_has_no_room_for_is_shed_and_counted() {
        let registry = Registry::new();
        let (mut listener, _queue) =
            listener(&registry, 1 << 20, 40_000, Decoding::Records(Format::Syslog));
        let address = listener.local_address().unwrap().address;
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..200 {
            sender.send_to(&[b'x'; 144], address).unwrap();
        }
        assert_eq!(drain(&mut listener), 200);
        // 400 bytes each are reckoned; a lone sender may hold half of the buffer.
        let lost = listener.batcher.sources.list().iter().map(|row| row.lost_total).sum::<u64>();
        assert_eq!(lost, 150);
        let text = registry.render();
        let line =
            "keng_ingest_events_dropped_total{input=\"syslog_udp\",reason=\"sender_share\"} 150";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("keng_ingest_events_in_flight{input=\"syslog_udp\"} 50"), "{text}");
    }

    #[test]
    fn each_flow_of_a_datagram_is_booked() {
        let registry = Registry::new();
        let flows = Decoding::Flows(Box::default());
        let (mut listener, mut queue) = listener(&registry, 1 << 20, 100_000, flows);
        let address = listener.local_address().unwrap().address;
        // NetFlow v5: a header of 24 bytes, thirty flows of 48.
        let mut datagram = vec![0; 24 + 30 * 48];
        datagram[..4].copy_from_slice(&[0, 5, 0, 30]);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&datagram, address).unwrap();
        assert_eq!(drain(&mut listener), 1);
        let held = datagram.len() + 30 * EVENT_OVERHEAD_BYTES;
        assert!((listener.budget.fill() - crate::budget::ratio(held, 100_000)).abs() < 1e-9);
        listener.batcher.close_all();
        let closed = queue.try_recv().unwrap();
        assert_eq!(closed.batch.len(), 30);
        assert_eq!(closed.held.datagrams.iter().map(|(_, bytes)| bytes).sum::<usize>(), held);
    }
}
