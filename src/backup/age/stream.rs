//! The payload of an age file: chunks of 64 KiB, each sealed with its number and whether it is the last.
//!
//! So a chunk that is missing, moved, repeated or cut off does not open, and any chunk can be opened
//! without those before it. One chunk is in memory at a time.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use ring::aead::{Aad, LessSafeKey, Nonce};

use super::keys::{Identity, Recipient};
use super::{TAG, cipher, derive, header, random};
use crate::backup::fault::fault;
use crate::error::Result;

const CHUNK: usize = 64 * 1024;
const SEALED: u64 = (CHUNK + TAG) as u64;
const NONCE: usize = 16;

/// Encrypts what is written into `inner`. Without [`Sealer::finish`] the file does not open.
pub(crate) struct Sealer<W: Write> {
    inner: W,
    key: LessSafeKey,
    chunk: Vec<u8>,
    number: u64,
}

impl<W: Write> Sealer<W> {
    /// Writes the header for `recipients`.
    pub fn new(mut inner: W, recipients: &[Recipient]) -> Result<Self> {
        let (file_key, nonce) = (random()?, random::<NONCE>()?);
        let header = header::write(&file_key, recipients)?;
        let written = inner.write_all(&header).and_then(|()| inner.write_all(&nonce));
        written.map_err(|error| fault(format!("cannot write an encrypted file: {error}")))?;
        let key = cipher(&derive(&file_key, &nonce, b"payload")?)?;
        Ok(Self { inner, key, chunk: Vec::with_capacity(CHUNK + TAG), number: 0 })
    }

    /// Writes the last chunk and gives `inner` back.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.inner)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let sealed =
            self.key.seal_in_place_append_tag(nonce(self.number, last), Aad::empty(), &mut self.chunk);
        sealed.map_err(|_| io::Error::other("a chunk could not be encrypted"))?;
        self.inner.write_all(&self.chunk)?;
        self.chunk.clear();
        self.number += 1;
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for the next byte: only then is it known not to be the last.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.seal(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Decrypts `inner`, from any position.
pub(crate) struct Opened<R> {
    inner: R,
    key: LessSafeKey,
    /// Where the chunks begin.
    begin: u64,
    chunks: u64,
    /// Bytes of what was encrypted.
    length: u64,
    position: u64,
    chunk: Vec<u8>,
    /// The number of the chunk that is in `chunk`.
    number: Option<u64>,
}

impl<R: Read + Seek> Opened<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// It is no age file, none of `identities` opens it, or it was cut off.
    pub fn new(mut inner: R, identities: &[Identity]) -> Result<Self> {
        let failed = |error: io::Error| fault(format!("cannot read it: {error}"));
        let mut buffered = BufReader::with_capacity(512, &mut inner);
        let file_key = header::read(&mut buffered, identities)?;
        let mut nonce = [0; NONCE];
        buffered.read_exact(&mut nonce).map_err(failed)?;
        let begin = buffered.stream_position().map_err(failed)?;
        let end = inner.seek(SeekFrom::End(0)).map_err(failed)?;
        let sealed = end.saturating_sub(begin);
        let chunks = sealed.div_ceil(SEALED);
        // Only a file of nothing ends with an empty chunk.
        let last = sealed.saturating_sub(chunks.saturating_sub(1) * SEALED);
        if last < TAG as u64 || (chunks > 1 && last == TAG as u64) {
            return Err(fault("it was cut off"));
        }
        let key = cipher(&derive(&file_key, &nonce, b"payload")?)?;
        let length = sealed - chunks * TAG as u64;
        Ok(Self { inner, key, begin, chunks, length, position: 0, chunk: Vec::new(), number: None })
    }

    /// Has chunk `number` in memory.
    fn open(&mut self, number: u64) -> io::Result<()> {
        if self.number == Some(number) {
            return Ok(());
        }
        self.number = None;
        self.inner.seek(SeekFrom::Start(self.begin + number * SEALED))?;
        self.chunk.clear();
        (&mut self.inner).take(SEALED).read_to_end(&mut self.chunk)?;
        let nonce = nonce(number, number + 1 == self.chunks);
        let opened = self.key.open_in_place(nonce, Aad::empty(), &mut self.chunk).map(|plain| plain.len());
        let length = opened.map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, format!("its encrypted chunk {number} is damaged"))
        })?;
        self.chunk.truncate(length);
        self.number = Some(number);
        Ok(())
    }
}

