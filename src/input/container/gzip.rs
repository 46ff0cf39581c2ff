//! The text of a gzip file: its concatenated members; zero bytes between and after them are skipped, as in Python's
//! `gzip`.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::scan::pass_over;

/// Reads the members of a gzip file as one text.
pub(super) struct Members<R: BufRead> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { member: Some(GzDecoder::new(reader)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            let follows = pass_over(&mut rest, |byte| byte == 0, |_| {})?;
            self.member = follows.map(|_| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn member(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("written");
        encoder.finish().expect("ended")
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Members::new(BufReader::with_capacity(5, bytes)).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn members_are_one_text_and_padding_is_none_of_it() {
        let zeros = vec![0u8; 700];
        for (bytes, text) in [
            (member("a"), "a"),
            ([member("a"), member(""), member("bc")].concat(), "abc"),
            ([member("a"), zeros.clone()].concat(), "a"),
            ([member("a"), zeros, member("b"), vec![0]].concat(), "ab"),
        ] {
            assert_eq!(read(&bytes).expect("text"), text);
        }
    }

    #[test]
    fn what_follows_a_member_and_is_none_is_refused_and_so_is_a_part_of_one() {
        assert!(read(&[member("a"), b"x".to_vec()].concat()).is_err());
        let whole = member("a longer text");
        for end in 1..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
    }
}
