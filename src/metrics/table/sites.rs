//! What a site has taken, and what it was refused.

use std::sync::atomic::AtomicU64;

crate::shm::region::shared_struct! {
    /// Zeros are a free slot.
    pub struct SiteSlot {
        /// Half of the keyed hash of the site's identity.
        pub tag: AtomicU64,
        pub families: AtomicU64,
        pub series: AtomicU64,
        /// Updates that had no series of their own.
        pub dropped: AtomicU64,
    }
}
