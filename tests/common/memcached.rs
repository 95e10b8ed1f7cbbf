//! Real Memcached servers.
