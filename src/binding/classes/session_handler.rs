//! `SLBP_Session_Handler`: sessions for hosts that cannot edit php.ini.
//!
//! PHP wants `string|false` and `int|false`; a type that says only `string` or `int` is narrower, which
//! is allowed, and false is returned all the same, as PHP's own handlers do.

use ext_php_rs::convert::IntoZval;
use ext_php_rs::flags::DataType;
use ext_php_rs::prelude::*;
use ext_php_rs::types::Zval;
use ext_php_rs::zend::ClassEntry;

use crate::binding::class_table;
use crate::binding::convert::params::{Bytes, Lax, Settings};
use crate::binding::convert::zend;
use crate::binding::session::HostedSessions;

/// PHP's interface `name`. Phase: MINIT, where PHP has sessions.
fn interface(name: &str) -> &'static ClassEntry {
    class_table::find(name).unwrap_or_else(|| ext_php_rs::zend::ce::stringable())
}

/// Sessions in Redis, Memcached, the database or shared memory, with locks that end.
#[php_class]
#[php(name = "SLBP_Session_Handler")]
#[php(implements(ce = || interface("sessionhandlerinterface"), stub = "\\SessionHandlerInterface"))]
#[php(implements(ce = || interface("sessionidinterface"), stub = "\\SessionIdInterface"))]
#[php(implements(
    ce = || interface("sessionupdatetimestamphandlerinterface"),
    stub = "\\SessionUpdateTimestampHandlerInterface"
))]
pub struct SessionHandler {
    hosted: HostedSessions,
}

impl SessionHandler {
    /// The object that has `hosted`.
    pub fn holding(hosted: HostedSessions) -> Self {
        Self { hosted }
    }
}

/// The data of a session, or false.
pub struct Data(Option<Vec<u8>>);

impl IntoZval for Data {
    const TYPE: DataType = DataType::String;
    const NULLABLE: bool = false;

    fn set_zval(self, zval: &mut Zval, _persistent: bool) -> ext_php_rs::error::Result<()> {
        *zval = self.0.map_or_else(|| zend::flag(false), |data| zend::string(&data));
        Ok(())
    }
}

/// How many sessions were removed, or false.
pub struct Removed(Option<i64>);

impl IntoZval for Removed {
    const TYPE: DataType = DataType::Long;
    const NULLABLE: bool = false;

    fn set_zval(self, zval: &mut Zval, _persistent: bool) -> ext_php_rs::error::Result<()> {
        *zval = zend::whole_or_false(self.0);
        Ok(())
    }
}

#[php_impl]
#[php(change_method_case = "none")]
impl SessionHandler {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        Ok(Self { hosted: HostedSessions::new(&config.tree)? })
    }

    pub fn open(&self, path: Bytes, name: Bytes) -> bool {
        let _ = (path, name);
        self.hosted.open()
    }

    pub fn close(&self) -> bool {
        self.hosted.close()
    }

    pub fn read(&self, id: Bytes) -> Data {
        Data(self.hosted.read(&id.0))
    }

    pub fn write(&self, id: Bytes, data: Bytes) -> bool {
        self.hosted.write(&id.0, &data.0)
    }

    pub fn destroy(&self, id: Bytes) -> bool {
        self.hosted.destroy(&id.0)
    }

    pub fn gc(&self, max_lifetime: Lax<i64>) -> Removed {
        let _ = max_lifetime;
        Removed(self.hosted.collect())
    }

    pub fn create_sid(&self) -> PhpResult<Data> {
        Ok(Data(Some(self.hosted.create_id()?)))
    }

    #[php(name = "validateId")]
    pub fn validate_id(&self, id: Bytes) -> bool {
        self.hosted.validate(&id.0)
    }

    #[php(name = "updateTimestamp")]
    pub fn update_timestamp(&self, id: Bytes, data: Bytes) -> bool {
        let _ = data;
        self.hosted.touch(&id.0)
    }

    pub fn count(&self) -> Option<i64> {
        self.hosted.count()
    }
}
