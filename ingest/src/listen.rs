//! Sockets: UDP on threads of their own, TCP and TLS on the runtime.

mod certificate;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod udp;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};

use crate::metrics::Input;
use crate::{Error, LocalAddress};

/// Networks that may send; an empty list lets everyone.
#[derive(Clone, Debug)]
pub(crate) struct AllowList(Vec<IpNet>);

impl AllowList {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.to_vec())
    }

    /// Whether `ip`, which must be canonical, may send.
    pub(crate) fn admits(&self, ip: IpAddr) -> bool {
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&ip))
    }
}

/// Connections that wait to be accepted; what the kernel allows may be less.
const BACKLOG: i32 = 1_024;

/// A socket bound to `address`, listening if it is a stream.
fn bind(what: &'static str, address: SocketAddr, kind: Type) -> Result<Socket, Error> {
    let open = || {
        let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if kind == Type::STREAM {
            // A restart must not wait for the connections of the last run to fade.
            socket.set_reuse_address(true)?;
        }
        socket.bind(&address.into())?;
        if kind == Type::STREAM {
            socket.set_nonblocking(true)?;
            socket.listen(BACKLOG)?;
        }
        Ok(socket)
    };
    open().map_err(|source| Error::Listen { what, address, source })
}

fn local_address(
    input: Input,
    address: std::io::Result<SocketAddr>,
) -> Result<LocalAddress, Error> {
    let input = input.as_str();
    let address = address.map_err(|source| Error::LocalAddress { input, source })?;
    Ok(LocalAddress { input, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_admits_its_networks_only() {
        let list = AllowList::new(&["10.0.0.0/8".parse().unwrap()]);
        assert!(list.admits([10, 1, 2, 3].into()));
        assert!(!list.admits([11, 1, 2, 3].into()));
        assert!(AllowList::new(&[]).admits([11, 1, 2, 3].into()));
    }

    #[test]
    fn a_port_that_is_taken_is_a_clear_error() {
        let first = bind("syslog over udp", "127.0.0.1:0".parse().unwrap(), Type::DGRAM).unwrap();
        let taken = first.local_addr().unwrap().as_socket().unwrap();
        let error = bind("syslog over udp", taken, Type::DGRAM).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("listening for syslog over udp on {taken}: ")),
            "{error}"
        );
    }
}
