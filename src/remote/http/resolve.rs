//! Looking a host up, once, and keeping the addresses that may be connected to.

use std::io::{Error as IoError, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

use super::{Reach, guard};
use crate::shm::spawn_quietly;

/// The most addresses of one name that are tried.
const MOST: usize = 16;

/// The system's resolver with a time limit, which it does not have itself: the lookup runs on a
/// thread of its own, and one that takes too long is left behind to end by itself.
#[derive(Debug)]
pub(super) struct Lookup {
    pub reach: Reach,
}

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let scheme = uri.scheme().ok_or(Error::HostNotFound)?;
        let authority = uri.authority().ok_or(Error::HostNotFound)?;
        let host = DefaultResolver::host_and_port(scheme, authority).ok_or(Error::HostNotFound)?;
        let found = look_up(host, timeout)?;
        let mut kept = self.empty();
        let may = |address: &&SocketAddr| self.reach == Reach::Anywhere || guard::is_public(address.ip());
        found.iter().filter(may).take(MOST).for_each(|address| kept.push(*address));
        match (kept.is_empty(), found.is_empty()) {
            (false, _) => Ok(kept),
            (true, true) => Err(Error::HostNotFound),
            (true, false) => Err(Error::Io(IoError::new(
                ErrorKind::PermissionDenied,
                "a private address, which only slbp.webhook_allow_private allows",
            ))),
        }
    }
}

fn look_up(host: String, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
    let (tell, told) = mpsc::sync_channel(1);
    let ask = move || _ = tell.send(host.to_socket_addrs().map(Iterator::collect));
    spawn_quietly("slbp-resolve", ask)?;
    match told.recv_timeout(*timeout.after) {
        Ok(Ok(found)) => Ok(found),
        // What getaddrinfo says of an unknown name differs from system to system.
        Ok(Err(_)) => Err(Error::HostNotFound),
        Err(_) => Err(Error::Timeout(Timeout::Resolve)),
    }
}
