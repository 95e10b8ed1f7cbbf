//! Tells the code which PHP it is built against (`cfg(php82)` and so on), and nothing without PHP.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "php")]
    php::emit();
}

#[cfg(feature = "php")]
mod php {
    use ext_php_rs_build::{ApiVersion, PHPInfo, emit_check_cfg, emit_php_cfg_flags, find_php};

    pub fn emit() {
        println!("cargo::rerun-if-env-changed=PHP");
        emit_check_cfg();
        let version = find_php()
            .and_then(|php| PHPInfo::get(&php))
            .and_then(|info| ApiVersion::try_from(info.zend_version()?))
            .unwrap_or_else(|error| panic!("slbp needs PHP 8.1 or newer with its headers: {error}"));
        emit_php_cfg_flags(version);
    }
}
