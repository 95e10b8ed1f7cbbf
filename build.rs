//! Tells the code which PHP it is built against (`cfg(php82)` and so on), and nothing without PHP.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "php")]
    php::emit()?;
    Ok(())
}

#[cfg(feature = "php")]
mod php {
    use ext_php_rs_build::{ApiVersion, PHPInfo, emit_check_cfg, emit_php_cfg_flags, find_php};

    /// Fails when no PHP is found, or one older than 8.1.
    pub fn emit() -> Result<(), Box<dyn std::error::Error>> {
        println!("cargo::rerun-if-env-changed=PHP");
        emit_check_cfg();
        let version = PHPInfo::get(&find_php()?)?.zend_version()?;
        emit_php_cfg_flags(ApiVersion::try_from(version)?);
        Ok(())
    }
}
