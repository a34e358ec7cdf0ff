//! Bounds of the HTTP surface, each with its reason. Limits on events themselves live in `event`
//! and `ingest`.

use std::time::Duration;

/// Largest JSON body of any route but the intake: the longest query and the largest bulk of
/// alert ids stay far below it.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Largest body of the intake as it comes over the wire; what it may unpack to is `ingest`'s.
pub const INTAKE_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Connections at a time. Each holds a task and at most [`HEAD_BYTES_MAX`] of request head;
/// browsers open six.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Connections at a time from one address, so that none can take them all; a page with its tails
/// needs ten. A proxy in front is one address: it has to share this many between its clients, or
/// be given fewer. Loopback is an address like others, because a proxy may well be there.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;

/// Largest request head. A tail's query travels in the URL, a session in a cookie.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long a connection may take to send a request head, and so how long an idle one is kept: a
/// client that needs longer is slow on purpose (Slowloris).
pub const HEAD_READ_MAX: Duration = Duration::from_secs(30);

/// How long the other end may take nothing of what is sent to it; a reader on the slowest line
/// takes something. Without it, whoever asks and never reads would hold a connection for ever.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// A TLS handshake takes two round trips.
pub const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// From the end of the head to the response; covers a slow upload of the largest body and the
/// longest search. Tails are exempt.
pub const REQUEST_MAX: Duration = Duration::from_secs(60);

/// How long open requests may take to end once the node is told to stop.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// Searches at a time. A search is CPU-bound: more of them than cores only make each slower. A
/// search page asks for rows, histogram and top values at once.
pub const SEARCHES_MAX: usize = 16;

/// Backtests at a time, besides counting among the searches: each takes a core for as long as a
/// search may, and memory for the events that it has yet to examine.
pub const BACKTESTS_MAX: usize = 1;

/// Events that a backtest examines unless its request says otherwise.
pub const BACKTEST_EVENTS_DEFAULT: usize = 5_000_000;

/// Most events that a backtest may be asked to examine: 16 bytes of memory for each, 336 MB in all.
pub const BACKTEST_EVENTS_MAX: usize = 20_000_000;

/// Findings of each rule that a backtest gives unless its request says otherwise.
pub const BACKTEST_FINDINGS_DEFAULT: usize = 10;

/// Most findings of one rule that a backtest gives; all are counted.
pub const BACKTEST_FINDINGS_MAX: usize = 100;

/// Bytes of sample events in one backtest's answer. Findings beyond are counted only.
pub const BACKTEST_FINDINGS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of explanations in one answer: one of a large rule has 100 KiB.
pub const EXPLANATIONS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Live tails at a time; each evaluates its query on every event.
pub const TAILS_MAX: usize = 64;

/// Events that a tail reads from the index when a reader comes back; what is beyond is counted
/// as missed.
pub const TAIL_RESUME_EVENTS_MAX: usize = 10_000;

/// Silence after which a tail sends its position, so that proxies keep the connection and the
/// reader's place moves on even when nothing matches.
pub const TAIL_HEARTBEAT: Duration = Duration::from_secs(15);
