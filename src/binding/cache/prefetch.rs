//! Reading what a request is going to need, in one round trip.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::{ZendHashTable, Zval};

use super::HostedCache;
use super::arguments::{FromValue, Name, array_key, names_of};
use super::scratch;
use super::values::build;
use crate::binding::convert::zend::{Elements, Filling};
use crate::cache::facade::Value;
use crate::cache::keys::Key;
use crate::cache::value::ArrayKey;

impl HostedCache {
    /// `['group' => [key, …]]` to `['group' => [key => value]]`, without what is missing.
    pub fn prefetch(&self, wanted: &ZendHashTable) -> ZBox<ZendHashTable> {
        let mut groups = Filling::map(wanted.len());
        scratch::with(|scratch| {
            scratch.values = self.fetch(wanted);
            let mut values = scratch.values.iter();
            for (group, names) in lists(wanted) {
                let mut found = Filling::map(names.len());
                for ((_, name), value) in Elements::of(names).zip(values.by_ref()) {
                    let value = value.as_ref().and_then(|value| build(&value.body, &value.facts));
                    // SAFETY: an element of an argument, which the call holds.
                    let name = Name::of(unsafe { &*name });
                    if let Some(value) = value {
                        found.insert(array_key(&name), value);
                    }
                }
                let mut table = Zval::new();
                table.set_hashtable(found.finish());
                groups.insert(group, table);
            }
            scratch.values.clear();
        });
        groups.finish()
    }

    /// The values in the order of the lists.
    fn fetch(&self, wanted: &ZendHashTable) -> Vec<Option<Value>> {
        let named: Vec<(Name<'_>, Vec<Name<'_>>)> =
            lists(wanted).map(|(group, names)| (group_name(group), names_of(names))).collect();
        let keys: Vec<Key<'_>> =
            named.iter().flat_map(|(group, names)| names.iter().map(|name| Key::new(group, name))).collect();
        self.get().get_many(&keys)
    }
}

/// The groups whose value is a list of names.
fn lists(wanted: &ZendHashTable) -> impl Iterator<Item = (ArrayKey<'_>, &ZendHashTable)> {
    Elements::of(wanted).filter_map(|(group, names)| {
        // SAFETY: keys and elements of an argument, which the call holds.
        unsafe { Some((group.as_array_key(), (*names).dereference().array()?)) }
    })
}

fn group_name(group: ArrayKey<'_>) -> Name<'_> {
    match group {
        ArrayKey::Int(index) => index.to_string().into_bytes().into(),
        ArrayKey::Bytes(name) => name.into(),
    }
}
