//! Text from ids as they come, never half a character.

use super::Tokenizer;
use crate::Result;

/// Turns ids into text one at a time.
///
/// A character may be spread over several tokens: its bytes are held back until it is whole.
/// Whatever the ids, the concatenation of all that [`push`](Self::push) and
/// [`finish`](Self::finish) return is what [`Tokenizer::decode`] returns for all of them together.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    /// The beginning of a character: at most 3 bytes between two calls.
    pending: Vec<u8>,
    show_control: bool,
    /// Whether a dummy prefix would stand here.
    at_start: bool,
}

impl<'t> StreamDecoder<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer, show_control: bool, at_start: bool) -> Self {
        Self { tokenizer, pending: Vec::new(), show_control, at_start }
    }

    /// The text that token `id` completes, which may be empty. Bytes that can never become a
    /// character are U+FFFD.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`](crate::Error::TokenOutOfRange) for an id outside the vocabulary;
    /// the decoder is unchanged then.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.tokenizer.append_bytes(
            id,
            self.show_control,
            &mut self.at_start,
            &mut self.pending,
        )?;
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(valid) => {
                    text.push_str(valid);
                    self.pending.clear();
                    return Ok(text);
                }
                Err(error) => {
                    let (valid, rest) = self.pending.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(bad) = error.error_len() else {
                        self.pending = rest.to_vec();
                        return Ok(text);
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.pending = rest[bad..].to_vec();
                }
            }
        }
    }

    /// The end: U+FFFD if a character was left unfinished, nothing otherwise.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}
