//! The encoding through the plain tree of values: sizes, limits, round trips, damage.

use super::super::value::{ArrayKey, Builder, OwnedKey, Tree, Value};
use super::*;
use proptest::prelude::*;

const MIB: usize = 1 << 20;

fn through(value: &Value) -> Value {
    decode(&encode(value, MIB).unwrap().bytes, Objects::Allowed, &mut Tree).unwrap()
}

fn any_value() -> impl Strategy<Value = Value> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-5i64..80).prop_map(Value::Int),
        any::<f64>().prop_filter("NaN is not equal to itself", |f| !f.is_nan()).prop_map(Value::Float),
        bytes().prop_map(Value::Bytes),
        bytes().prop_map(Value::Serialized),
    ];
    leaf.prop_recursive(4, 64, 40, move |inner| {
        let key = prop_oneof![any::<i64>().prop_map(OwnedKey::Int), bytes().prop_map(OwnedKey::Bytes)];
        let pairs = proptest::collection::vec((key, inner.clone()), 0..40).prop_map(unique);
        let properties = proptest::collection::vec((bytes(), inner.clone()), 0..8);
        prop_oneof![
            proptest::collection::vec(inner, 0..40).prop_map(Value::list),
            pairs.prop_map(Value::Array),
            (bytes(), properties).prop_map(|(class, properties)| Value::Object { class, properties }),
        ]
    })
}

fn unique(pairs: Vec<(OwnedKey, Value)>) -> Vec<(OwnedKey, Value)> {
    let mut tree = Tree;
    let mut map = tree.map(0);
    for (key, value) in pairs {
        match key {
            OwnedKey::Int(index) => tree.insert(&mut map, ArrayKey::Int(index), value),
            OwnedKey::Bytes(bytes) => tree.insert(&mut map, ArrayKey::Bytes(&bytes), value),
        }
    }
    map
}

#[test]
fn small_values_take_few_bytes() {
    let sizes = [
        (Value::Null, 1),
        (Value::Int(63), 1),
        (Value::Int(64), 3),
        (Value::Int(-1), 2),
        (Value::text("hello"), 6),
        (Value::list([Value::Int(1), Value::Int(2)]), 3),
        (Value::Array(vec![(OwnedKey::Bytes(b"id".to_vec()), Value::Int(7))]), 5),
    ];
    for (value, size) in sizes {
        assert_eq!(encode(&value, MIB).unwrap().bytes.len(), size, "{value:?}");
        assert_eq!(through(&value), value);
    }
}

#[test]
fn every_bit_of_a_float_is_kept() {
    for bits in [0x7ff8_0000_0000_0001u64, (-0.0f64).to_bits(), f64::MIN_POSITIVE.to_bits()] {
        match through(&Value::Float(f64::from_bits(bits))) {
            Value::Float(back) => assert_eq!(back.to_bits(), bits),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_values_with_objects_are_said_to_have_some() {
    let object = Value::Object { class: b"stdClass".to_vec(), properties: vec![] };
    assert!(encode(&Value::list([object]), MIB).unwrap().has_objects);
    assert!(encode(&Value::Serialized(b"O:1:\"A\":0:{}".to_vec()), MIB).unwrap().has_objects);
    assert!(!encode(&Value::list([Value::text("O:8:\"stdClass\":0:{}")]), MIB).unwrap().has_objects);
}

#[test]
fn objects_are_built_only_where_they_are_allowed() {
    let object = Value::Object { class: b"A".to_vec(), properties: vec![] };
    for value in [object.clone(), Value::Serialized(b"O:1:\"A\":0:{}".to_vec()), Value::list([object])] {
        let bytes = encode(&value, MIB).unwrap().bytes;
        assert_eq!(decode(&bytes, Objects::Refused, &mut Tree), Err(DecodeError::Rejected));
    }
}

#[test]
fn depth_and_size_are_bounded_both_ways() {
    let nested = |depth| (0..depth).fold(Value::Null, |inner, _| Value::list([inner]));
    assert_eq!(through(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
    assert_eq!(encode(&nested(MAX_DEPTH + 1), MIB), Err(EncodeError::TooDeep));
    let mut bytes = vec![SMALL_LIST + 1; 100_000];
    bytes.push(NULL);
    assert_eq!(decode(&bytes, Objects::Allowed, &mut Tree), Err(DecodeError::TooDeep));
    assert_eq!(encode(&Value::Bytes(vec![0; 100]), 100), Err(EncodeError::TooLarge));
}

#[test]
fn a_count_that_cannot_be_true_is_refused_before_memory_is_taken() {
    for tag in [LIST, MAP, STRING, SERIALIZED] {
        let bytes = [tag, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, NULL];
        assert_eq!(decode(&bytes, Objects::Allowed, &mut Tree), Err(DecodeError::Malformed));
    }
}

proptest! {
    #[test]
    fn values_come_back_as_they_were(value in any_value()) {
        prop_assert_eq!(through(&value), value);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, Objects::Allowed, &mut Tree);
    }

    /// Damaged real encodings reach deeper than random bytes.
    #[test]
    fn no_damage_makes_it_panic(value in any_value(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = encode(&value, MIB).unwrap().bytes;
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at); } else { bytes[at] = byte; }
        let _ = decode(&bytes, Objects::Allowed, &mut Tree);
    }
}