impl<R: Read + Seek> Read for Opened<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // At its end the last chunk is looked at all the same: it may be all there is.
        let number = (self.position / CHUNK as u64).min(self.chunks - 1);
        self.open(number)?;
        let from = usize::try_from(self.position - number * CHUNK as u64).unwrap_or(usize::MAX);
        let rest = self.chunk.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(rest)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(rest);
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for Opened<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    if let Some(counter) = bytes.get_mut(3..11) {
        counter.copy_from_slice(&number.to_be_bytes());
    }
    if let Some(flag) = bytes.last_mut() {
        *flag = u8::from(last);
    }
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::super::keys::Keys;
    use super::*;

    fn keys() -> Keys {
        Keys::parse("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX").unwrap()
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), &keys().recipients).unwrap();
        sealer.write_all(plain).unwrap();
        sealer.finish().unwrap()
    }

    fn opened(sealed: &[u8]) -> std::result::Result<Vec<u8>, String> {
        let mut plain = Vec::new();
        let mut opened = Opened::new(Cursor::new(sealed), &keys().identities).map_err(|e| e.to_string())?;
        opened.read_to_end(&mut plain).map_err(|e| e.to_string())?;
        Ok(plain)
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 7 % 251) as u8).collect()
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5] {
            let plain = sample(length);
            assert!(opened(&sealed(&plain)).unwrap() == plain, "{length}");
        }
    }

    #[test]
    fn what_is_cut_moved_repeated_or_appended_does_not_open() {
        let whole = sealed(&sample(3 * CHUNK));
        let begin = whole.len() - 3 * SEALED as usize;
        let chunk = |n: usize| &whole[begin + n * SEALED as usize..begin + (n + 1) * SEALED as usize];
        let head = &whole[..begin];
        let crafted = [
            [head, chunk(0), chunk(1)].concat(),
            [head, chunk(0), chunk(2)].concat(),
            [head, chunk(1), chunk(0), chunk(2)].concat(),
            [head, chunk(0), chunk(0), chunk(1), chunk(2)].concat(),
            [&whole, &chunk(2)[..TAG]].concat(),
            [&whole[..], b"x"].concat(),
            head.to_vec(),
            head[..head.len() - 3].to_vec(),
            Vec::new(),
        ];
        for (number, bytes) in crafted.iter().enumerate() {
            assert!(opened(bytes).is_err(), "{number}");
        }
        assert!(opened(&whole).is_ok());
    }

    #[test]
    fn another_key_does_not_open_it() {
        let hrp = bech32::Hrp::parse_unchecked("age-secret-key-");
        let other = Keys::parse(&bech32::encode::<bech32::Bech32>(hrp, &[9; 32]).unwrap()).unwrap();
        let error = Opened::new(Cursor::new(sealed(b"x")), &other.identities).err().unwrap();
        assert!(error.to_string().contains("none of the configured keys opens it"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn any_position_reads_what_was_written_there(at in 0u64..140_000, count in 0usize..70_000) {
            let plain = sample(140_000);
            let mut opened = Opened::new(Cursor::new(sealed(&plain)), &keys().identities).unwrap();
            opened.seek(SeekFrom::Start(at)).unwrap();
            let mut read = Vec::new();
            opened.take(count as u64).read_to_end(&mut read).unwrap();
            let end = plain.len().min(at as usize + count);
            prop_assert!(read == plain[at as usize..end]);
        }

        #[test]
        fn one_changed_byte_anywhere_is_found(at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = sealed(&sample(300));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(opened(&bytes).is_err(), "byte {}", at);
        }

        #[test]
        fn anything_at_all_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = opened(&bytes);
            let _ = opened(&[b"age-encryption.org/v1\n-> X25519 ".as_slice(), &bytes].concat());
        }
    }
}
